"""/feedback is on disk before it is answered, and `nearfar import --as clicks` learns from it."""

import datetime as dt
import json
import os
from pathlib import Path
from typing import Any

import httpx
import pytest
from index_world import DOCUMENTS, World, ids, kept
from inside import in_app
from typer.testing import CliRunner

from nearfar.cli import app as command
from nearfar.data.dataset import Dataset
from nearfar.errors import BadFile, StoreFull
from nearfar.serve import feedback as module
from nearfar.serve.feedback import FeedbackLog, Said, Shown

NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
NOBODY = "0" * 32


def log_in(folder: Path, *, searches: bool = True, texts: bool = True) -> FeedbackLog:
    return FeedbackLog(folder, searches=searches, texts=texts, now=lambda: NOW)


def rows(folder: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in kept(folder, name)]


def shown(search: str, *documents: str, query: str = "alpha") -> Shown:
    hits = [(id, 1.0 - place / 10) for place, id in enumerate(documents)]
    return Shown(search=search, index="shop", version="v1", space="s", query=query, user="",
                 hits=hits)  # fmt: skip


def test_what_is_said_of_an_answer_is_kept_with_what_the_answer_showed(tmp_path: Path) -> None:
    world = World(log=log_in(tmp_path))

    async def ask(client: httpx.AsyncClient) -> tuple[Any, list[Any]]:
        body = {"query": "mu nu", "k": 3, "user": "u1"}
        (found,) = (await client.post("/search", json=body)).json()["answers"]
        search, second = found["search_id"], found["hits"][1]["id"]
        said = [
            {"search_id": search, "kind": "click", "document_id": second, "dwell_seconds": 31.5},
            {"search_id": search, "kind": "helpful", "document_id": second},
            {"search_id": search, "kind": "wrong"},
            {"search_id": NOBODY, "kind": "escalated"},
            {"search_id": search, "kind": "click", "document_id": "d0"},
        ]
        return found, [await client.post("/feedback", json=one) for one in said]

    found, answers = in_app(world.app, ask)
    search, second = found["search_id"], found["hits"][1]["id"]
    assert [one.json() for one in answers[:3]] == [{"kept": True, "known": True}] * 3
    assert answers[3].json() == {"kept": True, "known": False}
    assert (answers[4].status_code, answers[4].json()["error"]["code"]) == (400, "not_shown")
    at = "2026-03-01T12:00:00.000+00:00"
    assert rows(tmp_path, "feedback") == [
        {"search": search, "at": at, "kind": "click", "document": second, "dwell_seconds": 31.5,
         "position": 2},
        {"search": search, "at": at, "kind": "helpful", "document": second, "position": 2},
        {"search": search, "at": at, "kind": "wrong"},
        {"search": NOBODY, "at": at, "kind": "escalated"},
    ]  # fmt: skip
    (row,) = rows(tmp_path, "searches")
    assert row["shown"] == [{"id": hit["id"], "score": hit["score"]} for hit in found["hits"]]
    assert (row["query"], row["user"], row["index"]) == ("mu nu", "u1", "shop")
    clicks = rows(tmp_path, "clicks")
    assert [one["document"] for one in clicks] == [*ids(found["hits"]), second]
    assert [one["clicked"] for one in clicks] == ["shown"] * 3 + ["click"]


def test_searches_and_their_texts_are_kept_only_if_asked_for(tmp_path: Path) -> None:
    for name, searches, texts in (("none", False, True), ("ids", True, False)):
        World(log=log_in(tmp_path / name, searches=searches, texts=texts)).search(
            query="mu nu", user="somebody"
        )
    assert [path.name for path in (tmp_path / "none").iterdir()] == ["feedback.jsonl"]
    assert kept(tmp_path / "none", "feedback") == []
    (line,) = kept(tmp_path / "ids", "searches")
    assert "mu nu" not in line
    assert "somebody" not in line
    assert len(json.loads(line)["shown"]) == 10
    assert not (tmp_path / "ids" / "clicks.jsonl").exists()


