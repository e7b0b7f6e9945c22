"""What only a store in PostgreSQL has: its walk through HNSW, BM25 in SQL, texts it cannot hold."""

import math
import random
from collections import Counter
from collections.abc import Iterator

import psycopg
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pgvector.psycopg import register_vector
from psycopg.sql import SQL, Identifier
from shelves import entry, named, slow_nearest, unit_rows

from nearfar.data.words import words_of
from nearfar.errors import BadRecord
from nearfar.progress import silent
from nearfar.stores.contract import Entry, Layout, Store
from nearfar.stores.filters import Condition, matches
from nearfar.stores.postgres import PostgresShelf
from nearfar.stores.postgres_catalogue import Catalogue
from nearfar.stores.postgres_finding import ways_to
from nearfar.stores.postgres_texts import fields_json, restored, storable

LAYOUT = Layout(dim=16, fields={"rare": "truth", "year": "integer"})
WALK = "Index Scan using near_1 on"  # of a plan that goes through HNSW


@pytest.fixture
def index(request: pytest.FixtureRequest) -> str:
    return "".join(sign for sign in request.node.name.lower() if sign.isalnum())[-40:]


@pytest.fixture
def url(postgres_server: str) -> str:
    """The address of a server that walks through HNSW where it can, however few there are."""
    return f"{postgres_server}&options=-c%20enable_seqscan%3Doff"


@pytest.fixture
def shelf(url: str, index: str) -> PostgresShelf:
    return PostgresShelf(url, index, indexed_from=500)


@pytest.fixture
def store(shelf: PostgresShelf) -> Iterator[Store]:
    made = shelf.create("one", LAYOUT)
    yield made
    made.close()


def many(rows: int = 1_500, dim: int = 16) -> list[Entry]:
    return [
        entry(f"{at:04}", row, "", {"rare": at % 300 == 0, "year": at})
        for at, row in enumerate(unit_rows(rows, dim=dim))
    ]


def plans(url: str, index: str, where: tuple[Condition, ...] = ()) -> list[str]:
    """Return how PostgreSQL would go both ways to the nearest."""
    tables = Catalogue(url, index).find("one")
    ways, values = ways_to(tables, where)
    query = torch.ones(tables.layout.dim).numpy()
    with psycopg.connect(url) as connection:
        register_vector(connection)
        asked = {**values, "query": query, "k": 5, "rows": 5}
        return [
            "\n".join(line for (line,) in connection.execute(SQL("explain ") + way, asked))
            for way in ways
        ]


def test_the_walk_goes_through_hnsw_and_the_exact_search_never(
    store: Store, url: str, index: str
) -> None:
    store.upsert(many(400))
    store.optimise(silent)
    assert store.pending() == 400  # too few for an index
    assert not any(WALK in plan for plan in plans(url, index))
    store.upsert(many())
    assert store.pending() == 1_500
    told: list[str] = []
    store.optimise(lambda what, done, total, note="": told.append(what))
    assert store.pending() == 0
    assert "index vectors" in told
    walk, exact = plans(url, index)
    assert WALK in walk
    assert WALK not in exact
    store.upsert([entry("new", unit_rows(1, dim=16, seed=5))])
    assert store.pending() == 0
    assert store.nearest(unit_rows(1, dim=16, seed=5), 1)[0][0].id == "new"


def test_with_hnsw_all_k_that_match_are_found_with_exact_scores(store: Store) -> None:
    put = many()
    store.upsert(put)
    store.optimise(silent)
    queries = unit_rows(2, dim=16, seed=1)
    rare = (Condition("rare", "=", (True,)),)
    narrow = (*rare, Condition("year", ">", (600,)))
    for where, k in (((), 10), (rare, 3), (rare, 5), (rare, 9), (narrow, 4), ((), 1_500)):
        for query, hits in zip(queries, store.nearest(queries, k, where=where), strict=True):
            expected = slow_nearest(put, query, k, where, LAYOUT)
            assert len(hits) == len(expected)
            scores = {one.document.id: float(one.vectors[0] @ query) for one in put}
            assert [h.score for h in hits] == pytest.approx([scores[h.id] for h in hits], abs=1e-6)
            shared = set(named(hits)) & {name for name, _ in expected}
            assert len(shared) >= 0.9 * len(expected)


@pytest.mark.parametrize(("dim", "indexed"), [(2_001, True), (4_001, False)])
def test_long_vectors_are_walked_rounded_and_scored_whole(
    dim: int, indexed: bool, url: str, index: str
) -> None:
    layout = Layout(dim=dim)
    store = PostgresShelf(url, index, indexed_from=50).create("one", layout)
    put = [entry(f"{at:03}", row) for at, row in enumerate(unit_rows(60, dim=dim))]
    store.upsert(put)
    queries = unit_rows(3, dim=dim, seed=1)
    for _ in range(2):
        for query, hits in zip(queries, store.nearest(queries, 10), strict=True):
            expected = slow_nearest(put, query, 10, (), layout)
            assert named(hits) == [name for name, _ in expected]
            assert [hit.score for hit in hits] == pytest.approx([s for _, s in expected], abs=2e-6)
        store.optimise(silent)
    assert (store.pending() == 0) is indexed
    store.close()


