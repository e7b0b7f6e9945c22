"""Results of systems for the tests of the gate."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from nearfar.evaluation.scores import Scores

METRIC = "ndcg_at_10_score"


def result(values: Any, *, system: str = "a", cohorts: Mapping[str, Any] | None = None,
           **more: Any) -> Scores:  # fmt: skip
    """The scores of a system that got these values, one query a cluster."""
    values = np.asarray(values, dtype=np.float64)
    ids = tuple(f"q{i}" for i in range(len(values)))
    facts: dict[str, Any] = {
        "system": system,
        "space": {"fingerprint": "s" * 16},
        "dataset": "d" * 16,
        "split": "test",
        "documents": 100,
        "queries": ids,
        "clusters": ids,
        "cohorts": {name: tuple(found) for name, found in (cohorts or {}).items()},
        "values": {METRIC: values},
        "hits": tuple(("x", "y") for _ in ids),
    }
    return Scores(**facts | more)


def pair(
    queries: int, lost: float = 0.0, *, noise: float = 0.15, seed: int = 0, **more: Any
) -> tuple[Scores, Scores]:
    """A candidate and a baseline, between which so much was lost."""
    dice = np.random.default_rng(seed)
    was = dice.uniform(0.3, 0.7, queries)
    noise_of = dice.normal(0, noise, queries)
    now = was + (noise_of - noise_of.mean()).clip(-0.25, 0.25) - lost
    return result(now, system="new", **more), result(was, system="old", **more)
