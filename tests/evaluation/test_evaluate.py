"""Evidence: paired, by cohort, on pinned negatives, and told the same each time."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from doubles import LETTERS, LetterEncoder

from nearfar.data.dataset import Dataset
from nearfar.data.writer import write_dataset
from nearfar.errors import BadFile, BadRecord
from nearfar.evaluation.embedded import embed, read_task
from nearfar.evaluation.evaluate import Evidence, evaluate, write_per_query
from nearfar.evaluation.geometry import flat_map
from nearfar.evaluation.margins import digest, pin_negatives, similarities
from nearfar.evaluation.measure import paired
from nearfar.evaluation.page import write_page
from nearfar.evaluation.report import headline, read_report, write_report
from nearfar.evaluation.settings import Evaluation
from nearfar.records import Document, Judgment, Origin, Query, Role

SETTINGS = Evaluation(map_points=30)


class Dizzy(LetterEncoder):
    """A worse LetterEncoder: it sees only the first few letters of a query."""

    def __init__(self) -> None:
        super().__init__(replace(LETTERS, weights="dizzy"))

    def encode(self, contents: list[str], role: Role, **_: object) -> torch.Tensor:  # type: ignore[override]
        seen = [c[:2] if role == "query" else c for c in contents]
        return super().encode(seen, role)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    dice = np.random.default_rng(0)
    letters = "abcdefghijklmnopqrstuvwxyz"
    folder = tmp_path_factory.mktemp("evaluate") / "d"
    with write_dataset(folder, licence="CC0-1.0", parents=[]) as writer:
        for i in range(90):
            text = "".join(dice.choice(list(letters), 12))
            shuffled = "".join(dice.permutation(list(text)))
            where = f"x:{i}"
            writer.add(Document(id=f"d{i}", content=text, group=f"g{i // 3}", source=where,
                                fields={"kind": "even" if i % 2 == 0 else "odd"}))  # fmt: skip
            writer.add(Query(id=f"q{i}", content=shuffled, source=where,
                             fields={"size": "big" if i < 60 else f"rare{i % 3}"}))  # fmt: skip
            origin = Origin(kind="human", source=where)
            split = "dev" if i >= 80 else "test"
            writer.add(Judgment(query_id=f"q{i}", document_id=f"d{i}", grade=1, origin=origin,
                                split=split))  # fmt: skip
            writer.add(Judgment(query_id=f"q{i}", document_id=f"d{(i + 1) % 90}", grade=0,
                                origin=origin, split=split))  # fmt: skip
    return Dataset.open(folder)


@pytest.fixture(scope="module")
def evidence(dataset: Dataset) -> Evidence:
    return evaluate(Dizzy(), LetterEncoder(), dataset, SETTINGS)


def test_the_better_model_is_seen_to_be_better(evidence: Evidence) -> None:
    found = evidence.report.measure("ndcg_at_10_score")
    assert found.verdict == "better"
    assert "beats its base" in headline(evidence.report)


def test_of_a_loss_less_is_better() -> None:
    names = [str(i) for i in range(400)]
    low, high = np.full(400, 0.3), np.full(400, 0.5)
    assert paired("alignment_loss", high, low, names, span=(0, 4)).verdict == "better"
    assert paired("alignment_loss", low, high, names, span=(0, 4)).verdict == "worse"


def test_the_difference_is_taken_query_by_query(evidence: Evidence) -> None:
    for found in evidence.report.measures:
        assert found.tuned is not None
        assert found.difference is not None
        assert found.difference.mean == pytest.approx(found.tuned.mean - found.base.mean)


def test_a_model_against_itself_differs_by_nothing(dataset: Dataset) -> None:
    report = evaluate(LetterEncoder(), LetterEncoder(), dataset, SETTINGS).report
    for found in report.measures:
        assert found.difference is not None
        assert found.difference.mean == 0
        assert found.verdict == "unclear"
    assert headline(report).startswith("No clear difference")


def test_queries_hang_together_by_the_group_of_their_answer(evidence: Evidence) -> None:
    found = evidence.report.measure("map_score").base
    assert (found.n, found.clusters) == (80, 27)


def test_a_cohort_has_the_clusters_of_its_own_queries(evidence: Evidence) -> None:
    found = {c.value: c.base.clusters for c in evidence.report.cohorts if c.name == "map_score"}
    assert found == {"big": 20, "other": 7, "even": 27, "odd": 27}


def test_small_cohorts_are_pooled(evidence: Evidence) -> None:
    sizes = {
        (c.field, c.value): c.base.n
        for c in evidence.report.cohorts
        if c.name == "ndcg_at_10_score"
    }
    assert sizes == {
        ("query.size", "big"): 60,
        ("query.size", "other"): 20,
        ("document.kind", "even"): 40,
        ("document.kind", "odd"): 40,
    }


def test_a_report_is_read_as_it_was_written(evidence: Evidence, tmp_path: Path) -> None:
    write_report(evidence.report, tmp_path)
    assert read_report(tmp_path) == json_like(evidence)


def json_like(evidence: Evidence) -> object:
    report = evidence.report
    return replace(report, settings=json.loads(json.dumps(report.settings)))


def test_a_report_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"report\.json: expected a report"):
        read_report(tmp_path)
    (tmp_path / "report.json").write_text('{"format": 1}')
    with pytest.raises(BadFile, match=r"report\.json: expected a report"):
        read_report(tmp_path)


def test_every_query_is_kept(evidence: Evidence, tmp_path: Path) -> None:
    write_per_query(evidence, tmp_path)
    table = pq.read_table(tmp_path / "per_query.parquet")
    assert table.num_rows == 80
    found = evidence.report.measure("ndcg_at_10_score").base.mean
    assert np.mean(table["base_ndcg_at_10_score"].to_numpy()) == pytest.approx(found)


def test_the_page_says_what_the_report_says_and_escapes_texts(
    evidence: Evidence, dataset: Dataset, tmp_path: Path
) -> None:
    write_page(evidence, dataset, tmp_path, SETTINGS, log=None)
    page = (tmp_path / "report.html").read_text()
    assert headline(evidence.report) in page
    assert page.count("<svg") == 3  # cohorts, histograms, maps; there was no training
    assert "<script" not in page
    again = tmp_path / "again"
    write_page(evidence, dataset, again, SETTINGS, log=None)
    assert (again / "report.html").read_text() == page  # equal numbers, equal file


def test_one_model_alone_can_be_measured(dataset: Dataset, tmp_path: Path) -> None:
    evidence = evaluate(LetterEncoder(), None, dataset, SETTINGS)
    assert evidence.report.measure("map_score").difference is None
    write_page(evidence, dataset, tmp_path, SETTINGS, log=None)
    assert "reaches nDCG@10" in (tmp_path / "report.html").read_text()


def test_a_part_of_a_task_is_the_same_each_time_and_has_all_answers(dataset: Dataset) -> None:
    one = read_task(dataset, "test", queries=7, documents=20)
    assert one == read_task(dataset, "test", queries=7, documents=20)
    assert (len(one.queries), len(one.document_ids)) == (7, 20)
    assert all(set(grades) <= set(one.document_ids) for grades in one.judged.values())


def test_a_split_with_nothing_to_ask_is_refused(dataset: Dataset) -> None:
    with pytest.raises(BadRecord, match="expected queries with an answer in the train split"):
        read_task(dataset, "train")


def test_pinned_negatives_are_never_answers_and_ask_no_model(dataset: Dataset) -> None:
    task = read_task(dataset, "test")
    pinned = pin_negatives(dataset, task, seed=0)
    assert digest(pinned) == digest(pin_negatives(dataset, task, seed=0))
    assert digest(pinned) != digest(pin_negatives(dataset, task, seed=1))
    for query, negatives in pinned.items():
        assert len(set(negatives)) == len(negatives) == 16
        assert not {id_ for id_, g in task.judged[query].items() if g > 0} & set(negatives)


def test_the_margin_is_the_answer_less_the_mean_of_the_negatives(dataset: Dataset) -> None:
    task = read_task(dataset, "test", queries=3)
    pinned = pin_negatives(dataset, task, seed=0)
    embedded = embed(LetterEncoder(), dataset, task)
    found = similarities(embedded, pinned)
    for place, query in enumerate(task.queries):
        answer = next(id_ for id_, grade in task.judged[query.id].items() if grade > 0)

        def cosine(id_: str, place: int = place) -> float:
            return float(embedded.queries[place] @ embedded.documents[task.row_of[id_]])

        negatives = [cosine(id_) for id_ in pinned[query.id]]
        assert found.margins[place] == pytest.approx(cosine(answer) - sum(negatives) / 16, abs=1e-6)
        wins = sum(cosine(answer) > n for n in negatives) / 16
        assert found.wins[place] == pytest.approx(wins)


def test_a_map_is_the_same_each_time(dataset: Dataset) -> None:
    embedded = embed(LetterEncoder(), dataset, read_task(dataset, "test"))
    queries, answers, rows = flat_map(embedded, 25, seed=3)
    assert queries.shape == answers.shape == (25, 2)
    assert rows == list(range(25))
    assert (flat_map(embedded, 25, seed=3)[0] == queries).all()


def test_slices_that_lose_and_smaller_vectors_stand_in_report_and_page(
    dataset: Dataset, tmp_path: Path
) -> None:
    settings = replace(SETTINGS, curves=True)
    found = evaluate(LetterEncoder(), Dizzy(), dataset, settings)
    write_report(found.report, tmp_path)
    assert read_report(tmp_path) == found.report
    assert found.report.curves is not None
    assert next(point["name"] for point in found.report.curves["precisions"]) == "float32"
    write_page(found, dataset, tmp_path, settings, log=None)
    page = (tmp_path / "report.html").read_text()
    assert "Smaller vectors" in page
    assert ("Where it loses" in page) == bool(found.slices)
