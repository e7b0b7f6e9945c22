"""Conditions: read as people write them, refused where they mean nothing, and one meaning."""

import math
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearfar.errors import BadSetting
from nearfar.records import Scalar
from nearfar.stores.filters import Condition, checked, fits, matches, read_where

KINDS = {"lang": "text", "year": "integer", "price": "number", "open": "truth"}


def slow(sign: str, value: Any, others: tuple[Any, ...]) -> bool:
    """What a sign means, said with `<` alone."""
    if value is None:
        return False
    below = [value < other for other in others]
    above = [other < value for other in others]
    equal = [not b and not a for b, a in zip(below, above, strict=True)]
    return {
        "=": any(equal),
        "!=": not any(equal),
        "<": below[0],
        ">": above[0],
        "<=": not above[0],
        ">=": not below[0],
    }[sign]


values: Mapping[str, st.SearchStrategy[Any]] = {
    "lang": st.text("aäZ|=<>! ", max_size=3),
    "year": st.integers(-(2**63), 2**63 - 1) | st.integers(-2, 2),
    "price": st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([0.0, -0.0, 0.1]),
    "open": st.booleans(),
}


@given(st.data(), st.sampled_from(list(KINDS)), st.sampled_from(["=", "!=", "<", "<=", ">", ">="]))
def test_a_condition_holds_where_a_slow_twin_says_so(data: Any, field: str, sign: Any) -> None:
    several = 3 if sign in ("=", "!=") else 1
    others = tuple(data.draw(st.lists(values[field], min_size=1, max_size=several)))
    value = data.draw(st.none() | values[field] | st.sampled_from(others))
    where = checked([Condition(field, sign, others)], KINDS)
    fields = {} if value is None else {field: value}
    assert matches(where, {**fields, "other": 1}) == slow(sign, value, others)


@given(st.data(), st.sampled_from(list(KINDS)), st.sampled_from(["=", "!=", "<", "<=", ">", ">="]))
def test_what_was_written_is_read(data: Any, field: str, sign: Any) -> None:
    plain = st.text("aäZ=<>!7.\0👍", max_size=5) if field == "lang" else values[field]
    several = 3 if sign in ("=", "!=") else 1
    said = tuple(data.draw(st.lists(plain, min_size=1, max_size=several)))
    if field == "lang" and said[0][:1] in ("=", "<", ">", "!"):
        return  # "a" "<" "=b" is a "<=" "b"
    text = f"{field}{sign}{'|'.join(str(value) for value in said)}"
    assert read_where([text], KINDS) == (Condition(field, sign, said),)


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("lang=de", Condition("lang", "=", ("de",))),
        (" lang = de | en ", Condition("lang", "=", ("de", "en"))),
        ("lang!=de|en", Condition("lang", "!=", ("de", "en"))),
        ("lang==de", Condition("lang", "=", ("=de",))),
        ("lang<a|b", Condition("lang", "<", ("a|b",))),
        ("lang=", Condition("lang", "=", ("",))),
        ("lang=a>=b", Condition("lang", "=", ("a>=b",))),
        ("year>=2020", Condition("year", ">=", (2020,))),
        ("year<-1", Condition("year", "<", (-1,))),
        ("price>1e3", Condition("price", ">", (1000.0,))),
        ("price=1|.5", Condition("price", "=", (1.0, 0.5))),
        ("open=TRUE|false", Condition("open", "=", (True, False))),
    ],
)
def test_conditions_are_read_as_people_write_them(text: str, condition: Condition) -> None:
    found = read_where([text], KINDS)
    assert found == (condition,)
    assert [type(value) for value in found[0].values] == [type(v) for v in condition.values]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no condition"), ("lang", "no condition"), ("=de", "no condition"),
        ("!=", "no condition"), ("lang de", "no condition"),
        ("nothing=1", "There are: lang, open, price, year"), (" =1", "''"),
        ("year=", "integer"), ("year=1.5", "integer"), ("year=1|x", "integer"),
        (f"year={2**63}", "integer"), ("year=" + "9" * 5_000, "integer"), ("price=x", "number"),
        ("price=nan", "number"), ("price=1e999", "number"), ("open=1", "truth"),
        ("lang=\ud800", "text"),
    ],
    ids=ascii,
)  # fmt: skip
def test_what_is_no_condition_is_refused(text: str, said: str) -> None:
    with pytest.raises(BadSetting, match=said) as refused:
        read_where([text], KINDS)
    assert str(refused.value).encode()  # it can be printed, whatever was written


def test_a_layout_without_fields_says_so() -> None:
    with pytest.raises(BadSetting, match="made without"):
        read_where(["lang=de"], {})


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        (Condition("lang", "=", ()), "0 values"),
        (Condition("year", "<", (1, 2)), "2 values"),
        (Condition("year", "~", (1,)), "'~' is no sign"),  # type: ignore[arg-type]
    ],
)
def test_conditions_made_by_hand_are_checked_as_well(condition: Condition, said: str) -> None:
    with pytest.raises(BadSetting, match=said):
        checked([condition], KINDS)


@given(st.one_of(st.none(), st.text(), st.integers(), st.floats(), st.booleans(), st.binary()))
def test_a_value_is_of_the_kinds_it_can_be(value: Any) -> None:
    found = {kind for kind in KINDS.values() if fits(value, kind)}
    expected: set[str] = set()
    if type(value) is bool:
        expected = {"truth"}
    elif type(value) is str:
        expected = {"text"}
    elif type(value) is float:
        expected = {"number"} if math.isfinite(value) else set()
    elif type(value) is int:
        expected = {"number"} if abs(value) < 2**1023 else set()
        expected |= {"integer"} if -(2**63) <= value < 2**63 else set()
    assert found == expected


def test_numbers_are_compared_as_they_stand_in_a_column() -> None:
    value: Scalar = 2**53 + 1  # no float64
    where = checked([Condition("price", "=", (value,))], KINDS)
    assert matches(where, {"price": value})
