"""A reranker that was judged behind an encoder, for the tests of the registry."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from registry_world import DIGEST, SIGN, judge_scores, make_model
from results import METRIC, pair
from tiny import tiny_cross

from nearfar.evaluation.intervals import Estimate
from nearfar.evaluation.measure import Measure
from nearfar.evaluation.report import Report, write_report
from nearfar.evaluation.stages import Depth, Latency, Reranking
from nearfar.model.cross_encoder import CrossEncoder
from nearfar.model.space import EmbeddingSpace
from nearfar.release.card import About
from nearfar.release.registry import Evidence, release
from nearfar.release.two_stages import Stages
from nearfar.release.verdict import Verdict

ABOUT = About(name="sorter", licence="apache-2.0", languages=("de",))


@dataclass(frozen=True)
class JudgedPair:
    """A reranker's folder, the two stages that were judged, and the evidence."""

    model: Path
    stages: Stages
    evidence: Evidence


def judged_pair_in(home: Path) -> JudgedPair:
    """Make an encoder and a reranker that passed behind it, with verdict and report."""
    space = make_model(home / "encoder")
    stages = Stages(
        encoder=space, reranker=make_reranker(home / "reranker"), candidates=50, words_too=True
    )
    judge_pair(home / "gate", stages)
    evidence = Evidence(verdict=home / "gate", report=report_on_pair(home / "report", stages))
    return JudgedPair(home / "reranker", stages, evidence)


def make_reranker(folder: Path, *, seed: int = 3, told: bool = True) -> str:
    """Save a tiny cross-encoder as a training leaves it; return its fingerprint."""
    model = CrossEncoder.load(tiny_cross(folder.with_name(f"{folder.name}-cross"), seed=seed))
    folder.mkdir(parents=True)
    model.save(folder)
    facts = {"reranker": model.fingerprint, "tasks": [], "steps": 12}
    if told:
        (folder / "nearfar.json").write_text(json.dumps(facts))
    return model.fingerprint


def judge_pair(folder: Path, stages: Stages, *, lost: float = 0.0) -> Verdict:
    """Write the verdict of a gate on both stages, held against the encoder alone."""
    candidate, baseline = pair(800, lost, space=stages.to_json())
    return judge_scores(folder, candidate, replace(baseline, space=stages.encoder.to_json()))


def put_pair(one: JudgedPair, registry: str, alias: str = "candidate") -> str:
    """Release a reranker; return its version."""
    done = release(str(one.model), registry, ABOUT, one.evidence, alias=alias, sign=SIGN)
    return done.release.version


def report_on_pair(folder: Path, stages: Stages, **more: Any) -> Path:
    """Write a report of both stages, better than the first alone."""
    facts: dict[str, Any] = {
        "dataset": DIGEST, "split": "test", "documents": 100, "without_answer": 2,
        "base": stages.encoder.to_json(), "tuned": None, "negatives": "", "settings": {},
        "measures": (Measure(name=METRIC, base=_about(0.5)),), "cohorts": (),
        "reranking": reranking_of(stages),
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    write_report(Report(**facts | more), folder)
    return folder


def reranking_of(stages: Stages) -> Reranking:
    """Return both stages in numbers, at ten candidates and at all that were read."""
    latency = Latency(median_seconds=0.01, p95_seconds=0.02)
    return Reranking(
        reranker=stages.reranker,
        words_too=stages.words_too,
        lexical_weight=stages.lexical_weight,
        asked=(10, stages.candidates),
        depths=(_depth(10, 0.6, latency), _depth(stages.candidates, 0.7, latency)),
        retrieval=latency,
        fetching=latency,
        reranking=latency,
        pairs_per_second=900.0,
    )


def _depth(candidates: int, ndcg: float, latency: Latency) -> Depth:
    def measure(name: str, base: float, tuned: float) -> Measure:
        return Measure(name=name, base=_about(base), tuned=_about(tuned),
                       difference=_about(tuned - base))  # fmt: skip

    return Depth(
        candidates=candidates, recall=_about(0.8), ceiling=_about(0.9), fetching=latency,
        reranking=latency,
        measures=(measure(METRIC, 0.5, ndcg), measure("judged_at_10_score", 0.4, 0.5)),
    )  # fmt: skip


def _about(mean: float) -> Estimate:
    return Estimate(mean=mean, low=mean - 0.02, high=mean + 0.02, n=800, clusters=800)


def other(space: EmbeddingSpace) -> EmbeddingSpace:
    """Return the space of another encoder."""
    return replace(space, weights="f" * 64)
