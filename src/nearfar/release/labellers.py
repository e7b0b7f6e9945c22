"""How far labellers agree, pair of labellers by pair, and all together.

Shapes: Q queries, G grades; a table (G, G) counts how often two grades stand beside each other.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from nearfar.errors import BadSetting
from nearfar.release.marks import SCALES, Journal, Mark, disagreements
from nearfar.release.queue import Pair

Floats = npt.NDArray[np.float64]

CONFIDENCE = 0.95
_DRAWS = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreed:
    """One number of agreement, and where it may really lie."""

    number: float | None  # 1 agree always, 0 as by chance; None: all grades alike
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Two:
    """Two labellers."""

    first: str
    second: str
    pairs: int  # that both marked
    same: float  # share of those with one grade
    kappa: Agreed  # Cohen's, with quadratic weights


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All labellers of a queue."""

    pairs: int  # that two or more marked
    marks: int
    alpha: Agreed  # Krippendorff's, for ordered grades
    twos: tuple[Two, ...]
    apart: dict[Pair, list[Mark]]  # where they disagree


def agreement(journals: Sequence[Journal], scale: str, *, seed: int = 0) -> Report:
    """Return how far the labellers of some journals agree.

    Args:
        journals: of one queue.
        scale: what `SCALES` calls it.
        seed: of the draws behind the intervals.

    Raises:
        BadSetting: there are marks on another scale.
    """
    if other := {line.scale for one in journals for line in one.lines} - {scale}:
        raise BadSetting(
            f"Expected marks on the scale {scale}, found {', '.join(sorted(other))} too: they "
            "cannot be compared. Name journals of one scale with --marks."
        )
    grades = SCALES[scale] + 1
    said: dict[Pair, dict[str, int]] = {}
    for journal in journals:
        for (pair, by, settles), mark in journal.standing().items():
            if not settles and mark.line.grade is not None:
                said.setdefault(pair, {})[by] = mark.line.grade
    both = {pair: own for pair, own in said.items() if len(own) > 1}
    twos = []
    for first, second in combinations(sorted({by for own in both.values() for by in own}), 2):
        shared = {pair: (own[first], own[second]) for pair, own in both.items()
                  if first in own and second in own}  # fmt: skip
        if shared:
            tables = _tables(shared, grades, ordered=False)
            same = float(np.trace(tables.sum(0)) / tables.sum())
            twos.append(Two(first=first, second=second, pairs=len(shared), same=same,
                            kappa=_agreed(tables, weighted_kappa, seed)))  # fmt: skip
    tables = _tables({p: tuple(own.values()) for p, own in both.items()}, grades, ordered=True)
    return Report(
        pairs=len(both), marks=sum(map(len, said.values())),
        alpha=_agreed(tables, ordinal_alpha, seed), twos=tuple(twos),
        apart=disagreements(journals),
    )  # fmt: skip


def weighted_kappa(table: Floats) -> float | None:
    """Return Cohen's kappa with quadratic weights; None where all grades are alike.

        kappa = 1 - sum o_ij (i - j)^2 / sum e_ij (i - j)^2,   e_ij = row_i column_j / n

    Args:
        table: (G, G) how often the first said i and the second j.

    Source: Cohen 1968, doi:10.1037/h0026256.
    """
    places = np.arange(len(table))
    gaps = (places[:, None] - places[None, :]) ** 2
    chance = float((np.outer(table.sum(1), table.sum(0)) * gaps).sum() / table.sum())
    return 1 - float((table * gaps).sum()) / chance if chance > 0 else None


def ordinal_alpha(table: Floats) -> float | None:
    """Return Krippendorff's alpha for ordered grades; None where all grades are alike.

    As `teaching.agreement.Ratings` says it, of a table whose counts may be weighted.

    Args:
        table: (G, G) coincidences, both ways round.
    """
    each, total = table.sum(1), float(table.sum())
    if (each > 0).sum() < 2:
        return None
    middle = np.cumsum(each) - each / 2
    gaps = (middle[:, None] - middle[None, :]) ** 2
    chance = float((np.outer(each, each) * gaps).sum()) / (total - 1)
    return 1 - float((table * gaps).sum()) / chance


def _tables(said: Mapping[Pair, tuple[int, ...]], grades: int, *, ordered: bool) -> Floats:
    """Return of each query how often grades stand beside each other, (Q, G, G).

    Both ways round, and each pair weighing as many marks as it has, if `ordered`.
    """
    row_of = {query: row for row, query in enumerate(sorted({query for query, _ in said}))}
    tables = np.zeros((len(row_of), grades, grades))
    for (query, _), own in said.items():
        if not ordered:
            tables[row_of[query], own[0], own[1]] += 1
            continue
        counts = np.bincount(own, minlength=grades).astype(float)
        both = np.outer(counts, counts) - np.diag(counts)
        tables[row_of[query]] += both / (len(own) - 1)
    return tables


def _agreed(tables: Floats, measure: Callable[[Floats], float | None], seed: int) -> Agreed:
    """Return a measure of the sum of tables, with an interval that knows what hangs together.

    Each query gets a random weight, and one that was not seen gets one too: for the lower end
    its marks are as far apart as can be, for the upper end they are equal. So ten pairs without
    a disagreement do not promise that there is none.

    Source: Gaffke 2005, as `evaluation.intervals.lower_bound`; of a ratio of sums by draws.
    """
    if not len(tables):
        return Agreed(number=None, low=None, high=None)
    total = tables.sum(0)
    number = measure(total)
    if number is None:
        return Agreed(number=None, low=None, high=None)
    size = total.sum() / len(tables)
    worst = np.zeros_like(total)
    worst[0, -1] = worst[-1, 0] = size / 2
    best = np.diag((total.sum(0) + total.sum(1)) / 2 / len(tables))
    dice = np.random.default_rng(seed)
    weights = dice.exponential(size=(_DRAWS, len(tables) + 1))
    weights *= (len(tables) + 1) / weights.sum(1, keepdims=True)
    sums = np.einsum("rq,qij->rij", weights[:, :-1], tables)
    tail = (1 - CONFIDENCE) / 2
    ends = []
    for unseen, at in ((worst, tail), (best, 1 - tail)):
        found = [measure(one + weight * unseen)
                 for one, weight in zip(sums, weights[:, -1], strict=True)]  # fmt: skip
        ends.append(float(np.quantile([one for one in found if one is not None], at)))
    return Agreed(number=number, low=min(ends[0], number), high=max(ends[1], number))
