"""Two stages measured: against loops, from one reading, and never above what is possible."""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import measure_twins as twins
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from asked import Judged, asked
from doubles import LetterEncoder
from letter_reranker import LetterReranker
from torch import Tensor

from nearfar.data.dataset import Dataset
from nearfar.errors import BadModel
from nearfar.evaluation.evaluate import Evidence, evaluate, with_reranker, write_per_query
from nearfar.evaluation.page import write_page
from nearfar.evaluation.report import headline, read_report, write_report
from nearfar.evaluation.reranked import TwoStages, compare_stages, read_candidates
from nearfar.evaluation.settings import Evaluation
from nearfar.evaluation.stages import Reranking, told_of_stages
from nearfar.pipeline.evaluating import SecondStage, evaluate_into
from nearfar.progress import Progress, silent
from nearfar.records import Role
from nearfar.vectors.similarity import unit

ASKED = (10, 30)
SETTINGS = Evaluation(map_points=20)
COUNT = 60


class Placed(LetterEncoder):
    """Counts letters, the later the more: no two cosines are equal up to rounding."""

    def encode(self, contents: Sequence[str], role: Role, *, progress: Progress = silent) -> Tensor:
        vectors = torch.zeros(len(contents), 26)
        for row, text in enumerate(contents):
            for place, letter in enumerate(text.encode(), start=2):
                vectors[row, letter % 26] += math.sqrt(place)
        return unit(vectors)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Answers begin as their query does; cosines do not know what begins a text."""
    dice = np.random.default_rng(0)
    texts = ["".join(dice.choice(list("abcdefgh"), 12)) for _ in range(COUNT)]
    documents = {f"d{i}": text for i, text in enumerate(texts)}
    queries = {f"q{i}": text[:6] + "".join(dice.choice(list("abcdefgh"), 6))
               for i, text in enumerate(texts)}  # fmt: skip
    judged: list[Judged] = [(f"q{i}", f"d{i}", 2.0, "test") for i in range(COUNT)]
    judged += [(f"q{i}", f"d{(i + 7) % COUNT}", 1.0, "test") for i in range(0, COUNT, 3)]
    judged += [(f"q{i}", f"d{(i + 1) % COUNT}", 0.0, "test") for i in range(COUNT)]
    folder = tmp_path_factory.mktemp("stages") / "d"
    return asked(folder, documents, queries, judged)


def rows_of(dataset: Dataset, text: str) -> list[int]:
    contents = [one.content for one in dataset.documents()]
    vectors = Placed().encode([text, *contents], "query")
    return (-(vectors[1:] @ vectors[0])).argsort(stable=True).tolist()[: max(ASKED)]


def fetching(dataset: Dataset) -> Callable[[Sequence[int]], list[str]]:
    contents = [one.content for one in dataset.documents()]
    return lambda rows: [contents[row] for row in rows]


@pytest.fixture(scope="module")
def evidence(dataset: Dataset) -> Evidence:
    reranker = LetterReranker()
    measured = evaluate(Placed(), None, dataset, SETTINGS)
    found = with_reranker(
        measured, dataset, lambda text: rows_of(dataset, text), fetching(dataset), reranker, ASKED
    )
    assert reranker.waves == [1] + [10, 20] * COUNT  # woken, then each candidate is read once
    return found


@pytest.fixture(scope="module")
def stages(evidence: Evidence) -> TwoStages:
    assert evidence.stages is not None
    return evidence.stages


@pytest.fixture(scope="module")
def found(evidence: Evidence) -> Reranking:
    assert evidence.report.reranking is not None
    return evidence.report.reranking


def looped(stages: TwoStages, dataset: Dataset, depth: int) -> list[list[str]]:
    """Rankings where the first candidates are reranked, made by sorting pairs."""
    contents = {one.id: one.content for one in dataset.documents()}
    rankings = []
    for query, ids in zip(stages.task.queries, stages.candidates, strict=True):
        likes = [(-LetterReranker.like(query.content, contents[i]), at)
                 for at, i in enumerate(ids[:depth])]  # fmt: skip
        rankings.append([*(ids[at] for _, at in sorted(likes)), *ids[depth:]])
    return rankings


@pytest.mark.parametrize("depth", [0, 10, 20, 30])
def test_each_depth_is_that_of_a_plain_loop(
    depth: int, found: Reranking, stages: TwoStages, dataset: Dataset
) -> None:
    rankings = looped(stages, dataset, depth)
    judged = [stages.task.judged[query.id] for query in stages.task.queries]
    grades = [{id_: int(grade) for id_, grade in own.items()} for own in judged]
    pairs = list(zip(rankings, grades, strict=True))
    want = {
        "ndcg_at_10_score": [twins.ndcg(*pair, 10) for pair in pairs],
        "recall_at_10_score": [twins.recall(*pair, 10) for pair in pairs],
        "mrr_at_10_score": [twins.reciprocal_rank(*pair, 10) for pair in pairs],
        "judged_at_10_score": [len(set(own[:10]) & set(known)) / 10 for own, known in pairs],
    }
    at = found.at(depth)
    assert {one.name for one in at.measures} == set(want)
    for name, values in want.items():
        measure = at.measure(name)
        assert measure.tuned is not None
        assert measure.tuned.mean == pytest.approx(np.mean(values), abs=1e-6)
    held = [twins.recall(own, known, depth) for own, known in zip(
        stages.candidates, grades, strict=True)]  # fmt: skip
    assert at.recall.mean == pytest.approx(np.mean(held))


def test_none_reranked_is_retrieval_alone_and_all_is_the_whole_list(found: Reranking) -> None:
    assert [depth.candidates for depth in found.depths] == [0, 10, 20, 30]
    for measure in found.at(0).measures:
        assert measure.tuned == measure.base
        assert measure.difference is not None
        assert measure.difference.mean == 0
    assert found.at(0).ceiling == found.at(0).measure("ndcg_at_10_score").base
    for depth in found.depths:  # all are held against the same retrieval
        assert [one.base for one in depth.measures] == [one.base for one in found.at(0).measures]


def test_no_reranker_passes_the_best_possible_order(found: Reranking, stages: TwoStages) -> None:
    ceilings = [depth.ceiling.mean for depth in found.depths]
    assert ceilings == sorted(ceilings)
    assert ceilings[-1] > ceilings[0] + 0.1
    for depth in found.depths:
        tuned = depth.measure("ndcg_at_10_score").tuned
        assert tuned is not None
        assert tuned.mean <= depth.ceiling.mean
    everything = found.depths[-1]
    lost = [twins.recall(ids, {d: int(g) for d, g in stages.task.judged[q.id].items()}, 30) < 1
            for q, ids in zip(stages.task.queries, stages.candidates, strict=True)]  # fmt: skip
    assert (everything.ceiling.mean < 1) == any(lost)


def test_reranking_is_seen_to_win(found: Reranking) -> None:
    measure = found.at(30).measure("ndcg_at_10_score")
    assert measure.verdict == "better"
    assert measure.difference is not None
    assert measure.difference.n == COUNT
    told = told_of_stages(found)
    assert "lifts it" in told[1]
    assert f"leaves {100 - 100 * found.at(30).recall.mean:.1f} % of the answers out" in told[0]


def test_intervals_know_which_queries_hang_together(dataset: Dataset, stages: TwoStages) -> None:
    clusters = [str(i // 6) for i in range(COUNT)]
    together = compare_stages(stages, "r", clusters, words_too=False)
    found = together.at(10).measure("ndcg_at_10_score").difference
    assert found is not None
    assert (found.n, found.clusters) == (COUNT, 10)


def test_each_stage_is_timed_query_by_query(dataset: Dataset, evidence: Evidence) -> None:
    reranker = LetterReranker(pairs_per_second=4)
    texts = fetching(dataset)

    def slow(text: str) -> list[int]:
        reranker.now += 3 if text == evidence.task.queries[0].content else 2
        return rows_of(dataset, text)[:28]

    def slow_texts(rows: Sequence[int]) -> list[str]:
        reranker.now += 0.5 * len(rows)
        return texts(rows)

    stages = read_candidates(
        evidence.task, slow, slow_texts, reranker, (20, 10, 500), clock=reranker.clock
    )
    assert stages.depths == (10, 20, 28)  # no more than was found
    assert stages.retrieval_seconds.tolist() == [3] + [2] * (COUNT - 1)
    assert stages.fetching_seconds.tolist() == [[5, 10, 14]] * COUNT
    assert stages.reranking_seconds.tolist() == [[2.5, 5, 7]] * COUNT
    found = compare_stages(stages, "r", [str(i) for i in range(COUNT)], words_too=False)
    assert found.pairs_per_second == 4
    assert (found.retrieval.median_seconds, found.reranking.p95_seconds) == (2, 7)
    assert found.fetching is not None
    assert found.fetching.median_seconds == 14
    assert found.asked == (10, 20, 28)
    for depth, seconds in ((10, 2.5), (20, 5), (28, 7)):
        timed = found.at(depth).reranking
        assert timed is not None
        assert timed.median_seconds == seconds
    assert found.at(0).reranking is None
    (told,) = (line for line in told_of_stages(found) if "to retrieve" in line)
    assert "14,000.0 [14,000.0] ms to fetch" in told
    assert "7,000.0 [7,000.0] ms to rerank 28 candidates" in told


def test_waking_the_models_asks_nothing_that_is_measured(
    dataset: Dataset, evidence: Evidence
) -> None:
    asked: list[str] = []

    def retrieve(text: str) -> list[int]:
        asked.append(text)
        return rows_of(dataset, text)

    read_candidates(evidence.task, retrieve, fetching(dataset), LetterReranker(), (10,))
    assert asked[1:] == [query.content for query in evidence.task.queries]
    assert asked[0] not in asked[1:]


def test_a_report_with_both_stages_is_read_as_written(evidence: Evidence, tmp_path: Path) -> None:
    write_report(evidence.report, tmp_path)
    assert read_report(tmp_path).reranking == evidence.report.reranking
    facts = json.loads((tmp_path / "report.json").read_text())
    assert [row["candidates"] for row in facts["reranking"]["depths"]] == [0, 10, 20, 30]
    del facts["reranking"]  # as written before there were two stages
    (tmp_path / "report.json").write_text(json.dumps(facts))
    assert read_report(tmp_path).reranking is None


def test_every_query_keeps_what_each_stage_made_of_it(
    evidence: Evidence, found: Reranking, tmp_path: Path
) -> None:
    write_per_query(evidence, tmp_path)
    table = pq.read_table(tmp_path / "per_query.parquet")
    for name, depth in (("retrieved", 0), ("reranked", 30)):
        for measure in found.at(depth).measures:
            values = table[f"{name}_{measure.name}"].to_numpy()
            assert measure.tuned is not None
            assert np.mean(values) == pytest.approx(measure.tuned.mean)
    for row in table.to_pylist():
        assert len(row["retrieved_hits"]) == len(row["reranked_hits"]) == 10
        assert row["candidates"] == 30


def test_the_page_tells_and_draws_both_stages(
    evidence: Evidence, found: Reranking, dataset: Dataset, tmp_path: Path
) -> None:
    write_page(evidence, dataset, tmp_path, SETTINGS, log=None)
    page = (tmp_path / "report.html").read_text()
    assert headline(evidence.report) in page
    for sentence in told_of_stages(found):
        assert sentence in page
    assert "best possible order" in page
    assert page.count("<svg") == 3  # histograms, maps, and candidates; there are no cohorts
    again = tmp_path / "again"
    write_page(evidence, dataset, again, SETTINGS, log=None)
    assert (again / "report.html").read_text() == page


@pytest.mark.parametrize("lexical", [False, True])
def test_the_last_model_finds_and_the_reranker_reads(
    lexical: bool, dataset: Dataset, tmp_path: Path
) -> None:
    second = SecondStage(reranker=LetterReranker(), candidates=(10, 500), lexical=lexical)
    report = evaluate_into(tmp_path / "r", dataset, (Placed(), Placed()), SETTINGS, second=second)
    assert report.reranking is not None
    assert report.reranking.words_too == lexical
    alone = report.reranking.at(0).measure("ndcg_at_10_score").base
    # No query shares a word with a document: words change nothing.
    assert alone == report.measure("ndcg_at_10_score").tuned
    assert report.reranking.asked == (10, COUNT)
    assert report.reranking.at(COUNT).recall.mean == 1  # every document is a candidate
    assert report.reranking.at(COUNT).ceiling.mean == 1


def test_a_score_that_is_no_number_is_said(dataset: Dataset, evidence: Evidence) -> None:
    class Broken(LetterReranker):
        def score(self, query: str, documents: object) -> torch.Tensor:
            found = super().score(query, documents)  # type: ignore[arg-type]
            found[2:3] = math.inf
            return found

    rows = rows_of(dataset, evidence.task.queries[0].content)
    bad = evidence.task.document_ids[rows[2]]
    with pytest.raises(BadModel, match=rf"for the query 'q0', such as for document '{bad}'"):
        with_reranker(
            evidence, dataset, lambda text: rows_of(dataset, text), fetching(dataset), Broken(),
            ASKED,
        )  # fmt: skip
