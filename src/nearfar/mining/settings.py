"""How hard negatives are chosen."""

from dataclasses import dataclass
from typing import Literal

from nearfar.errors import require

FinderName = Literal["encoder", "bm25"]
FINDERS: tuple[FinderName, ...] = ("encoder", "bm25")
Sampling = Literal["top", "random", "score"]
_SAMPLINGS: tuple[Sampling, ...] = ("top", "random", "score")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mining:
    """How hard negatives are chosen. A query may get fewer than asked for, never a doubtful one."""

    negatives_per_query: int = 4
    finders: tuple[FinderName, ...] = ("encoder",)  # ranks of several are fused
    depth: int = 50  # the nearest documents that are looked at
    first_rank: int = 1  # those before it are passed over: so near may be an unknown answer
    # 0 to 1: how far below the answer, as a share of it. auto: 0.05 if the miner ranks an answer
    # first for half of the queries or more, else none.
    relative_margin: float | Literal["auto"] | None = "auto"
    absolute_margin: float | None = None  # how far below the answer, as a cosine
    near_duplicate_cosine: float = 0.98  # so close to an answer is an answer; above 1: off
    guide_margin: float = 0.0  # with a guide: how far below the answer in its cosines
    teacher_margin: float = 0.05  # with a teacher: how far below the answer, as a share of it
    teacher_threshold: float = 1.0  # with a teacher: a probability above it is an answer's
    rank_by: Literal["miner", "teacher"] = "miner"  # whose scores say which are the hardest
    sampling: Sampling = "top"  # of those that are safe: the hardest, any, or by score
    sampling_temperature: float = 0.05  # sampling by score: softmax(score / temperature)
    search: Literal["exact", "approximate"] = "exact"  # approximate needs nearfar[faiss]
    rounds: int = 1  # of mining and training: the second mines with the model of the first
    allow_random: bool = False  # negatives no harder than documents drawn by chance
    seed: int = 0  # of what is drawn by chance

    def __post_init__(self) -> None:
        for name in ("negatives_per_query", "depth", "first_rank", "rounds"):
            _require(getattr(self, name) >= 1, name, "1 or more", getattr(self, name))
        _require(
            bool(self.finders) and set(self.finders) <= set(FINDERS) and _unique(self.finders),
            "finders", f"some of {', '.join(FINDERS)}, each once", self.finders,
        )  # fmt: skip
        _require(self.first_rank <= self.depth, "first_rank", f"at most depth ({self.depth})",
                 self.first_rank)  # fmt: skip
        share = self.relative_margin
        _require(share is None or share == "auto" or 0 <= share <= 1, "relative_margin",
                 "0 to 1, auto or none", share)  # fmt: skip
        margin = self.absolute_margin
        _require(margin is None or 0 <= margin <= 2, "absolute_margin", "0 to 2", margin)
        _require(self.near_duplicate_cosine > 0, "near_duplicate_cosine",
                 "above 0 (1.1 turns the rule off)", self.near_duplicate_cosine)  # fmt: skip
        _require(-2 <= self.guide_margin <= 2, "guide_margin", "-2 to 2", self.guide_margin)
        _require(0 <= self.teacher_margin <= 1, "teacher_margin", "0 to 1", self.teacher_margin)
        _require(0 < self.teacher_threshold <= 1, "teacher_threshold", "above 0, up to 1",
                 self.teacher_threshold)  # fmt: skip
        _require(self.rank_by in ("miner", "teacher"), "rank_by", "miner or teacher", self.rank_by)
        _require(self.sampling in _SAMPLINGS, "sampling", f"one of {', '.join(_SAMPLINGS)}",
                 self.sampling)  # fmt: skip
        _require(self.sampling_temperature > 0, "sampling_temperature", "above 0",
                 self.sampling_temperature)  # fmt: skip
        _require(self.search in ("exact", "approximate"), "search", "exact or approximate",
                 self.search)  # fmt: skip
        _require(self.seed >= 0, "seed", "0 or more", self.seed)


def _unique(names: tuple[str, ...]) -> bool:
    return len(set(names)) == len(names)


def _require(holds: bool, name: str, expected: str, found: object) -> None:
    require(holds, f"mining.{name}", expected, found)
