"""What a retriever and a reranker got together is judged by the gate like any system."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from doubles import LetterEncoder
from letter_reranker import LetterReranker
from tiny import tiny_dataset

from nearfar.evaluation.evaluate import Evidence, evaluate, scores_of, with_reranker
from nearfar.evaluation.metrics import per_query
from nearfar.evaluation.scores import Scores, read_scores, write_scores
from nearfar.evaluation.settings import Evaluation
from nearfar.pipeline.gating import Compared, gate
from nearfar.release.admission import measured_depth
from nearfar.release.policy import Change, Cost, Policy
from nearfar.release.two_stages import reranked_scores, stages_of
from nearfar.vectors.nearest import nearest

CHANGES = (Change(metric="ndcg_at_10_score", margin=0.5),)


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    """Both stages on 48 documents, of which 10 or 40 are read."""
    dataset = tiny_dataset(tmp_path_factory.mktemp("data") / "data")
    texts = {one.id: one.content for one in dataset.documents()}
    encoder = LetterEncoder()
    found = evaluate(encoder, None, dataset, Evaluation(split="train", map_points=5))
    vectors, ids = found.base.embedded.documents, found.task.document_ids

    def retrieve(text: str) -> list[int]:
        return [int(row) for row in nearest(encoder.encode([text], "query"), vectors, 40)[1][0]]

    def fetch(rows: object) -> list[str]:
        return [texts[ids[row]] for row in rows]  # type: ignore[attr-defined]

    return with_reranker(found, dataset, retrieve, fetch, LetterReranker(), (10, 40))


@pytest.fixture(scope="module")
def both(evidence: Evidence) -> Scores:
    return reranked_scores(evidence, "letters, read again")


def test_values_are_those_of_a_plain_loop(evidence: Evidence, both: Scores) -> None:
    stages, task = evidence.stages, evidence.task
    assert stages is not None
    for place, query in enumerate(task.queries):
        pairs = zip(stages.logits[place].tolist(), stages.candidates[place], strict=True)
        order = [id_ for _, id_ in sorted(pairs, key=lambda pair: -pair[0])]  # sorts stably
        worth = per_query({query.id: order}, {query.id: task.judged[query.id]}, list(both.values))
        assert both.queries[place] == query.id
        assert both.hits[place] == tuple(order[:10])
        for name, values in both.values.items():
            assert values[place] == pytest.approx(worth[query.id][name])
    retrieval = scores_of(evidence, evidence.last, "letters").values["ndcg_at_10_score"]
    assert not np.array_equal(both.values["ndcg_at_10_score"], retrieval)


def test_what_the_candidates_do_not_reach_is_no_metric(evidence: Evidence, both: Scores) -> None:
    assert {"ndcg_at_10_score", "judged_at_10_score"} <= set(both.values)
    assert not {"recall_at_100_score", "map_score", "margin_score"} & set(both.values)
    wide = replace(evidence, report=replace(evidence.report, documents=40))  # as if all were read
    assert {"recall_at_100_score", "map_score"} <= set(reranked_scores(wide, "x").values)


def test_both_stages_are_named_and_their_time_is_known(evidence: Evidence, both: Scores) -> None:
    stages, report = stages_of(both.space, where="here"), evidence.report
    assert stages is not None
    assert (stages.candidates, stages.reranker) == (40, LetterReranker.fingerprint)
    assert stages.encoder.to_json() == report.base
    assert both.costs["p95_seconds"] >= both.costs["median_seconds"] > 0


def test_the_gate_judges_them_against_retrieval_alone(
    evidence: Evidence, both: Scores, tmp_path: Path
) -> None:
    both = replace(both, split="test")  # the gate takes nothing that was learned from
    alone = replace(scores_of(evidence, evidence.last, "letters"), split="test")
    write_scores(both, tmp_path / "both")
    write_scores(alone, tmp_path / "alone")
    assert stages_of(read_scores(tmp_path / "both").space, where="read") == stages_of(
        both.space, where="written"
    )
    compared = Compared(candidate=tmp_path / "both", baseline=tmp_path / "alone")
    verdict = gate(Policy(changes=CHANGES), compared, tmp_path / "gate")
    assert verdict.outcome == "PASS"
    stages = stages_of(verdict.candidate.space, where="the verdict")
    assert stages is not None
    assert stages_of(verdict.baseline.space if verdict.baseline else None, where="it") is None
    report = replace(evidence.report, split="test")
    assert measured_depth(report, verdict, stages).candidates == 40
    slow = Policy(changes=CHANGES, costs=(Cost(name="p95_seconds", at_most=1e-9),))
    assert gate(slow, compared).outcome == "REGRESSION"
