"""What was put in is found again, best first, and only by the model that put it there."""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from doubles import LETTERS, LetterEncoder
from torch import Tensor

from nearfar.data.dataset import Dataset
from nearfar.data.writer import FORMAT, write_dataset
from nearfar.errors import BadSetting, SpaceMismatch
from nearfar.model.space import EmbeddingSpace
from nearfar.progress import Progress, silent
from nearfar.records import Document, Judgment, Origin, Query, Role
from nearfar.search import documents_file
from nearfar.search.index import Index, build_index, open_index
from nearfar.search.search import search, search_vectors

TEXTS = ("a cat", "the dog", "blue sky", "act", "dog the", "jazz quiz", "tac")


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Index:
    monkeypatch.setattr(documents_file, "_ROWS_PER_GROUP", 3)
    with write_dataset(tmp_path / "data", licence="CC0-1.0", parents=[]) as writer:
        for place, text in enumerate(TEXTS):
            extra: dict[str, str | int | bool] = {"year": 2000 + place % 2, "old": place < 2}
            if place != 6:
                extra["language"] = "de" if place % 3 else "en"
            writer.add_document(
                Document(id=f"d{place}", content=text, source=f"t:{place}", fields=extra)
            )
        writer.add_query(Query(id="q", content="cat"))
        origin = Origin(kind="human", source="t:9")
        writer.add_judgment(Judgment(query_id="q", document_id="d0", grade=1, origin=origin))
    return build_index(LetterEncoder(), Dataset.open(tmp_path / "data"), tmp_path / "index")


def test_a_text_is_found_again_with_its_source(index: Index) -> None:
    (hit,) = search(index, LetterEncoder(), "sky blue", k=1)
    assert hit.document.id == "d2"
    assert hit.document.source == "t:2"
    assert hit.score == pytest.approx(1)
    assert hit.rank == 1


def test_hits_come_best_first_and_equals_in_the_order_of_the_index(index: Index) -> None:
    hits = search(index, LetterEncoder(), "cat", k=4)
    assert [hit.document.id for hit in hits] == ["d3", "d6", "d0", "d1"]
    assert [hit.rank for hit in hits] == [1, 2, 3, 4]
    assert hits[0].score == hits[1].score > hits[2].score > hits[3].score


def test_many_queries_get_what_each_gets_alone(index: Index) -> None:
    queries = ["cat", "dog", "zebra", "cat"]
    together = search(index, LetterEncoder(), queries, k=3)
    assert together == [search(index, LetterEncoder(), query, k=3) for query in queries]


def test_no_queries_get_no_hits(index: Index) -> None:
    assert search(index, LetterEncoder(), []) == []


def test_asking_for_more_than_there_is_returns_all(index: Index) -> None:
    assert len(search(index, LetterEncoder(), "cat", k=1_000)) == len(TEXTS)


@pytest.mark.parametrize("choice", [field.name for field in fields(EmbeddingSpace)])
def test_another_model_is_refused_and_the_choice_that_differs_is_named(
    choice: str, index: Index
) -> None:
    other = {str: "other", int: 25, bool: False}[type(getattr(LETTERS, choice))]
    stranger = LetterEncoder(replace(LETTERS, **{choice: other}))
    with pytest.raises(SpaceMismatch, match=rf"search this index[\s\S]*\n  {choice}: .* here"):
        search(index, stranger, "cat")


class Long(LetterEncoder):
    def encode(self, contents: Sequence[str], role: Role, *, progress: Progress = silent) -> Tensor:
        return 7 * super().encode(contents, role)


def test_the_score_is_a_cosine_also_where_vectors_are_not_normalised(index: Index) -> None:
    assert search(index, Long(), "act", k=1)[0].score == pytest.approx(1)


@pytest.mark.parametrize("k", [0, -1])
def test_no_places_is_refused(k: int, index: Index) -> None:
    with pytest.raises(BadSetting, match=f"1 or more, got {k}"):
        search(index, LetterEncoder(), "cat", k=k)


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({"language": "de"}, {"d1", "d2", "d4", "d5"}),
        ({"year": "2001"}, {"d1", "d3", "d5"}),
        ({"old": "true"}, {"d0", "d1"}),
        ({"language": "de", "year": "2001"}, {"d1", "d5"}),
        ({"language": "fr"}, set()),
        ({}, {f"d{place}" for place in range(7)}),
    ],
)
def test_a_filter_leaves_exactly_the_documents_that_have_the_values(
    where: dict[str, str], expected: set[str], index: Index
) -> None:
    hits = search(index, LetterEncoder(), "cat", where=where)
    assert {hit.document.id for hit in hits} == expected
    everyone = search(index, LetterEncoder(), "cat")
    kept = [hit.document.id for hit in everyone if hit.document.id in expected]
    assert [hit.document.id for hit in hits] == kept


def test_an_unknown_field_is_refused_with_the_choices(index: Index) -> None:
    with pytest.raises(BadSetting, match=r"no field 'lang'.*language, old, year"):
        search(index, LetterEncoder(), "cat", where={"lang": "de"})


def test_a_value_of_another_type_is_refused(index: Index) -> None:
    with pytest.raises(BadSetting, match=r"'year' holds int64 values, and 'new' is none"):
        search(index, LetterEncoder(), "cat", where={"year": "new"})


def test_threads_can_share_an_index(index: Index) -> None:
    queries = [text for text in TEXTS for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda query: search(index, LetterEncoder(), query), queries))
    assert found == [search(index, LetterEncoder(), query) for query in queries]


class Lots(LetterEncoder):
    """Random directions, the same ones each time, for texts that are numbers."""

    def __init__(self, vectors: Tensor) -> None:
        super().__init__(replace(LETTERS, dim=vectors.shape[1]))
        self.vectors = vectors

    def encode(self, contents: Sequence[str], role: Role, *, progress: Progress = silent) -> Tensor:
        return self.vectors[torch.tensor([int(text) for text in contents])]


def test_a_large_index_finds_what_brute_force_finds(tmp_path: Path) -> None:
    count = 200_000
    numbers = pa.array(range(count)).cast(pa.string())
    empty = pa.array([""] * count)
    columns = {"id": numbers, "content": numbers, "group": empty, "source": numbers}
    (tmp_path / "data").mkdir()
    pq.write_table(pa.table(columns), tmp_path / "data" / "documents.parquet")
    manifest = {"format": FORMAT, "digest": "0", "rows": {"documents": count}}
    (tmp_path / "data" / "manifest.json").write_text(json.dumps(manifest))
    vectors = torch.randn(count, 64)
    build_index(Lots(vectors), Dataset.open(tmp_path / "data"), tmp_path / "index")
    index = open_index(tmp_path / "index")
    queries = torch.randn(3, 64)
    cosines = torch.nn.functional.cosine_similarity(queries[:, None], vectors[None], dim=2)
    want = cosines.argsort(dim=1, descending=True)[:, :10]
    found = search_vectors(index, queries)
    assert [[int(hit.document.id) for hit in hits] for hits in found] == want.tolist()
    assert all(hit.document.source == hit.document.id for hits in found for hit in hits)
