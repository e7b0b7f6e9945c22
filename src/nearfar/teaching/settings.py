"""What a teaching depends on: which pairs are scored, and what becomes of them."""

from dataclasses import dataclass
from typing import Literal

from nearfar.errors import require

Fusion = Literal["logit", "standard", "ranks"]
_FUSIONS: tuple[Fusion, ...] = ("logit", "standard", "ranks")
_ANSWERS = ("exclude", "answer", "keep")
_UNSURE = ("exclude", "negative", "keep")


@dataclass(frozen=True, slots=True, kw_only=True)
class Teaching:
    """Which pairs a teacher scores, and what its scores make of them.

    How scores become probabilities, where they do, `scales` says; and verdicts, `grading.verdicts`.
    """

    fusion: Fusion = "logit"  # of several teachers; see `fusing.fused`
    weights: tuple[float, ...] = ()  # of the teachers, in their order; empty: all alike
    scores: Literal["replace", "keep"] = "replace"  # what is scored already
    depth: int = 50  # with an encoder: its nearest documents of each query are scored too
    negative_share: float = 0.5  # of the median answer's probability: below it a document is none
    answer_probability: float = 0.5  # from it on, and at that answer's score, it is an answer
    false_negatives: Literal["exclude", "answer", "keep"] = "exclude"
    unsure: Literal["exclude", "negative", "keep"] = "exclude"  # between the two
    regraded: tuple[str, ...] = ("mined", "taught")  # origins whose negatives may be wrong
    answer_grade: float = 1.0  # of what becomes an answer
    pairs_per_block: int = 2_048  # scored between two writes to the disk: what a kill can cost

    def __post_init__(self) -> None:
        _require(self.fusion in _FUSIONS, "fusion", f"one of {', '.join(_FUSIONS)}", self.fusion)
        _require(all(0 <= one < float("inf") for one in self.weights) and
                 (not self.weights or sum(self.weights) > 0), "weights",
                 "0 or more each, and one above 0", self.weights)  # fmt: skip
        _require(self.scores in ("replace", "keep"), "scores", "replace or keep", self.scores)
        for name in ("depth", "pairs_per_block"):
            _require(getattr(self, name) >= 1, name, "1 or more", getattr(self, name))
        _require(0 <= self.negative_share <= 1, "negative_share", "0 to 1", self.negative_share)
        _require(0 < self.answer_probability <= 1, "answer_probability", "above 0, up to 1",
                 self.answer_probability)  # fmt: skip
        _require(self.false_negatives in _ANSWERS, "false_negatives",
                 f"one of {', '.join(_ANSWERS)}", self.false_negatives)  # fmt: skip
        _require(self.unsure in _UNSURE, "unsure", f"one of {', '.join(_UNSURE)}", self.unsure)
        _require(0 < self.answer_grade < float("inf"), "answer_grade", "above 0",
                 self.answer_grade)  # fmt: skip


def _require(holds: bool, name: str, expected: str, found: object) -> None:
    require(holds, f"teaching.{name}", expected, found)