def test_an_index_whose_building_was_broken_off_is_built_again(
    store: Store, postgres_server: str, index: str
) -> None:
    store.upsert(many(600))
    store.optimise(silent)
    with psycopg.connect(postgres_server) as connection:
        connection.execute(
            "update pg_index set indisvalid = false where indexrelid = %s::regclass",
            [f"nearfar_{index}.near_1"],
        )
    assert store.pending() == 600
    store.optimise(silent)
    assert store.pending() == 0


def slow_bm25(put: list[Entry], query: str) -> dict[str, float]:
    """Return the scores of all documents with a word of the query, by loops."""
    texts = {one.document.id: Counter(words_of(one.document.content)) for one in put}
    mean = sum(words.total() for words in texts.values()) / len(texts)
    scores: dict[str, float] = {}
    for word in words_of(query):
        held = sum(word in words for words in texts.values())
        for name, words in texts.items():
            if word in words:
                rarity = math.log(1 + (len(texts) - held + 0.5) / (held + 0.5))
                length = 1 - 0.75 + 0.75 * words.total() / mean
                share = words[word] / (words[word] + 1.5 * length)
                scores[name] = scores.get(name, 0.0) + rarity * share
    return scores


def test_words_score_as_bm25_by_loops_after_whatever_came_and_went(store: Store) -> None:
    dice = random.Random(0)
    # Words of very different rarity: some queries are settled by the rarest, some by none.
    words = [f"w{at}" for at in range(40) for _ in range(1 + 400 // (1 + at) ** 2)]
    row = unit_rows(1, dim=16)

    def made(name: str) -> Entry:
        text = " ".join(dice.choices(words, k=dice.randint(0, 30)))
        return entry(name, row, text, {"year": int(name)})

    put = {name: made(name) for name in (f"{at:03}" for at in range(300))}
    store.upsert(list(put.values()))
    again = {name: made(name) for name in dice.sample(sorted(put), 60)}
    store.upsert(list(again.values()))
    gone = dice.sample(sorted(put), 40)
    store.delete(gone)
    put = {name: one for name, one in {**put, **again}.items() if name not in gone}
    where = (Condition("year", ">=", (150,)),)
    queries = [" ".join(dice.choices(words, k=dice.randint(1, 8))) for _ in range(6)]
    queries += ["w0", "w0 w0 w1", "w39 w0 w1", "absent w38", "w0 w1 w2 w3"]
    for k in (1, 7, 1_000):
        for narrowed in ((), where):
            for query, hits in zip(queries, store.worded(queries, k, where=narrowed), strict=True):
                scores = {
                    name: score
                    for name, score in slow_bm25(list(put.values()), query).items()
                    if matches(narrowed, put[name].document.fields)
                }
                best = sorted(scores.values(), reverse=True)[:k]
                assert [h.score for h in hits] == pytest.approx(best), (query, k)
                assert [h.score for h in hits] == pytest.approx([scores[h.id] for h in hits])


def test_a_text_of_any_size_has_its_words(store: Store) -> None:
    row = unit_rows(1, dim=16)
    long = " ".join(f"word{at}" for at in range(20_000))
    store.upsert([entry("long", row, long), entry("one", row, "x" * 9_000)])
    assert named(store.worded(["word19999"], 3)[0]) == ["long"]
    assert named(store.worded(["x" * 9_000], 3)[0]) == ["one"]


def test_an_id_that_no_index_holds_is_refused(store: Store) -> None:
    row = unit_rows(1, dim=16)
    store.upsert([entry("é" * 1_000, row)])
    with pytest.raises(BadRecord, match="2,002 bytes"):
        store.upsert([entry("good", row), entry("é" * 1_001, row)])
    assert store.count() == 1


def test_fields_can_be_read_with_sql(store: Store, postgres_server: str, index: str) -> None:
    store.upsert([entry("a", unit_rows(1, dim=16), fields={"year": 3, "Größe": "XL"})])
    asked = SQL("select id, fields ->> 'Größe', f1 from {}").format(
        Identifier(f"nearfar_{index}", "documents_1")
    )
    with psycopg.connect(postgres_server) as connection:
        assert connection.execute(asked).fetchall() == [("a", "XL", 3)]


AWKWARD = st.text(st.sampled_from("\0\x01\x02\x03ab\ud7fe\ud7ff\ud800\udfff\ue000\U0010ffff"))


@given(st.lists(AWKWARD | st.text(), min_size=2, max_size=9))
def test_texts_change_their_form_and_nothing_else(texts: list[str]) -> None:
    forms = [storable(text) for text in texts]
    assert [restored(form) for form in forms] == texts
    assert all("\0" not in form and isinstance(form.encode(), bytes) for form in forms)
    assert [restored(form) for form in sorted(forms)] == sorted(texts)


def test_plain_texts_stay_as_they_are() -> None:
    for text in ("", "plain", "ünï 👍 \n\t\x7f", "\ue000"):
        assert storable(text) == text
    assert fields_json({"a": 1, "b": math.inf}) == '{"a": 1, "b": 1e999}'
