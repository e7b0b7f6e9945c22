"""Expressions mean what Python would mean by them, and say what is wrong with what is none."""

import pytest

from nearfar.errors import BadSetting
from nearfar.evaluation.conditions import holds, names_in
from nearfar.evaluation.expressions import parse

COLUMNS = {
    "query.words": [3, 8, 12, None],
    "query.language": ["de", "en", "de", "fr"],
    "query.fresh": [True, False, True, None],
    "query.content": ["no refund", "refund", "hello", "in or out"],
    "document.updated_at": ["2024-12-31", "2025-01-01", "2025-06-01T10:00", None],
    "document.kind": ["faq", "faq", "page", "faq"],
    "product line": ["a", "b", "a", "a"],
}


def held(text: str) -> str:
    """Return the places of the queries of which it holds."""
    return "".join(
        str(i) for i, one in enumerate(holds(parse(text), COLUMNS.__getitem__, 4)) if one
    )


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("query.words >= 8", "12"),
        ("8 <= query.words", "12"),
        ("2 <= query.words < 12", "01"),
        ("query.words == 3.0", "0"),
        ("query.words > -1e3", "012"),
        ('document.updated_at >= "2025-01-01"', "12"),
        ('query.language == "de" & document.kind == "faq"', "0"),
        ('query.language == "de" and document.kind == "faq"', "0"),
        ('query.language == "en" | query.language == "de" & document.kind == "page"', "12"),
        ('(query.language == "en" or query.language == "de") and document.kind == "page"', "2"),
        ('not query.language == "de" and document.kind == "faq"', "13"),
        ('not (query.language == "de" and document.kind == "faq")', "123"),
        ('!(query.language=="de")', "13"),
        ("query.language in ['de', 'fr']", "023"),
        ("query.language not in ['de', 'fr',]", "1"),
        ("query.language in []", ""),
        ('"refund" in query.content', "01"),
        ('query.content == "in or out"', "3"),
        ("query.fresh", "02"),
        ("not query.fresh", "13"),
        ("query.fresh == false", "1"),
        ("query.words != 3", "123"),  # what has no such field is equal to nothing
        ("query.words not in [3]", "123"),
        ("query.words < 1000", "012"),
        ("`product line` == 'a'", "023"),
    ],
)
def test_holds_of_the_right_queries(text: str, places: str) -> None:
    assert held(text) == places


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected a field"),
        ("query.words >=", "found the end"),
        ("query.words = 8", "compared with =="),
        ("query.words >= 8 query.language", "expected and, or, or the end at character 18"),
        ("(query.words >= 8", r"expected \), found the end"),
        ("1 == 1", "looks at no field"),
        ("8", "expected one of"),
        ("query.words in 8 $", "at '\\$'"),
        ("[1] == query.words", "after `in`"),
        ("query.words == [1]", "after `in`"),
        ("query.words in [query.words]", "texts and numbers alone"),
        ("query.words in " + "[" * 9_000, "texts and numbers alone"),
        ("(" * 5_000, "deep"),
        ("not " * 5_000 + "query.fresh", "deep"),
        ("query.words not 3", "expected in"),
        ("__import__('os')", "expected and, or, or the end"),
    ],
)
def test_what_is_no_expression_is_refused(text: str, said: str) -> None:
    with pytest.raises(BadSetting, match=said):
        parse(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('query.words >= "8"', "number"),
        ('query.words == "8"', "A text stands in quotes"),
        ("query.fresh == 1", "true or false"),
        ("query.language", "true or false"),
        ('document.updated_at > "1 May 2025"', "one alone is a date"),
        ("query.words in query.content", "a text in a text"),
        ("query.language in ['de', 1]", "a number"),
    ],
)
def test_values_of_unlike_kinds_are_not_compared(text: str, said: str) -> None:
    with pytest.raises(BadSetting, match=said):
        held(text)


def test_a_number_of_many_digits_is_a_number() -> None:
    assert held("query.words < 1" + "0" * 5_000) == "012"


def test_it_says_which_fields_it_looks_at() -> None:
    found = names_in(parse('not (a.b == 1 or c) and "x" in d.e'))
    assert list(found) == ["a.b", "c", "d.e"]
