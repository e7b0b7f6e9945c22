"""/search refuses what cannot be asked, and nothing that is sent makes it fail."""

import json
import math
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from index_world import FIELDS, World
from running import running

from nearfar.errors import BadSetting
from nearfar.serve.search_shapes import SearchBounds


@pytest.fixture(scope="module")
def world() -> World:
    return World()


BIG = 2**63
HOSTILE: list[tuple[dict[str, Any] | list[Any] | str | None, int, str]] = [
    ({}, 400, "either query"),
    ({"query": "a", "queries": ["b"]}, 400, "either query"),
    ({"query": ""}, 400, "query: "),
    ({"query": 7}, 400, "query: "),
    ({"queries": []}, 400, "queries: "),
    ({"queries": ["a"] * 65}, 413, "at most 64 texts, found 65"),
    ({"query": "a" * 200_001}, 413, "at most 200,000 characters"),
    ({"query": "a", "k": 0}, 400, "k: "),
    ({"query": "a", "k": 1_001}, 400, "k: expected at most 1,000, found 1,001"),
    ({"query": "a", "k": True}, 400, "k: "),
    ({"query": "a", "k": BIG}, 400, "k: "),
    ({"query": "a", "candidates": 9}, 400, "candidates must be k, which is 10, or more"),
    ({"query": "a", "candidates": 2_001}, 400, "candidates: expected at most 2,000"),
    ({"queries": ["a"] * 64, "rerank": True, "candidates": 500}, 400, "to rerank: expected"),
    ({"query": "a", "words": 1.5}, 400, "words"),
    ({"query": "a", "words": "rank"}, 400, "words"),
    ({"query": "a", "rerank": "nobody"}, 404, "found 'nobody'"),
    ({"query": "a", "budget_ms": 0}, 400, "budget_ms"),
    ({"query": "a", "index": "nowhere"}, 404, "found 'nowhere'"),
    ({"query": "a", "where": ["year"]}, 400, "'year' is no condition"),
    ({"query": "a", "where": ["colour=red"]}, 400, "no field that a search"),
    ({"query": "a", "where": ["year=soon"]}, 400, "holds integer values"),
    ({"query": "a", "where": ["year>=1|2"]}, 400, "holds integer values"),
    ({"query": "a", "where": [{"field": "year", "value": "1"}]}, 400, "holds integer values"),
    ({"query": "a", "where": [{"field": "year", "value": BIG}]}, 400, "at most 64 bits"),
    ({"query": "a", "where": [{"field": "year", "sign": "~", "value": 1}]}, 400, "where"),
    ({"query": "a", "where": [{"field": "year", "sign": "<", "value": [1, 2]}]}, 400, "2 values"),
    ({"query": "a", "where": [{"field": "new", "value": 1}]}, 400, "holds truth values"),
    ({"query": "a", "where": ["lang=de"] * 65}, 400, "where"),
    ({"query": "a", "limit": 5}, 400, "limit: "),
    ([], 400, "JSON object"),
    ("[" * 100_000, 400, "JSON"),
    ('{"query": "\\ud800"}', 400, "JSON"),
    ('{"query": "a", "budget_ms": NaN}', 400, "JSON"),
    ('{"query": "a"', 400, "JSON"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "status", "told"), HOSTILE, ids=lambda value: str(value)[:60])
def test_what_cannot_be_asked_is_refused(world: World, body: Any, status: int, told: str) -> None:
    content = body if isinstance(body, str) else json.dumps(body)
    headers = {"content-type": "application/json"}
    answer = world.ask("POST", "/search", content=content, headers=headers)
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert told in error["message"]
    assert answer.json()["detail"] == error["message"]


def test_words_need_an_index_that_has_them() -> None:
    answer = World(words=False).ask("POST", "/search", {"query": "a", "words": "ranks"})
    assert answer.status_code == 400
    assert "made without words" in answer.json()["error"]["message"]


def test_a_body_says_what_it_is(world: World) -> None:
    answer = world.ask("POST", "/search", content='{"query": "a"}', headers={"content-type": "x/y"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (415, "not_json")


def test_the_operator_says_how_much_may_be_asked() -> None:
    world = World(bounds=SearchBounds(hits=3, queries=1))
    assert world.ask("POST", "/search", {"query": "a", "k": 4}).status_code == 400
    assert world.ask("POST", "/search", {"queries": ["a", "b"], "k": 3}).status_code == 413
    assert world.ask("POST", "/search", {"query": "a", "k": 3}).status_code == 200
    with pytest.raises(BadSetting, match="hits must be above 0, got 0"):
        SearchBounds(hits=0)


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    world = World()
    with running(world.app) as url, httpx.Client(base_url=url, timeout=20) as found:
        yield found
    world.indexes.close()


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"])),
)  # fmt: skip
CONDITIONS = st.one_of(
    VALUES, st.sampled_from(["lang=de", "year>2012", "size<=1.5", "new!=true", "=", "lang=|"]),
    st.fixed_dictionaries(
        {"field": st.sampled_from([*FIELDS, "", "x"])},
        optional={"sign": st.sampled_from(["=", "!=", "<", "x"]),
                  "value": VALUES | st.lists(VALUES, max_size=3)},
    ),
)  # fmt: skip
BODIES = st.fixed_dictionaries(
    {},
    optional={
        "query": VALUES, "queries": VALUES | st.lists(VALUES, max_size=3),
        "k": VALUES | st.integers(0, 20), "where": VALUES | st.lists(CONDITIONS, max_size=3),
        "index": VALUES | st.just("shop"), "words": VALUES | st.sampled_from(["ranks", "none"]),
        "rerank": VALUES | st.just("places"), "candidates": VALUES | st.integers(0, 50),
        "budget_ms": VALUES, "exact": VALUES, "explain": VALUES, "content": VALUES, "user": VALUES,
    },
)  # fmt: skip


@given(
    BODIES | st.recursive(VALUES, lambda some: st.lists(some) | st.dictionaries(st.text(), some))
)
@settings(max_examples=50, deadline=None)
def test_no_body_makes_the_server_fail(client: httpx.Client, body: Any) -> None:
    try:
        content = json.dumps(body).encode()
    except UnicodeEncodeError:
        return
    headers = {"content-type": "application/json"}
    answer = client.post("/search", content=content, headers=headers)
    assert answer.status_code in (200, 400, 404), answer.text
    if answer.status_code == 200:
        for one in answer.json()["answers"]:
            scores = [hit["score"] for hit in one["hits"]]
            assert all(math.isfinite(score) for score in scores)
    else:
        assert answer.json()["error"]["message"]
