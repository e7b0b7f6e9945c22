"""What is measured, and on how much."""

from dataclasses import dataclass
from typing import Literal

from nearfar.errors import BadSetting
from nearfar.evaluation.wanted import read_wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """How models are measured."""

    split: Literal["train", "dev", "test"] = "test"
    depth: int = 100  # how many documents are ranked for a query; recall@100 needs 100
    # Fields ("query.x", "document.x"), expressions, crossings, "fields", "derived"; None: fields.
    cohorts: tuple[str, ...] | None = None
    dev_queries: int = 300  # of the dev split, for the checks during training
    dev_documents: int = 2_000  # answers of these queries first, then others by hash
    dev_candidates: int = 10  # of each dev query, that a reranker in training is checked on
    map_points: int = 500  # pairs shown on the map of the space
    curves: bool = False  # whether smaller vectors are measured too: dimensions, precisions
    seed: int = 0

    def __post_init__(self) -> None:
        read_wanted(self.cohorts or ())
        for name in ("dev_queries", "dev_documents", "dev_candidates", "map_points"):
            if getattr(self, name) < 1:
                raise BadSetting(f"evaluation.{name} must be 1 or more, got {getattr(self, name)}.")
        if self.depth < 100:
            raise BadSetting(f"evaluation.depth must be 100 or more, got {self.depth}.")
        if self.split not in ("train", "dev", "test"):
            raise BadSetting(f"evaluation.split must be train, dev or test, got {self.split!r}.")
