"""The web sheet: for this machine and this session alone, and deaf to what documents say."""

import json
import re
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from labelled import EVIL, dataset, items

from nearfar.errors import BadSetting
from nearfar.release.label_web import TOKEN, Sheet, address, serve
from nearfar.release.labelling import Labeller
from nearfar.release.marks import Journal
from nearfar.release.texts import Texts

PAIRS = [("q0", "d0"), ("q0", "d1"), ("q1", "d2")]


class Browser:
    """Asks as a page does, or as a stranger."""

    def __init__(self, port: int, token: str) -> None:
        self.port = port
        self.headers = {TOKEN: token, "Content-Type": "application/json"}

    def ask(self, path: str, body: Any = None, **headers: str | None) -> tuple[int, Any, Any]:
        """Return status, what came back, and its headers."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        sent = {**self.headers, **{name.replace("_", "-"): v for name, v in headers.items()}}
        text = body if isinstance(body, str) or body is None else json.dumps(body)
        connection.request("GET" if body is None else "POST", path, text,
                           {name: v for name, v in sent.items() if v is not None})  # fmt: skip
        answer = connection.getresponse()
        found = answer.read().decode()
        kind = answer.headers["Content-Type"]
        connection.close()
        return answer.status, json.loads(found) if "json" in kind else found, answer.headers


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "m.jsonl"


@pytest.fixture
def browser(tmp_path: Path, journal: Path) -> Iterator[Browser]:
    queue = items(*PAIRS, why="<b>new</b>\x1b[2J")
    labeller = Labeller(queue, Journal(journal), "ann", "0-3")
    sheet = Sheet(labeller, Texts(dataset(tmp_path / "d"), queue, "queue.jsonl"))
    with serve(sheet, 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        where, token = address(sheet, server).split("#")
        assert where == f"http://127.0.0.1:{server.server_address[1]}/"
        with pytest.raises(BadSetting, match="cannot be used"):
            serve(sheet, server.server_address[1])
        yield Browser(server.server_address[1], token)
        server.shutdown()
        thread.join()


def mark(pair: tuple[str, str], grade: Any, **more: Any) -> dict[str, Any]:
    return {"query_id": pair[0], "document_id": pair[1], "grade": grade, "seconds": 1.5} | more


def test_pairs_are_marked_skipped_and_taken_back(browser: Browser, journal: Path) -> None:
    status, state, _ = browser.ask("/state")
    assert (status, state["done"], state["total"], len(state["grades"])) == (200, 0, 3, 4)
    assert (state["pair"]["query_id"], state["pair"]["document_id"]) == PAIRS[0]
    _, state, _ = browser.ask("/mark", mark(PAIRS[0], 3, note="odd"))
    assert (state["done"], state["pair"]["document_id"]) == (1, "d1")
    _, state, _ = browser.ask("/skip", mark(PAIRS[1], None))
    assert (state["skipped"], state["pair"]["document_id"]) == (1, "d2")
    _, state, _ = browser.ask("/mark", mark(PAIRS[2], 0))
    _, state, _ = browser.ask("/mark", mark(PAIRS[1], 1))
    assert state["pair"] is None
    _, state, _ = browser.ask("/undo", {})
    assert (state["pair"]["document_id"], state["message"]) == ("d1", "Taken back.")
    line = json.loads(journal.read_text().splitlines()[0])
    assert (line["grade"], line["note"], line["seconds"], line["by"]) == (3, "odd", 1.5, "ann")


def test_a_note_that_is_no_text_loses_no_mark(browser: Browser, journal: Path) -> None:
    status, state, _ = browser.ask("/mark", mark(PAIRS[0], 2, note="half \ud83d of it"))
    assert (status, state["done"]) == (200, 1)
    assert Journal(journal).lines[0].note == "half ? of it"


def test_two_tabs_lose_no_mark(browser: Browser, journal: Path) -> None:
    browser.ask("/mark", mark(PAIRS[0], 3))  # one tab
    _, state, _ = browser.ask("/mark", mark(PAIRS[0], 1))  # the other still shows that pair
    assert "Marked 3 in another window" in state["message"]
    assert state["pair"]["document_id"] == "d1"
    threads = [
        threading.Thread(target=browser.ask, args=("/mark", mark(pair, 2))) for pair in PAIRS[1:]
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    marks = Journal(journal).standing()
    assert sorted((pair, m.line.grade) for (pair, _, _), m in marks.items()) == [
        (PAIRS[0], 3), (PAIRS[1], 2), (PAIRS[2], 2)]  # fmt: skip


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({TOKEN.replace("-", "_"): "wrong"}, 403),
        ({TOKEN.replace("-", "_"): None}, 403),
        ({"Host": "evil.example"}, 403),
        ({"Host": "evil.example:8765"}, 403),
        ({"Host": "127.0.0.1.evil.example:80"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://["}, 403),
        ({"Content_Length": "9" * 5000}, 413),
        ({"Content_Type": "text/plain"}, 400),
        ({"Content_Type": "application/x-www-form-urlencoded"}, 400),
    ],
)
def test_what_is_not_our_page_changes_nothing(
    browser: Browser, journal: Path, headers: dict[str, str | None], status: int
) -> None:
    assert browser.ask("/mark", mark(PAIRS[0], 3), **headers)[0] == status
    if status == 403 and "Origin" not in headers:
        assert browser.ask("/state", **headers)[0] == 403  # and shows nothing
    assert not journal.exists()


def test_a_tunnel_from_another_port_may_ask(browser: Browser) -> None:
    found = browser.ask("/undo", {}, Host="localhost:9000", Origin="http://localhost:9000")
    assert found[0] == 200


@pytest.mark.parametrize(
    "body",
    ["{", "[1]", "[" * 5000, mark(PAIRS[0], 4), mark(PAIRS[0], True), mark(PAIRS[0], "3"),
     mark(("q9", "d0"), 1), mark(PAIRS[0], 1, seconds=-1), mark(PAIRS[0], 1, seconds=True),
     mark(PAIRS[0], 1, note=["x"]), mark(PAIRS[0], 1, note="x" * 3000), {},
     '{"query_id": "q0", "document_id": "d0", "grade": 1, "seconds": NaN}'],
    ids=range(13),
)  # fmt: skip
def test_what_is_no_mark_is_refused(browser: Browser, journal: Path, body: Any) -> None:
    status, answer, _ = browser.ask("/mark", body)
    assert status == 400
    assert answer["error"]
    assert not journal.exists()


def test_what_is_too_long_or_elsewhere_is_refused(browser: Browser) -> None:
    assert browser.ask("/mark", mark(PAIRS[0], 1, note="x" * 70_000))[0] == 413
    for path in ("/../../etc/passwd", "/static/x", "/mark", "//evil.example/"):
        assert browser.ask(path)[0] == 404
    assert browser.ask("/state", {})[0] == 404


def test_documents_cannot_speak_to_the_browser(browser: Browser) -> None:
    _, state, headers = browser.ask("/state")
    shown = "".join(words for words, _ in state["pair"]["parts"])
    assert shown.startswith("<script>alert(1)</script>")  # as a text, in JSON
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert state["pair"]["why"] == "<b>new</b>\ufffd[2J"
    assert headers["Content-Type"] == "application/json"
    assert headers["X-Content-Type-Options"] == "nosniff"
    status, page, headers = browser.ask("/", **{TOKEN.replace("-", "_"): None})
    assert status == 200
    for text in (EVIL, "alert(", "tea 0", browser.headers[TOKEN]):  # the page itself holds nothing
        assert text not in page
    for way in ("innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval", "srcdoc"):
        assert way not in page  # texts become text nodes alone
    assert not re.search(r"(src|href|action)\s*=|url\(|@import|https?:", page)  # asks nobody else
    policy = headers["Content-Security-Policy"]
    nonce = re.search(r"script-src 'nonce-([^']+)'", policy)
    assert nonce
    assert page.count(f'nonce="{nonce[1]}"') == page.count("<script") + page.count("<style") == 2
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert nonce[1] not in browser.ask("/")[1]  # another one each time
