"""A model that was judged, for the tests of the registry: tiny, with verdict and report."""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from results import METRIC, pair
from tiny import tiny_bert

from nearfar.evaluation.intervals import Estimate
from nearfar.evaluation.measure import Measure
from nearfar.evaluation.report import Report, write_report
from nearfar.evaluation.scores import Scores
from nearfar.model.space import EmbeddingSpace
from nearfar.model.text import TextEncoder
from nearfar.release.card import About
from nearfar.release.deciding import decide
from nearfar.release.policy import Policy
from nearfar.release.registry import Evidence, Sign, release
from nearfar.release.verdict import Verdict, write_verdict

DIGEST = "d" * 16
SIGN = Sign(by="kim")
ABOUT = About(name="tiny", licence="apache-2.0")


@dataclass(frozen=True)
class Judged:
    """A model's folder, its space, and the folder of its verdict and report."""

    model: Path
    space: EmbeddingSpace
    evidence: Evidence


def judged_in(home: Path) -> Judged:
    """Make a model that passed, with its verdict and a report."""
    space = make_model(home / "model")
    judge(home / "gate", space)
    evidence = Evidence(verdict=home / "gate", report=report_on(home / "report", space))
    return Judged(home / "model", space, evidence)


def put(one: Judged, registry: str, alias: str = "candidate", sign: Sign = SIGN) -> str:
    """Release a model; return its version."""
    done = release(str(one.model), registry, ABOUT, one.evidence, alias=alias, sign=sign)
    return done.release.version


def make_model(folder: Path, seed: int = 0) -> EmbeddingSpace:
    """Save a tiny encoder as a sentence-transformers folder."""
    encoder = TextEncoder.load(tiny_bert(folder.with_name(f"{folder.name}-bert"), seed=seed))
    folder.mkdir(parents=True)
    encoder.save(folder)
    return encoder.space


def judge(
    folder: Path, space: EmbeddingSpace, *, lost: float = 0.0, queries: int = 800,
    policy: Policy | None = None,
) -> Verdict:  # fmt: skip
    """Write the verdict of a gate on a model's scores."""
    candidate, baseline = pair(queries, lost, space=space.to_json())
    return judge_scores(folder, candidate, baseline, policy)


def judge_scores(
    folder: Path, candidate: Scores, baseline: Scores, policy: Policy | None = None
) -> Verdict:
    """Write the verdict of a gate on any scores."""
    when = dt.datetime.now(dt.UTC)
    verdict = decide(policy or Policy(), candidate, baseline, today=when.date(), runs=1,
                     at="2026-11-21T12:00:00+00:00")  # fmt: skip
    write_verdict(verdict, folder / "verdict.json")
    return verdict


def report_on(folder: Path, space: EmbeddingSpace, **more: Any) -> Path:
    """Write a report of that space, better than its base, with two cohorts."""
    facts: dict[str, Any] = {
        "dataset": DIGEST, "split": "test", "documents": 100, "without_answer": 2,
        "base": {"fingerprint": "b" * 16}, "tuned": space.to_json(), "negatives": "",
        "settings": {}, "measures": (_measure(800),),
        "cohorts": (_measure(770, "query.language", "de"), _measure(30, "query.kind", "a|b")),
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    write_report(Report(**facts | more), folder)
    return folder


def _measure(n: int, field: str = "", value: str = "") -> Measure:
    def about(mean: float) -> Estimate:
        return Estimate(mean=mean, low=mean - 0.02, high=mean + 0.02, n=n, clusters=n)

    return Measure(name=METRIC, base=about(0.5), tuned=about(0.55), difference=about(0.05),
                   field=field, value=value)  # fmt: skip
