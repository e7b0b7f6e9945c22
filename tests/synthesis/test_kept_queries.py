"""A query is kept if it finds its document, is new, is its own words, and leaks nothing."""

from pathlib import Path

import pytest
from doubles import LetterEncoder
from hypothesis import given
from hypothesis import strategies as st
from town import human

from nearfar.data.dataset import Dataset
from nearfar.data.writer import write_dataset
from nearfar.errors import BadSetting
from nearfar.records import Document, Query
from nearfar.synthesis.candidates import Candidate
from nearfar.synthesis.filters import TextSieve, copied_share
from nearfar.synthesis.passages import Passage
from nearfar.synthesis.round_trip import vector_sieve
from nearfar.synthesis.settings import Filters

TEXTS = {"a": "aaaa aab", "b": "bbbb bbc", "b2": "BBBB  bbc", "c": "cccc ccd", "d": "dddd dda"}


def candidate(text: str, document: str = "a", content: str = "") -> Candidate:
    of = Document(id=document, content=content or TEXTS[document])
    passage = Passage(document=of, start=0, end=len(of.content))
    return Candidate(text=text, passage=passage, by="m", facts={"style": "question"})


def by_text(*candidates: Candidate, asked: set[bytes] | None = None, **rules: float) -> TextSieve:
    sieve = TextSieve(Filters(**rules), asked or set(), copies_allowed=False)  # type: ignore[arg-type]
    list(sieve.sift(candidates))
    return sieve


def world(folder: Path) -> Dataset:
    with write_dataset(folder, licence="CC0-1.0", parents=[]) as writer:
        for name, text in TEXTS.items():
            writer.add_document(Document(id=name, content=text))
        writer.add_query(Query(id="q-a", content="aaac"))
        writer.add_query(Query(id="q-d", content="ddddb"))
        writer.add_judgment(human("q-a", "a", "train"))
        writer.add_judgment(human("q-d", "d", "test"))
    return Dataset.open(folder)


def kept(
    folder: Path, *candidates: Candidate, **rules: float | None
) -> tuple[list[tuple[str, int | None]], dict[str, int]]:
    off: dict[str, float | None] = {
        "rank": None, "near_duplicate_cosine": None, "measured_cosine": None
    }  # fmt: skip
    filters = Filters(**(off | rules))  # type: ignore[arg-type]
    sieve = vector_sieve(LetterEncoder(), world(folder), filters, {"a", "b"})
    return [(c.text, rank) for c, rank in sieve.sift(candidates)], dict(sieve.dropped)


@pytest.mark.parametrize(
    ("text", "reason"),
    [("ab", "too short"), ("x" * 601, "too long"), ("what is  a CAT", "asked by someone already")],
)
def test_a_drop_has_a_reason(text: str, reason: str) -> None:
    from nearfar.data.spool import short_hash
    from nearfar.synthesis.filters import normal

    asked = {short_hash(normal("What is a cat?"))}
    assert by_text(candidate(text), asked=asked).dropped == {reason: 1}


def test_the_same_words_for_two_documents_are_kept_once() -> None:
    found = by_text(candidate("who is it?", "a"), candidate("Who is it", "b"))
    assert found.dropped == {"written before": 1}


def test_a_copy_of_the_passage_is_dropped_and_keywords_are_not() -> None:
    content = "The quick brown fox jumps over the lazy dog beside the river."
    copy = candidate("quick brown fox jumps over the lazy dog?", content=content)
    keywords = candidate("quick brown fox", content=content)
    own = candidate("which animal leaps over a sleeping hound?", content=content)
    assert by_text(copy, keywords, own).dropped == {"copied from the passage": 1}


@given(st.text(alphabet="ab ", max_size=12), st.text(alphabet="ab ", max_size=20))
def test_the_longest_common_piece_is_the_one_that_loops_find(query: str, passage: str) -> None:
    from nearfar.synthesis.filters import normal

    one, other = normal(query), normal(passage)
    spans = [(i, j) for i in range(len(one)) for j in range(i + 1, len(one) + 1)]
    longest = max((j - i for i, j in spans if one[i:j] in other), default=0)
    assert copied_share(query, passage) == longest / max(len(one), 1)


def test_a_query_must_find_its_document_again(tmp_path: Path) -> None:
    written = [candidate("aaaaa", "a"), candidate("bbbbb", "a"), candidate("aaab", "a")]
    found, dropped = kept(tmp_path / "d", *written, rank=1)
    assert found == [("aaaaa", 1), ("aaab", 1)]
    assert dropped == {"own document not among the 1 nearest": 1}


def test_the_rank_is_that_of_the_document_among_all(tmp_path: Path) -> None:
    found, _ = kept(tmp_path / "d", candidate("cccaa", "a"), rank=4)
    assert found == [("cccaa", 2)]


def test_a_copy_under_another_id_counts_as_found(tmp_path: Path) -> None:
    found, _ = kept(tmp_path / "d", candidate("bbbbb", "b2"), rank=1)
    assert found == [("bbbbb", 1)]


def test_a_near_duplicate_of_a_query_of_the_same_document_is_dropped(tmp_path: Path) -> None:
    first, second = candidate("aaaaaaab", "a"), candidate("baaaaaaa", "a")
    other = candidate("ab aaaaaa", "b")
    found, dropped = kept(tmp_path / "d", first, second, other, near_duplicate_cosine=0.99)
    assert [text for text, _ in found] == ["aaaaaaab", "ab aaaaaa"]
    assert dropped == {"near-duplicate of a query of its document": 1}


def test_the_queries_a_document_has_already_count_too(tmp_path: Path) -> None:
    found, dropped = kept(tmp_path / "d", candidate("caaa", "a"), near_duplicate_cosine=0.99)
    assert found == []
    assert dropped == {"near-duplicate of a query of its document": 1}


def test_a_query_close_to_one_of_test_is_dropped(tmp_path: Path) -> None:
    found, dropped = kept(tmp_path / "d", candidate("bdddd", "a"), measured_cosine=0.99)
    assert found == []
    assert dropped == {"too close to a query of dev or test": 1}
    # A query of train is no leak.
    assert kept(tmp_path / "e", candidate("caaa", "a"), measured_cosine=0.99)[1] == {}


@pytest.mark.parametrize("rule", [{"rank": 0}, {"copied_share": 0.0}, {"measured_cosine": 1.5}])
def test_a_rule_that_makes_no_sense_is_refused(rule: dict[str, float]) -> None:
    with pytest.raises(BadSetting, match=next(iter(rule))):
        Filters(**rule)  # type: ignore[arg-type]
