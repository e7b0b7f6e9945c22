"""A search log becomes judgments that say on what they rest, and what was left out is counted."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from making import dataset, document, judgment, query, write_lines

from nearfar.data.clicks.reader import ClickReader
from nearfar.data.clicks.settings import Clicks
from nearfar.data.importing import ImportOptions, import_source
from nearfar.data.notes import Notes, Record
from nearfar.data.splits import Shares
from nearfar.errors import BadFile, BadRecord, BadSetting
from nearfar.fingerprint import content_id
from nearfar.records import Document, Judgment, Query

CORPUS = [{"id": name, "text": f"text of {name}"} for name in "abcdef"]
EASY: dict[str, Any] = {"propensity": "power", "least_impressions": 2, "least_skips": 3}


def page(query: str, shown: str, clicks: str = "", **more: Any) -> dict[str, Any]:
    return {"query": query, "shown": list(shown), "clicks": list(clicks), **more}


def read(
    folder: Path,
    rows: Sequence[dict[str, Any]],
    *,
    shares: Shares | None = None,
    corpus: Sequence[dict[str, Any]] | None = CORPUS,
    **settings: Any,
) -> tuple[list[Record], Notes]:
    reader = ClickReader(
        write_lines(folder / "log.jsonl", *rows),
        documents=write_lines(folder / "documents.jsonl", *corpus) if corpus else None,
        settings=Clicks(**{**EASY, **settings}),
        shares=shares or Shares(dev=0, test=0),
    )
    return list(reader.records()), reader.notes


def judged(records: Sequence[Record]) -> dict[tuple[str, str], Judgment]:
    """Return the judgments by the text of the query and the id of the document."""
    texts = {r.id: r.content for r in records if isinstance(r, Query)}
    judgments = [r for r in records if isinstance(r, Judgment)]
    assert len({(j.query_id, j.document_id) for j in judgments}) == len(judgments)
    return {(texts[j.query_id], j.document_id): j for j in judgments}


def test_the_grade_is_the_formula_counted_by_hand(tmp_path: Path) -> None:
    rows = [page("q", "ab", "a")] * 4 + [page("q", "ba", "a")] * 2 + [page("q", "ba", "b")] * 2
    rows += [page("r", "cd", "c")] * 3 + [page("r", "cd")] * 3
    found = judged(
        read(tmp_path, rows, prior_examinations=5, least_share=0, least_propensity=0.1)[0]
    )
    seen = {"qa": 4 + 4 / 2, "qb": 4 / 2 + 4, "rc": 6, "rd": 6 / 2}
    clicks = {"qa": 6, "qb": 2, "rc": 3, "rd": 0}
    mean = sum(clicks.values()) / sum(seen.values())
    satisfaction = {}
    for pair in ("qa", "qb", "rc"):
        others = [p for p in seen if p[0] == pair[0]]
        of_query = (sum(clicks[p] for p in others) + 5 * mean) / (sum(seen[p] for p in others) + 5)
        satisfaction[pair] = (clicks[pair] + 5 * of_query) / (seen[pair] + 5)
    assert found["q", "a"].grade == 3.0
    ratio = satisfaction["qb"] / satisfaction["qa"]
    assert found["q", "b"].grade == pytest.approx(3 * ratio, abs=1e-4)
    assert found["q", "a"].origin.facts == {
        "rule": "clicked",
        "position": 1.5,
        "impressions": 8,
        "clicks": 6,
        "satisfied": 6,
        "ctr": 0.75,
        "weighted_ctr": 1.0,
        "satisfaction": pytest.approx(satisfaction["qa"], abs=1e-4),
    }
    assert found["q", "a"].origin.kind == "click"
    assert found["q", "a"].origin.source == "log.jsonl:1"
    assert found["r", "c"].grade == 3.0
    assert ("r", "d") not in found


def test_what_stood_above_a_click_and_was_never_clicked_is_no_answer(tmp_path: Path) -> None:
    rows = [page("q", "abc", "b", time=86_400)] * 4 + [page("q", "bca", "b")]
    records, notes = read(tmp_path, rows)
    found = judged(records)
    assert {pair: j.grade for pair, j in found.items()} == {("q", "a"): 0.0, ("q", "b"): 3.0}
    assert found["q", "a"].origin.facts == {
        "rule": "skip-above",
        "position": 1.4,
        "impressions": 5,
        "clicks": 0,
        "skips": 4,
    }
    assert found["q", "a"].origin.at == "1970-01-02T00:00:00+00:00"
    assert notes.left_out == {"pairs never clicked, and too seldom passed over": 1}
    assert set(judged(read(tmp_path, rows, least_skips=5)[0])) == {("q", "b")}


def test_one_click_ever_saves_a_document_from_being_a_negative(tmp_path: Path) -> None:
    rows = [page("q", "ab", "b")] * 9 + [page("q", "ab", "a", dwell=[1])]
    records, notes = read(tmp_path, rows)
    assert set(judged(records)) == {("q", "b")}
    assert notes.left_out == {"pairs only clicked with a stay too short": 1}


def test_a_short_stay_is_no_answer_and_an_unknown_one_is(tmp_path: Path) -> None:
    rows = [page("q", "a", "a", dwell=[29]), page("q", "ab", "a", dwell=[30])] * 2
    rows += [page("r", "b", "b")] * 2
    found = judged(read(tmp_path, rows)[0])
    assert found["q", "a"].origin.facts["satisfied"] == 2
    assert found["q", "a"].origin.facts["clicks"] == 4
    assert ("r", "b") in found


def test_too_little_support_is_counted_by_reason(tmp_path: Path) -> None:
    rows = [page("q", "ab", "a")] * 20 + [page("q", "ba", "b")] + [page("r", "cd", "c")]
    rows += [page("s", "ef", "f")] * 3
    records, notes = read(tmp_path, rows, least_clicks=4)
    assert set(judged(records)) == {("q", "a")}
    assert notes.left_out == {
        "pairs with too few impressions or clicks": 3,
        "pairs passed over, of queries without an answer": 1,
        "pairs never clicked, and too seldom passed over": 1,
    }
    assert {r.content for r in records if isinstance(r, Query)} == {"q"}
    assert sum(isinstance(r, Document) for r in records) == len(CORPUS)


def test_far_weaker_than_the_best_is_not_judged(tmp_path: Path) -> None:
    rows = [page("q", "ab", "a")] * 30 + [page("q", "ba", "b")] * 2
    records, notes = read(tmp_path, rows, prior_examinations=1)
    assert set(judged(records)) == {("q", "a")}
    assert notes.left_out == {"pairs far less clicked than the best of their query": 1}


def test_queries_alike_up_to_case_and_space_are_one(tmp_path: Path) -> None:
    rows = [page("  Red  CATS", "ab", "a"), page("red cats", "ab", "a", lang="en")]
    records, _ = read(tmp_path, rows)
    (query,) = [r for r in records if isinstance(r, Query)]
    assert (query.id, query.content) == (content_id("red cats"), "Red CATS")
    assert judged(records)["Red CATS", "a"].origin.facts["impressions"] == 2


def test_documents_come_from_a_corpus_a_dataset_or_the_log(tmp_path: Path) -> None:
    rows = [page("q", "ab", "a")] * 2
    log = write_lines(tmp_path / "log.jsonl", *rows)
    write_lines(tmp_path / "beir" / "corpus.jsonl", {"_id": "a", "title": "A", "text": "one"})
    write_lines(tmp_path / "b.csv", "doc_id,text", "a,A one")
    dataset(tmp_path / "set", [document("a", "A one"), query("x"), judgment("x", "a")])
    for source in ("beir", "b.csv", "set"):
        records = list(
            ClickReader(log, documents=tmp_path / source, settings=Clicks(**EASY)).records()
        )
        assert next(r.content for r in records if isinstance(r, Document)) == "A one"
        assert set(judged(records)) == {("q", "a")}
    shown = [{"id": "a", "text": "A one"}, {"id": "b", "text": "B"}]
    later = [{"id": "a", "text": "A two"}, "b"]
    rows = [{"query": "q", "shown": s, "clicks": ["a"]} for s in (shown, later)]
    records, notes = read(tmp_path, rows, corpus=None)
    assert [r.content for r in records if isinstance(r, Document)] == ["A one", "B"]
    assert notes.left_out["later texts of documents (the first is kept)"] == 1


def test_what_has_no_text_cannot_be_judged(tmp_path: Path) -> None:
    rows = [page("q", "ab", "a")] * 2 + [page("r", "bz", "z")] * 3
    records, notes = read(tmp_path, rows)
    assert set(judged(records)) == {("q", "a")}
    assert notes.left_out["judgments of documents without a text"] == 1
    assert notes.left_out["pairs passed over, of queries without an answer"] == 1
    with pytest.raises(BadSetting, match="names 3 documents and holds the text of none"):
        read(tmp_path, rows, corpus=None)
    with pytest.raises(BadRecord, match=r"no query has an answer.*3 lack the text alone"):
        read(tmp_path, rows, corpus=[{"id": "none", "text": "of them"}])


def test_a_wrong_path_is_said_before_the_log_is_read(tmp_path: Path) -> None:
    log = write_lines(tmp_path / "log.jsonl", page("q", "a", "a"), "this is no JSON")
    with pytest.raises(BadFile, match=r"nowhere\.jsonl: no such file"):
        list(ClickReader(log, documents=tmp_path / "nowhere.jsonl").records())
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadFile, match=r"empty: expected documents, found a folder without"):
        list(ClickReader(log, documents=tmp_path / "empty").records())
    bad = write_lines(tmp_path / "bad.jsonl", {"id": "a"})
    with pytest.raises(BadRecord, match=r"bad\.jsonl:1: expected a document with its text"):
        list(ClickReader(log, documents=bad).records())


def test_a_log_of_clicks_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRecord, match="every one of 4 shown documents was clicked"):
        read(tmp_path, [page("q", "ab", "ab")] * 2)


def test_a_log_too_small_to_tell_rank_from_relevance_says_so(tmp_path: Path) -> None:
    rows = [page("q", "ab", "a")] * 50  # never in another order
    with pytest.raises(BadSetting, match=r"'estimated' learns from .* Found 0.*'power'"):
        read(tmp_path, rows, propensity="estimated")


WRONG = [
    ({"propensity": "guess"}, "one of estimated, power, got 'guess'"),
    ({"least_propensity": 0}, "least_propensity must be above 0"),
    ({"least_propensity": float("nan")}, "least_propensity must be 0 to 1, got nan"),
    ({"least_clicks": 0}, "least_clicks must be 1 or more, got 0"),
    ({"eta": float("inf")}, "eta must be 0 or more, got inf"),
    ({"least_share": 1.5}, "least_share must be 0 to 1, got 1.5"),
]


@pytest.mark.parametrize(("settings", "message"), WRONG, ids=lambda x: str(x)[:30])
def test_a_setting_out_of_range_is_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(BadSetting, match=f"clicks.{message}|{message}"):
        Clicks(**settings)


def test_broken_rows_are_set_aside_and_each_row_is_counted_once(tmp_path: Path) -> None:
    good = [page("q", "ab", "a")] * 3
    rows = [*good, page("r", "ab", "a", time="soon"), page("", "ab"), "{not JSON"]
    log = write_lines(tmp_path / "log.jsonl", *rows)
    more = [{"id": "", "text": "x"}, {"id": "a", "text": "another"}, CORPUS[1], {"id": "g"}]
    corpus = write_lines(tmp_path / "documents.jsonl", more[0], *CORPUS, *more[1:], "{not JSON")
    options = ImportOptions(
        kind="clicks", documents=str(corpus), clicks=Clicks(**EASY), on_error="reject",
        shares=Shares(dev=0, test=0), origin_kind="human",
    )  # fmt: skip
    found = import_source(log, tmp_path / "set", options)
    (only,) = found.dataset.judgments()
    assert only.origin.kind == "human"
    assert found.tally.facts() == {
        "read": 6 + 11,
        "accepted": 3 + 6,
        "merged": 1,
        "rejected": {
            "broken time": 1,
            "id of another text": 1,
            "no id": 1,
            "no text": 1,
            "not JSON": 2,
        },
        "left_out": {"pages without a query": 1},
    }
    assert len((tmp_path / "set" / "rejects.jsonl").read_text().splitlines()) == 6
    with pytest.raises(BadRecord, match=r"log\.jsonl:4: expected a time|log\.jsonl:6"):
        list(ClickReader(log, documents=None, settings=Clicks(**EASY)).records())


def test_each_event_is_counted_once(tmp_path: Path) -> None:
    def event(query: str, document: str, position: int | None, event: str) -> dict[str, Any]:
        return {"query": query, "document": document, "position": position, "event": event,
                "session": "s"}  # fmt: skip

    rows = [event("q", "a", 1, "impression"), event("q", "b", 2, "impression")]
    rows += [event("q", "a", None, "click"), event("q", "z", None, "click")]
    rows += [event("", "a", 1, "impression"), event("", "b", 2, "impression")]
    log = write_lines(tmp_path / "log.jsonl", *rows)
    corpus = write_lines(tmp_path / "documents.jsonl", *CORPUS)
    settings = Clicks(**{**EASY, "least_impressions": 1, "least_clicks": 1})
    options = ImportOptions(kind="clicks", documents=str(corpus), clicks=settings)
    tally = import_source(log, tmp_path / "set", options).tally
    assert tally.facts() == {
        "read": 6 + 6,
        "accepted": 3 + 6,
        "merged": 0,
        "rejected": {},
        "left_out": {
            "clicks on what the page did not show": 1,
            "rows of pages without a query": 2,
        },
    }
