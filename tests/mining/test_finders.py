"""Who brings candidates: words, lists of neighbours, and several together."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from flat_world import LEARN, Angles, Judged, mined, world

from nearfar.data.dataset import Dataset
from nearfar.errors import BadRecord
from nearfar.mining.finders import Approximate, Exact, fused
from nearfar.mining.negatives import mine_negatives
from nearfar.mining.settings import Mining
from nearfar.mining.summary import MiningSummary
from nearfar.progress import Progress, silent
from nearfar.records import Role
from nearfar.vectors.similarity import unit


def mine(tmp_path: Path, dataset: Dataset, **settings: object) -> tuple[list[str], MiningSummary]:
    mining = Mining(**settings)  # type: ignore[arg-type]
    summary = mine_negatives(Angles(), dataset, tmp_path / "mined", mining, replace=True)
    return [document for query, document in mined(tmp_path / "mined") if query == "q"], summary


SIX = {f"n{a}": f"w{a} {a}" for a in (40, 50, 60, 70, 80, 85)} | {"answer": "an answer 20"}


def test_bm25_brings_what_shares_rare_words(tmp_path: Path) -> None:
    queries = {"q": "zebra stripes 0"}
    documents = {"answer": "an answer 20", "lexical": "the zebra stripes 89", "near": "other 40"}
    documents |= {f"far{i}": f"thing{i} {91 + i}" for i in range(9)}
    dataset = world(tmp_path / "data", documents, LEARN, queries=queries)
    assert mine(tmp_path, dataset, depth=2)[0] == ["near"]
    found, _ = mine(tmp_path, dataset, depth=3, finders=("bm25",))
    assert found == ["lexical"]  # no other shares a word
    both, _ = mine(tmp_path, dataset, depth=3, finders=("encoder", "bm25"))
    assert set(both) == {"lexical", "near"}


def test_bm25_offers_no_document_of_dev_or_test(tmp_path: Path) -> None:
    queries = {"q": "zebra 0", "exam": "else 80"}
    documents = SIX | {"kept": "zebra 89", "free": "zebra two 88"}
    judged: list[Judged] = [*LEARN, ("exam", "kept", 1, "test")]
    dataset = world(tmp_path / "data", documents, judged, queries=queries)
    assert mine(tmp_path, dataset, finders=("bm25",))[0] == ["free"]


def test_fusion_adds_up_reciprocal_ranks() -> None:
    one = torch.tensor([[4, 7, 2], [1, 0, -1]])
    other = torch.tensor([[7, 9, 4], [-1, -1, -1]])
    # 7: 1/62 + 1/61, 4: 1/61 + 1/63, 9: 1/62, 2: 1/63
    assert fused([one, other], 4).tolist() == [[7, 4, 9, 2], [1, 0, -1, -1]]


def test_an_approximate_search_finds_what_it_promises() -> None:
    dice = torch.Generator().manual_seed(0)
    documents = unit(torch.randn(3_000, 16, generator=dice))
    among = torch.arange(0, 3_000, 2)
    queries = unit(torch.randn(200, 16, generator=dice))
    finder = Approximate(documents, among)
    found = finder.find([], queries, 10)
    exact = Exact(documents, among).find([], queries, 10)
    hits = [len(np.intersect1d(a, b)) for a, b in zip(found.numpy(), exact.numpy(), strict=True)]
    assert finder.recall == pytest.approx(sum(hits) / exact.numel())
    assert finder.recall >= 0.95
    assert set(found.unique().tolist()) <= set(among.tolist())


def test_an_approximate_search_says_its_recall(tmp_path: Path) -> None:
    dataset = world(tmp_path / "data", SIX, LEARN)
    found, summary = mine(tmp_path, dataset, search="approximate")
    assert found == ["n40", "n50", "n60", "n70"]
    assert summary.recall == 1.0


def test_documents_without_a_word_are_no_candidates_of_bm25(tmp_path: Path) -> None:
    class Blind(Angles):
        def encode(
            self, contents: Sequence[str], role: Role, *, progress: Progress = silent
        ) -> torch.Tensor:
            return super().encode(["0"] * len(contents), role)

    dataset = world(tmp_path / "data", {"answer": "!!!", "other": "???"}, LEARN)
    summary = mine_negatives(Blind(), dataset, tmp_path / "mined", Mining(finders=("bm25",)))
    assert summary.negatives == 0


def test_nothing_free_of_dev_and_test_is_said(tmp_path: Path) -> None:
    queries = {"q": "ask 0", "exam": "else 50"}
    judged: list[Judged] = [*LEARN, ("exam", "answer", 1, "test")]
    dataset = world(tmp_path / "data", {"answer": "an answer 20"}, judged, queries=queries)
    with pytest.raises(BadRecord, match="neither dev nor test has a claim on"):
        mine_negatives(Angles(), dataset, tmp_path / "mined")


def test_bm25_divides_texts_as_the_search_does(tmp_path: Path) -> None:
    queries = {"q": "図書館 の cafe\u0301 0"}
    documents = {"answer": "an answer 20", "library": "東京都の図書館で 89"}
    documents |= {"place": "Caf\u00e9 Stra\u00dfe 88", "other": "天気 87"}
    dataset = world(tmp_path / "data", documents, LEARN, queries=queries)
    found, _ = mine(tmp_path, dataset, finders=("bm25",))
    assert set(found) == {"library", "place"}
