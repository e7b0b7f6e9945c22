"""Quality within a time: as many candidates of each query as fit, and none of the others."""

import math
from pathlib import Path

import measure_twins as twins
import numpy as np
import pyarrow.parquet as pq
import pytest
from asked import Judged, asked
from letter_reranker import LetterReranker
from test_reranked_evaluation import SETTINGS, Placed

from nearfar.data.dataset import Dataset
from nearfar.errors import BadSetting
from nearfar.evaluation.budgeted import Budgeted, answer_within, compare_budgets
from nearfar.evaluation.embedded import Task
from nearfar.evaluation.report import read_report
from nearfar.evaluation.reranked import TwoStages
from nearfar.evaluation.stages import told_of_stages
from nearfar.pipeline.evaluating import SecondStage, evaluate_into
from nearfar.records import Query

COUNT, MOST = 40, 30
NDCG = "ndcg_at_10_score"


@pytest.fixture(scope="module")
def stages() -> TwoStages:
    """Candidates in a random order, of which a reranker thinks at random."""
    dice = np.random.default_rng(0)
    ids = [f"d{i}" for i in range(60)]
    queries = tuple(Query(id=f"q{i}", content=f"query {i}") for i in range(COUNT))
    judged = {q.id: {str(d): 1.0 + dice.integers(3) for d in dice.choice(ids, 6)} for q in queries}
    task = Task(queries, tuple(ids), {id_: row for row, id_ in enumerate(ids)}, judged, 0)
    return TwoStages(
        task=task,
        candidates=[[str(d) for d in dice.permutation(ids)[:MOST]] for _ in queries],
        logits=[dice.standard_normal(MOST) for _ in queries],
        depths=(MOST,),
        retrieval_seconds=np.ones(COUNT),
        fetching_seconds=np.ones((COUNT, 1)),
        reranking_seconds=np.ones((COUNT, 1)),
    )


def test_each_query_is_asked_alone_once_for_each_budget(stages: TwoStages) -> None:
    now, asked_for = 0.0, []

    def answer(text: str, seconds: float) -> int:
        nonlocal now
        asked_for.append((text, seconds))
        now += seconds + int(text.split()[1])
        return min(int(4 * seconds) + int(text.split()[1]), MOST)

    found = answer_within(stages.task, answer, (5.0, 2.0, 5.0), clock=lambda: now)
    texts = [query.content for query in stages.task.queries]
    assert asked_for == [(text, seconds) for seconds in (2, 5) for text in texts]
    assert found.budgets == (2, 5)
    assert found.read[:12].tolist() == [[8 + i, 20 + min(i, 10)] for i in range(12)]
    assert found.seconds.tolist() == [[2.0 + i, 5.0 + i] for i in range(COUNT)]
    columns = found.per_query()
    assert list(columns) == [
        "candidates_within_2000_ms", "seconds_within_2000_ms",
        "candidates_within_5000_ms", "seconds_within_5000_ms",
    ]  # fmt: skip


def budgeted(read: list[int]) -> Budgeted:
    table = np.array([[0, own, MOST] for own in read])
    seconds = np.array([[0.1, own / 10, 9.0] for own in read])
    return Budgeted(budgets=(0.1, 1.0, 10.0), read=table, seconds=seconds)


def test_what_fits_is_reranked_and_the_others_follow_as_in_a_plain_loop(stages: TwoStages) -> None:
    read = [int(n) for n in np.random.default_rng(1).integers(0, MOST + 1, COUNT)]
    clusters = [str(i // 2) for i in range(COUNT)]
    none, some, everything = compare_budgets(stages, budgeted(read), clusters)
    values = []
    for query, ids, logits, own in zip(
        stages.task.queries, stages.candidates, stages.logits, read, strict=True
    ):
        first = [id_ for _, id_ in sorted(zip(-logits[:own], ids[:own], strict=True))]
        grades = {id_: int(grade) for id_, grade in stages.task.judged[query.id].items()}
        values.append(twins.ndcg([*first, *ids[own:]], grades, 10))
    ndcg = some.measure(NDCG)
    assert ndcg.tuned is not None
    assert ndcg.tuned.mean == pytest.approx(np.mean(values), abs=1e-6)
    assert (ndcg.tuned.n, ndcg.tuned.clusters) == (COUNT, COUNT // 2)
    assert some.read.mean == pytest.approx(np.mean(read))
    assert some.read.median == np.median(read)
    assert some.read.p95 == pytest.approx(np.quantile(read, 0.95))
    assert some.stopped == np.mean([own < MOST for own in read])
    assert some.latency.median_seconds == pytest.approx(np.median(read) / 10)
    for measure in none.measures:
        assert measure.tuned == measure.base
    assert (none.stopped, everything.stopped) == (1, 0)
    whole = everything.measure(NDCG).tuned
    assert whole is not None
    assert whole.mean != ndcg.tuned.mean


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    dice = np.random.default_rng(0)
    texts = ["".join(dice.choice(list("abcdefgh"), 12)) for _ in range(COUNT)]
    documents = {f"d{i}": text for i, text in enumerate(texts)}
    queries = {f"q{i}": text[:6] + "zzz" for i, text in enumerate(texts)}
    judged: list[Judged] = [(f"q{i}", f"d{i}", 1.0, "test") for i in range(COUNT)]
    return asked(tmp_path_factory.mktemp("budgets") / "d", documents, queries, judged)


@pytest.mark.parametrize("lexical", [False, True])
def test_no_time_is_retrieval_alone_and_much_time_is_all_candidates(
    lexical: bool, dataset: Dataset, tmp_path: Path
) -> None:
    second = SecondStage(
        reranker=LetterReranker(), candidates=(20,), lexical=lexical, budgets=(1e6, 1e-9)
    )
    report = evaluate_into(tmp_path, dataset, (Placed(), None), SETTINGS, second=second)
    found = report.reranking
    assert found is not None
    none, everything = found.budgets
    assert (none.seconds, none.read.p95, none.stopped) == (1e-9, 0, 1)
    assert none.measures == found.at(0).measures
    assert (everything.seconds, everything.read.mean, everything.stopped) == (1e6, 20, 0)
    assert everything.measures == found.at(20).measures
    assert 0 < everything.latency.median_seconds <= everything.latency.p95_seconds
    assert read_report(tmp_path).reranking == found
    page = (tmp_path / "report.html").read_text()
    sentence = told_of_stages(found)[-1]
    assert "Within 1e+09 ms a query, retrieval included, 20.0 of 20 candidates" in sentence
    assert sentence in page
    assert "answers took, ms" in page
    table = pq.read_table(tmp_path / "per_query.parquet")
    assert table["candidates_within_1e+09_ms"].to_pylist() == [20] * COUNT
    assert set(table["candidates_within_1e-06_ms"].to_pylist()) == {0}


@pytest.mark.parametrize("seconds", [0.0, -1.0, math.nan, math.inf])
def test_what_is_no_time_is_refused(seconds: float) -> None:
    with pytest.raises(BadSetting, match="a budget must be above 0, in seconds"):
        SecondStage(reranker=LetterReranker(), budgets=(1.0, seconds))