def test_the_importer_of_clicks_reads_what_the_server_wrote(tmp_path: Path) -> None:
    world = World(log=log_in(tmp_path / "log"))
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("".join(
        json.dumps({"id": one.id, "text": one.content}) + "\n" for one in DOCUMENTS
    ))  # fmt: skip

    async def people(client: httpx.AsyncClient) -> dict[str, list[str]]:
        pages = {}
        for person in range(12):
            for query in ("mu nu", "beta gamma"):
                body = {"query": query, "k": 4, "user": f"u{person}"}
                (found,) = (await client.post("/search", json=body)).json()["answers"]
                pages[query] = ids(found["hits"])
                # Ten of twelve click the third, and so pass over the first two.
                if person < 10:
                    click = {"search_id": found["search_id"], "kind": "click",
                             "document_id": pages[query][2], "dwell_seconds": 60}  # fmt: skip
                    assert (await client.post("/feedback", json=click)).status_code == 200
        return pages

    pages = in_app(world.app, people)
    done = CliRunner().invoke(
        command,
        ["import", str(tmp_path / "log/clicks.jsonl"), str(tmp_path / "data"), "--as", "clicks",
         "--documents", str(corpus), "--set", "clicks.propensity=power",
         "--set", "clicks.least_skips=5", "--dev", "0", "--test", "0"],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    dataset = Dataset.open(tmp_path / "data")
    queries = {one.id: one for one in dataset.queries()}
    assert {one.fields["index"] for one in queries.values()} == {"shop"}
    found = {
        (queries[one.query_id].content, one.document_id): (
            one.grade > 0, one.origin.facts["impressions"], one.origin.facts["clicks"]
        )
        for one in dataset.judgments()
    }  # fmt: skip
    expected = {}
    for query, page in pages.items():
        expected |= {(query, page[2]): (True, 12, 10), (query, page[0]): (False, 12, 0),
                     (query, page[1]): (False, 12, 0)}  # fmt: skip
    assert found == expected


def test_a_click_is_known_after_a_restart_and_half_a_row_is_cut_off(tmp_path: Path) -> None:
    first = log_in(tmp_path)
    first.searched(shown("1" * 32, "a", "b"))
    first.close()
    for name in ("searches", "feedback", "clicks"):
        with (tmp_path / f"{name}.jsonl").open("a") as file:
            file.write('{"search": "2')
    second = log_in(tmp_path)
    assert second.say(Said(search="1" * 32, kind="click", document="b")) is True
    with pytest.raises(LookupError):
        second.say(Said(search="1" * 32, kind="click", document="c"))
    second.close()
    assert len(rows(tmp_path, "searches")) == 1
    assert [row["document"] for row in rows(tmp_path, "clicks")] == ["a", "b", "b"]
    assert len(rows(tmp_path, "feedback")) == 1


def test_of_two_servers_each_needs_its_own_folder(tmp_path: Path) -> None:
    first = log_in(tmp_path)
    with pytest.raises(BadFile, match="another server writes to it"):
        log_in(tmp_path)
    first.close()
    log_in(tmp_path).close()
    (tmp_path / "searches.jsonl").write_text('{"a": 1}\n')
    with pytest.raises(BadFile, match=r"searches.jsonl: expected rows that a server wrote"):
        log_in(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(BadFile, match="expected a folder where feedback can be written"):
        log_in(tmp_path / "file")


def test_feedback_is_flushed_before_it_is_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = log_in(tmp_path, searches=False)
    flushed: list[int] = []
    whole = os.fsync

    def fsync(handle: int) -> None:
        flushed.append(os.fstat(handle).st_size)
        whole(handle)

    monkeypatch.setattr(module.os, "fsync", fsync)
    log.say(Said(search=NOBODY, kind="wrong"))
    assert flushed == [(tmp_path / "feedback.jsonl").stat().st_size]


def test_a_full_disk_is_said_and_leaves_no_half_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    log = log_in(tmp_path)
    log.searched(shown("1" * 32, "a"))
    log.say(Said(search="1" * 32, kind="wrong"))
    whole = os.write

    def full(handle: int, data: Any) -> int:
        if len(data) > 20:
            return whole(handle, data[:20])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "write", full)
    with pytest.raises(StoreFull, match=r"feedback.jsonl: cannot be written to .*No space"):
        log.say(Said(search="1" * 32, kind="helpful"))
    log.searched(shown("2" * 32, "a"))  # who searches is answered
    assert "a search was not kept" in caplog.text
    world = World(log=log)
    answer = world.ask("POST", "/feedback", {"search_id": "1" * 32, "kind": "wrong"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (507, "store_full")
    assert world.ask("POST", "/search", {"query": "alpha"}).status_code == 200
    monkeypatch.undo()
    log.say(Said(search="1" * 32, kind="escalated"))
    assert [row["kind"] for row in rows(tmp_path, "feedback")] == ["wrong", "escalated"]
    assert len(rows(tmp_path, "searches")) == 1


def test_what_is_remembered_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_REMEMBERED", 30)
    log = log_in(tmp_path)
    for place in range(20):
        log.searched(shown(f"{place:032x}", "a", "b"))
    assert log.say(Said(search=f"{19:032x}", kind="wrong")) is True
    assert log.say(Said(search=f"{9:032x}", kind="wrong")) is False


def test_texts_that_the_importer_refuses_do_not_spoil_the_file(tmp_path: Path) -> None:
    log = log_in(tmp_path)
    log.searched(shown("1" * 32, "a", query="nul \0 byte"))
    log.searched(shown("2" * 32, "a", query="line\nend \u2028 and more"))
    assert log.say(Said(search="1" * 32, kind="click", document="a")) is True
    assert [row["session"] for row in rows(tmp_path, "clicks")] == ["2" * 32]
    assert len(rows(tmp_path, "searches")) == 2


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"search_id": "short", "kind": "wrong"}, 400),
        ({"search_id": NOBODY + "\n", "kind": "wrong"}, 400),
        ({"search_id": NOBODY, "kind": "bad"}, 400),
        ({"search_id": NOBODY, "kind": "click"}, 400),
        ({"search_id": NOBODY, "kind": "click", "document_id": ""}, 400),
        ({"search_id": NOBODY, "kind": "wrong", "dwell_seconds": -1}, 400),
        ({"search_id": NOBODY, "kind": "wrong", "dwell_seconds": 1e9}, 400),
        ({"search_id": NOBODY, "kind": "wrong", "dwell_seconds": "5"}, 400),
        ({"search_id": NOBODY, "kind": "wrong", "comment": "x"}, 400),
        ([], 400),
    ],
    ids=str,
)
def test_what_is_no_feedback_is_refused(tmp_path: Path, body: Any, status: int) -> None:
    answer = World(log=log_in(tmp_path)).ask("POST", "/feedback", body)
    assert answer.status_code == status
    assert answer.json()["error"]["message"]
    assert kept(tmp_path, "feedback") == []


def test_a_server_that_keeps_no_feedback_says_so() -> None:
    answer = World().ask("POST", "/feedback", {"search_id": NOBODY, "kind": "wrong"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "feedback_off")
