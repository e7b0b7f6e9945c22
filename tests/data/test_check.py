"""The check finds what makes a training or a measurement wrong, with examples."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from making import dataset, document, judgment, query

from nearfar.data.check import check_dataset
from nearfar.data.findings import CheckReport
from nearfar.errors import BadSetting
from nearfar.fingerprint import content_id
from nearfar.records import Document, Judgment, Query, Role


def check(folder: Path, *records: Document | Query | Judgment) -> CheckReport:
    found = dataset(folder / "set", records)
    return check_dataset(found, count_tokens=None, max_tokens=None, cohorts=None)


CLEAN = [
    document("a"),
    document("b"),
    document("c"),
    query("q"),
    query("r"),
    query("s"),
    judgment("q", "a", 1, "train"),
    judgment("q", "b", 0, "train"),
    judgment("r", "b", 1, "dev"),
    judgment("s", "c", 1, "test"),
]


def test_a_clean_dataset_has_no_findings(tmp_path: Path) -> None:
    report = check(tmp_path, *CLEAN)
    assert report.ok
    assert report.findings == ()


def test_a_query_in_two_splits_is_an_error_up_to_case_and_spaces(tmp_path: Path) -> None:
    again = [query("t", "WHAT  is q?"), judgment("t", "c", 1, "test")]
    report = check(tmp_path, *CLEAN, *again)
    found = report.finding("query_leaks")
    assert not report.ok
    assert found is not None
    assert (found.severity, found.count, found.total) == ("error", 1, 3)
    assert found.examples[0].ids == ("q", "t")
    assert found.examples[0].sources == ("q:q", "q:t")
    assert found.examples[0].detail == "train, test"
    assert report.findings[0] == found  # the worst comes first


def test_what_is_set_aside_leaks_nothing(tmp_path: Path) -> None:
    again = [query("t", "what is q?"), judgment("t", "a", 1, "aside")]
    assert check(tmp_path, *CLEAN, *again).finding("query_leaks") is None


def test_an_answer_in_two_splits_is_a_warning(tmp_path: Path) -> None:
    report = check(
        tmp_path, *CLEAN, document("copy", "Text of A"), judgment("s", "copy", 1, "test")
    )
    found = report.finding("answer_leaks")
    assert report.ok
    assert found is not None
    assert found.severity == "warning"
    assert found.examples[0].ids == ("a", "copy")
    assert found.examples[0].sources == ("d:a", "d:copy")


def test_a_document_that_is_no_answer_may_lie_in_two_splits(tmp_path: Path) -> None:
    assert check(tmp_path, *CLEAN, judgment("s", "a", 0, "test")).finding("answer_leaks") is None


def test_a_group_in_two_splits_is_a_warning(tmp_path: Path) -> None:
    more = [
        document("x", group="page"),
        document("y", group="page"),
        judgment("q", "x", 1, "train"),
        judgment("s", "y", 1, "test"),
    ]
    found = check(tmp_path, *CLEAN, *more).finding("group_leaks")
    assert found is not None
    assert (found.count, found.severity) == (1, "warning")
    assert found.examples[0].ids == ("page",)


def test_a_pair_judged_both_ways_is_an_error_also_under_other_ids(tmp_path: Path) -> None:
    report = check(
        tmp_path, *CLEAN, document("copy", "text of a"), judgment("q", "copy", 0, "train")
    )
    found = report.finding("contradictions")
    assert not report.ok
    assert found is not None
    assert found.count == 1
    assert found.examples[0].ids == ("q", "a", "copy")
    assert found.examples[0].sources == ("j:q:a", "j:q:copy")


def test_duplicates_and_empty_texts_are_counted_with_their_sources(tmp_path: Path) -> None:
    more = [document("a2", "text  of A"), document("a3", "text of a"), document("dash", "---")]
    report = check(tmp_path, *CLEAN, *more)
    doubles, empty = report.finding("duplicate_documents"), report.finding("empty_documents")
    assert doubles is not None
    assert empty is not None
    assert (doubles.count, doubles.total) == (2, 6)
    assert doubles.examples[0].ids == ("a", "a2", "a3")
    assert empty.examples[0].sources == ("d:dash",)


def test_texts_that_a_spreadsheet_would_run_are_noted(tmp_path: Path) -> None:
    more = [document("sum", "=1+2"), document("point", "- a point"), query("call", "@SUM(A1)")]
    report = check(tmp_path, *CLEAN, *more)
    documents, queries = report.finding("formula_documents"), report.finding("formula_queries")
    assert report.ok
    assert documents is not None
    assert queries is not None
    assert (documents.severity, documents.count, documents.total) == ("note", 1, 5)
    assert documents.examples[0].sources == ("d:sum",)
    assert queries.examples[0].ids == ("call",)


def test_ids_that_are_hashes_are_told_as_they_are(tmp_path: Path) -> None:
    ids = [content_id("one"), content_id("two")]
    more = [document(id, "the same", "shared") for id in ids]
    report = check(tmp_path, *CLEAN, *more, judgment("q", ids[0], 1), judgment("q", ids[1], 0))
    doubles, both = report.finding("duplicate_documents"), report.finding("contradictions")
    assert doubles is not None
    assert both is not None
    assert doubles.examples[0].ids == tuple(ids)
    assert both.examples[0].ids == ("q", *ids)


def test_gaps_are_noted(tmp_path: Path) -> None:
    more = [document("alone"), query("open"), judgment("open", "a", 0, "train")]
    report = check(tmp_path, *CLEAN, *more)
    unasked, unanswered = report.finding("unasked_documents"), report.finding("unanswered_queries")
    assert report.ok
    assert unasked is not None
    assert unanswered is not None
    assert unasked.examples[0].ids == ("alone",)
    assert unanswered.examples[0].sources == ("q:open",)


def test_an_empty_split_is_noted(tmp_path: Path) -> None:
    report = check(tmp_path, document("a"), query("q"), judgment("q", "a", 1, "test"))
    missing = report.finding("missing_splits")
    assert missing is not None
    assert [example.ids for example in missing.examples] == [("train",), ("dev",)]


def words(texts: Sequence[str], role: Role) -> list[int]:
    """Count words, and one more for a document: the roles have different prompts."""
    return [len(text.split()) + (role == "document") for text in texts]


def test_texts_longer_than_the_model_reads_are_counted_by_cohort(tmp_path: Path) -> None:
    records = [
        document("long", "one two three four", lang="en"),
        document("short", "one two three", lang="de"),
        query("q", "one two three four", lang="de"),
        query("r", "one two three four five", lang="de"),
        judgment("q", "long"),
        judgment("r", "short"),
    ]
    found = dataset(tmp_path / "set", records)
    report = check_dataset(found, count_tokens=words, max_tokens=4, cohorts=["lang"])
    cut = report.finding("cut_documents")
    assert cut is not None
    assert (cut.count, cut.share) == (1, 0.5)
    assert cut.examples[0].detail == "5 tokens"
    assert cut.examples[0].sources == ("d:long",)
    rows = {
        c.value: (c.documents, c.documents_cut, c.queries, c.queries_cut) for c in report.cohorts
    }
    assert rows == {"de": (1, 0, 2, 1), "en": (1, 1, 0, 0)}


def test_fields_with_few_values_are_the_cohorts_if_none_is_named(tmp_path: Path) -> None:
    records = [
        document(f"d{i}", lang=["en", "de"][i % 2], name=f"n{i}", same="x") for i in range(60)
    ]
    report = check(tmp_path, *records, query("q"), judgment("q", "d0"))
    assert {(c.field, c.value, c.documents) for c in report.cohorts} == {
        ("lang", "en", 30),
        ("lang", "de", 30),
    }


def test_an_unknown_cohort_is_answered_with_the_nearest(tmp_path: Path) -> None:
    found = dataset(tmp_path / "set", [document("a", lang="en"), query("q"), judgment("q", "a")])
    with pytest.raises(BadSetting, match=r"no record has a field 'lange'.*'lang'"):
        check_dataset(found, count_tokens=None, max_tokens=None, cohorts=["lange"])


def test_every_finding_shows_at_most_three_examples_and_says_what_to_do(tmp_path: Path) -> None:
    more = [document(f"x{i}", "same text") for i in range(9)]
    for finding in check(tmp_path, *CLEAN, *more).findings:
        assert 1 <= len(finding.examples) <= 3
        assert finding.advice.endswith(".")
