"""Our search as one model of `mteb` finds what our search finds, in its order."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from doubles import LetterEncoder
from hypothesis import given
from hypothesis import strategies as st
from shop import WORDS, Lengths, Roles, shop

from nearfar.data.dataset import Dataset
from nearfar.errors import BadRecord, BadSetting
from nearfar.interop.mteb_search import NearfarSearch, Stages, strictly_falling
from nearfar.search.candidates import Fusion
from nearfar.search.index import build_index, open_lexical
from nearfar.search.reranked import retrieve_then_rerank
from nearfar.search.search import search

datasets = pytest.importorskip("datasets")

QUESTIONS = [" ".join(WORDS[i : i + 2]) for i in range(6)]
TASK = SimpleNamespace(name="shop", revision="abc")
Found = Mapping[str, Mapping[str, float]]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return shop(tmp_path_factory.mktemp("shop") / "data")


def corpus_of(data: Dataset, **columns: list[str]) -> Any:
    rows = list(data.documents())
    return datasets.Dataset.from_dict(
        {"id": [row.id for row in rows], "text": [row.content for row in rows], **columns}
    )


def asked(texts: Sequence[str], **columns: list[str]) -> Any:
    ids = [f"q{i}" for i in range(len(texts))]
    return datasets.Dataset.from_dict({"id": ids, "text": list(texts), **columns})


def indexed(data: Dataset, encoder: LetterEncoder, **stages: Any) -> NearfarSearch:
    model = NearfarSearch(encoder, "nearfar/x", Stages(**stages))
    model.index(corpus_of(data), task_metadata=TASK)
    return model


def orders(found: Found) -> list[list[str]]:
    for hits in found.values():
        scores = [np.float32(score) for score in hits.values()]
        assert all(one > other for one, other in pairwise(scores))
    return [list(hits) for hits in found.values()]


@pytest.mark.parametrize("k", [1, 10, 1_000])
def test_hits_are_those_of_a_search_ties_included(data: Dataset, tmp_path: Path, k: int) -> None:
    encoder = LetterEncoder()  # of texts with the same letters it makes one vector
    found = indexed(data, encoder).search(asked(QUESTIONS), top_k=k)
    index = build_index(encoder, data, tmp_path / "index")
    expected = search(index, encoder, QUESTIONS, k=k)
    assert orders(found) == [[hit.document.id for hit in hits] for hits in expected]
    scores = [score for hits in found.values() for score in hits.values()]
    assert scores == pytest.approx([hit.score for hits in expected for hit in hits], abs=1e-5)


@pytest.mark.parametrize("weight", [None, 0.3])
def test_two_stages_with_words_are_those_that_are_served(
    data: Dataset, tmp_path: Path, weight: float | None
) -> None:
    encoder, reranker = Roles(), Lengths()
    model = indexed(
        data, encoder, reranker=reranker, candidates=7, lexical=True, lexical_weight=weight
    )
    found = model.search(asked(QUESTIONS), top_k=1_000)
    assert reranker.read == 7 * len(QUESTIONS)
    index = build_index(encoder, data, tmp_path / "index", lexical=True)
    fusion = Fusion.by_lexical_weight(open_lexical(index), weight)
    expected = retrieve_then_rerank(
        index, encoder, Lengths(), QUESTIONS, k=7, candidates=7, fusion=fusion
    )
    assert orders(found) == [[hit.document.id for hit in one.hits] for one in expected]


def test_words_alone_join_without_a_reranker(data: Dataset, tmp_path: Path) -> None:
    encoder = Roles()
    found = indexed(data, encoder, lexical=True).search(asked(QUESTIONS), top_k=9)
    index = build_index(encoder, data, tmp_path / "index", lexical=True)
    expected = retrieve_then_rerank(
        index, encoder, None, QUESTIONS, k=9, candidates=9, fusion=Fusion(open_lexical(index))
    )
    assert orders(found) == [[hit.document.id for hit in one.hits] for one in expected]


@pytest.mark.parametrize("reranker", [None, Lengths()])
def test_a_reranking_task_finds_only_what_it_names(
    data: Dataset, reranker: Lengths | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nearfar.interop.mteb_search._QUERIES_AT_ONCE", 2)
    model = indexed(data, Roles(), reranker=reranker, candidates=1)
    named = {"q0": ["d30", "d07", "d30", "d12"], "q2": ["d01"], "q3": []}
    found = model.search(asked(QUESTIONS), top_k=2, top_ranked=named)
    everything = model.search(asked(QUESTIONS), top_k=80)
    length = {one.id: len(one.content.strip()) for one in data.documents()}
    order = list(everything["q0"]) if reranker is None else sorted(length, key=lambda i: -length[i])
    assert list(found["q0"]) == [id_ for id_ in order if id_ in named["q0"]][:2]
    assert [list(found[q]) for q in ("q1", "q2", "q3")] == [[], ["d01"], []]
    orders(found)
    with pytest.raises(BadRecord, match="no 'd99'"):
        model.search(asked(QUESTIONS), top_k=2, top_ranked={"q0": ["d99"]})


def test_a_corpus_is_embedded_once_and_another_takes_its_place(data: Dataset) -> None:
    encoder = Roles()
    model, corpus = NearfarSearch(encoder, "nearfar/x"), corpus_of(data)
    model.index(corpus, task_metadata=TASK)
    model.index(corpus, task_metadata=TASK)
    assert encoder.asked == [("document", 80)]
    first = model._index
    assert first is not None
    model.index(corpus.select(range(5)), task_metadata=TASK)
    assert not first.folder.exists()
    assert set(model.search(asked(QUESTIONS), top_k=9)["q0"]) == {f"d0{i}" for i in range(5)}
    folder = model._index.folder if model._index else Path()
    assert folder.exists()
    del model
    assert not folder.parent.exists()


def test_titles_and_instructions_are_read(data: Dataset) -> None:
    titles = [WORDS[0] if i == 3 else "" for i in range(80)]
    model = NearfarSearch(LetterEncoder(), "nearfar/x")
    model.index(corpus_of(data, title=titles), task_metadata=TASK)
    assert model._index is not None
    stored = model._index.documents.fetch([3, 7])
    plain = {one.id: one.content for one in data.documents()}
    assert stored[3].content == f"{WORDS[0]} {plain['d03']}"
    assert stored[7].content == plain["d07"]
    assert plain["d07"].startswith("  ")
    more = [WORDS[5]] * len(QUESTIONS)
    told = model.search(asked(QUESTIONS, instruction=more), top_k=9)
    said = model.search(asked([f"{text} {WORDS[5]}" for text in QUESTIONS]), top_k=9)
    assert told == said
    assert told != model.search(asked(QUESTIONS), top_k=9)


def test_what_cannot_be_searched_is_refused(data: Dataset) -> None:
    model = NearfarSearch(LetterEncoder(), "nearfar/x")
    with pytest.raises(ValueError, match="nothing is indexed"):
        model.search(asked(QUESTIONS), top_k=3)
    with pytest.raises(BadRecord, match="empty corpus"):
        model.index(datasets.Dataset.from_dict({"id": [], "text": []}), task_metadata=TASK)
    with pytest.raises(BadRecord, match="columns id, image"):
        model.index(datasets.Dataset.from_dict({"id": ["a"], "image": [1]}), task_metadata=TASK)
    for wrong in ({"candidates": 0}, {"lexical_weight": 0.5},
                  {"lexical": True, "lexical_weight": float("nan")}):  # fmt: skip
        with pytest.raises(BadSetting):
            Stages(**wrong)


def test_every_stage_renames_the_revision() -> None:
    mteb = pytest.importorskip("mteb")
    encoder = LetterEncoder()
    stages = [
        Stages(),
        Stages(reranker=Lengths()),
        Stages(reranker=Lengths(), candidates=50),
        Stages(lexical=True),
        Stages(lexical=True, lexical_weight=0.5),
    ]
    metas = [NearfarSearch(encoder, "nearfar/x", one).mteb_model_meta for one in stages]
    assert metas[0].revision == encoder.space.fingerprint
    assert len({meta.revision for meta in metas}) == len(stages)
    assert metas[2].loader_kwargs["candidates"] == 50
    assert [meta.is_cross_encoder for meta in metas] == [False, True, True, False, False]
    assert isinstance(NearfarSearch(encoder, "nearfar/x"), mteb.SearchProtocol)


@given(
    st.lists(
        st.floats(-(2.0**90), 2.0**90, width=32) | st.sampled_from([0.0, 1.0, 0.5]), max_size=30
    )
)
def test_scores_fall_strictly_and_move_no_more_than_they_must(scores: list[float]) -> None:
    scores.sort(reverse=True)
    fallen = np.array(strictly_falling(scores), dtype=np.float32)
    assert (np.diff(fallen) < 0).all()
    if len(set(scores)) == len(scores):
        assert fallen.tolist() == np.array(scores, dtype=np.float32).tolist()
