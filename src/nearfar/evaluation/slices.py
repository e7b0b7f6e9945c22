"""Finds where a candidate loses most: looked for on one half of the test set, held to the other.

Whoever looks at many slices finds a bad one by chance. So what is found on the first half is
only proposed, and the second half, which had no say in the choice, confirms it or does not.

Shapes: N queries, S slices of one search, M of them that are proposed.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from nearfar.errors import BadRecord, BadSetting
from nearfar.evaluation.amounts import amount
from nearfar.evaluation.holm import adjusted
from nearfar.evaluation.intervals import FEWEST, Estimate, estimate
from nearfar.evaluation.measure import down_is_good
from nearfar.evaluation.scores import Scores
from nearfar.evaluation.sign_flips import sign_flip_p
from nearfar.evaluation.wanted import CROSS
from nearfar.fingerprint import content_id

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

ALPHA = 0.05  # chance that, where nothing got worse, any slice at all is confirmed
_ALIKE = 0.8  # two slices that share so much of both are one
_SURE = 2.0  # standard errors below which the loss of a slice hardly lies
_LOOKED_AT = 50  # slices for each that is proposed, the worst first: others are much like them


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """A part of the queries where the candidate seems to lose, and whether it does."""

    where: tuple[tuple[str, str], ...]  # field and value: one, or the two of a crossing
    queries: int  # of both halves
    found: float  # mean difference on the half that was searched; too low by the choice
    confirmed: Estimate  # the same on the other half
    p: float  # one-sided, on the other half, adjusted for all that were proposed (Holm)

    @property
    def verdict(self) -> Literal["confirmed", "not confirmed"]:
        """Return whether the other half says so too."""
        return "confirmed" if self.p <= ALPHA else "not confirmed"

    @property
    def name(self) -> str:
        """Return what people call it, such as "query.language = de & document.kind = faq"."""
        return CROSS.join(f"{field} = {value}" for field, value in self.where)

    def to_json(self) -> dict[str, Any]:
        """Return it for a report, with its name, verdict and sentence."""
        facts = asdict(self) | {"where": [list(pair) for pair in self.where]}
        return {"name": self.name, "verdict": self.verdict, "sentence": self.sentence, **facts}

    @property
    def sentence(self) -> str:
        """Say it."""
        held = self.confirmed
        span = "" if held.low is None else f" [{held.low:+.3f}, {held.high:+.3f}]"
        word = "Confirmed" if self.verdict == "confirmed" else "Not confirmed"
        return (
            f"{word}: where {self.name}, the candidate changes by {held.mean:+.3f}{span} on the "
            f"{amount(held.n, 'query')} held back (p {self.p:.4f}, adjusted), after "
            f"{self.found:+.3f} on those that were searched."
        )


def losing_slices(
    baseline: Scores,
    candidate: Scores,
    metric: str,
    *,
    span: tuple[float, float] = (-1.0, 1.0),
    most: int = 10,
    resamples: int = 10_000,
    seed: int = 0,
) -> tuple[Slice, ...]:
    """Return where a candidate loses most against a baseline in one metric.

    Args:
        baseline: what is in use.
        candidate: on the same queries; the cohorts are taken from it.
        metric: a value that both have. Of a `_loss` or an `_error` more is worse.
        span: the least and the most that a difference can be.
        most: slices that are proposed, 1 or more.
        resamples: flips of the test that confirms.
        seed: which half is searched, and the flips.

    Raises:
        BadRecord: the queries are not the same.
        BadSetting: one has no such metric.
    """
    if baseline.queries != candidate.queries:
        raise BadRecord(
            f"{baseline.system} and {candidate.system}: expected scores of the same queries in "
            f"the same order, found {len(baseline.queries):,} and {len(candidate.queries):,} that "
            "differ. Evaluate both on the same split of the same dataset."
        )
    for scores in (baseline, candidate):
        if metric not in scores.values:
            raise BadSetting(
                f"{scores.system} has no {metric}. There are: {', '.join(scores.values)}."
            )
    differences = candidate.values[metric] - baseline.values[metric]
    sign = -1.0 if down_is_good(metric) else 1.0
    found = find_slices(
        sign * differences, candidate.clusters, candidate.cohorts,
        span=span, most=most, resamples=resamples, seed=seed,
    )  # fmt: skip
    return found if sign > 0 else tuple(_turned(one) for one in found)


def find_slices(
    differences: Floats,
    clusters: Sequence[str],
    cohorts: Mapping[str, Sequence[str]],
    *,
    span: tuple[float, float] = (-1.0, 1.0),
    most: int = 10,
    resamples: int = 10_000,
    seed: int = 0,
) -> tuple[Slice, ...]:
    """Propose slices on one half of the clusters, and test them on the other.

    A slice is a value of a field, or a crossing of two, with 20 queries or more in each half.
    The first half ranks them by mean + 2 standard errors (of clusters), the lowest first: by
    the loss that is hardly chance. Those that lose nothing, or hold nearly the same queries as
    a worse one, are passed over. The second half takes the `most` that are left, once each:
    a one-sided sign-flip test by cluster, and Holm over all of them. So where nothing got worse
    the chance that any is confirmed is 5 % at most, whatever was searched.

    Args:
        differences: (N,) candidate less baseline, below 0 is worse.
        clusters: (N,) what each query belongs to; one cluster is in one half.
        cohorts: of each field the value of each query; crossings there are not crossed again.
        span: the least and the most that a difference can be.
        most: slices that are proposed, 1 or more.
        resamples: flips of the test.
        seed: which half is searched, and the flips.

    Returns:
        The proposed ones, the surest first; none where nothing large enough loses.

    Raises:
        ValueError: a difference is not a number.

    Source: Holm 1979, Scandinavian Journal of Statistics 6(2); the halves as in Cox 1975,
        doi:10.1093/biomet/62.2.441. Slices of one or two fields as in Chung et al. 2019,
        arXiv:1807.06068.
    """
    if not np.isfinite(differences).all():
        raise ValueError("a difference is not a number; refuse such queries before searching.")
    names, members = np.unique(np.asarray(clusters), return_inverse=True)
    halves = np.array([int(content_id(f"{seed} {name}"), 16) % 2 == 0 for name in names])
    searched = halves[members]
    proposed = _proposed(differences, members, cohorts, searched, most)
    if not proposed:
        return ()
    rows = [mask & ~searched for _, mask in proposed]
    columns = np.stack([np.where(mask, differences, 0.0) for mask in rows], axis=1)  # (N, M)
    p = adjusted(
        sign_flip_p(columns[~searched], members[~searched], resamples=resamples, seed=seed)
    )
    found = [
        Slice(
            where=tuple((field.name, field.values[own]) for field, own in where),
            queries=int(mask.sum()),
            found=float(differences[mask & searched].mean()),
            confirmed=estimate(differences[held], members[held].astype(str), span=span),
            p=float(chance),
        )
        for (where, mask), held, chance in zip(proposed, rows, p, strict=True)
    ]
    return tuple(sorted(found, key=lambda one: (one.p, one.confirmed.mean)))


@dataclass(frozen=True, slots=True)
class _Field:
    """A field whose values number the queries."""

    name: str
    values: tuple[str, ...]  # by number
    number: Ints  # (N,)


Where = tuple[tuple[_Field, int], ...]  # fields and the numbers of their values


def _proposed(
    differences: Floats,
    members: Ints,
    cohorts: Mapping[str, Sequence[str]],
    searched: Mask,
    most: int,
) -> list[tuple[Where, Mask]]:
    """Return the worst slices of the searched half, and which queries of both halves they hold.

    Of the other half only the sizes are looked at.
    """
    ranked: list[tuple[float, int, Where]] = []
    for number, wheres in _searches(cohorts):
        large = np.bincount(number[searched], minlength=len(wheres)) >= FEWEST
        large &= np.bincount(number[~searched], minlength=len(wheres)) >= FEWEST
        means, highs = _means(
            number[searched], differences[searched], members[searched], len(wheres)
        )
        ranked += [
            (float(highs[own]), len(ranked), wheres[own])
            for own in np.flatnonzero(large & (means < 0)).tolist()
        ]
    ranked.sort(key=lambda one: one[:2])
    chosen: list[tuple[Where, Mask]] = []
    for _, _, where in ranked[: most * _LOOKED_AT]:
        mask = np.logical_and.reduce([field.number == own for field, own in where])
        if all(_overlap(mask, other) < _ALIKE for _, other in chosen):
            chosen.append((where, mask))
        if len(chosen) == most:
            break
    return chosen


def _searches(cohorts: Mapping[str, Sequence[str]]) -> Iterator[tuple[Ints, list[Where]]]:
    """Yield the slice of each query (N,), and where slices are (S,): by each field, by each two."""
    fields = []
    for name, labels in cohorts.items():
        values, number = np.unique(np.asarray(labels), return_inverse=True)
        fields.append(_Field(name, tuple(values.tolist()), number))
    for field in fields:
        yield field.number, [((field, own),) for own in range(len(field.values))]
    for one, other in combinations([field for field in fields if CROSS not in field.name], 2):
        there, number = np.unique(
            one.number * len(other.values) + other.number, return_inverse=True
        )
        pairs = [divmod(pair, len(other.values)) for pair in there.tolist()]
        yield number, [((one, first), (other, second)) for first, second in pairs]


def _means(number: Ints, values: Floats, members: Ints, count: int) -> tuple[Floats, Floats]:
    """Return of each slice (S,) the mean, and the mean with two standard errors of clusters."""
    sizes = np.maximum(np.bincount(number, minlength=count), 1)
    means = np.bincount(number, weights=values, minlength=count) / sizes
    pairs, place = np.unique(number * (members.max() + 1) + members, return_inverse=True)
    owner = pairs // (members.max() + 1)  # the slice of each cluster in it
    residues = np.bincount(place, weights=values - means[number])
    groups = np.bincount(owner, minlength=count)
    spread = np.bincount(owner, weights=residues**2, minlength=count)
    # One cluster alone says nothing of how far others lie: it is never sure.
    wide = np.where(groups > 1, groups / np.maximum(groups - 1, 1), np.inf)
    with np.errstate(invalid="ignore"):
        errors = np.where(groups > 1, np.sqrt(wide * spread) / sizes, np.inf)
    return means, means + _SURE * errors


def _overlap(one: Mask, other: Mask) -> float:
    """Return the share of both, of all that are in either."""
    return float((one & other).sum() / (one | other).sum())


def _turned(found: Slice) -> Slice:
    """Return a slice as it stands in a metric of which more is worse."""
    held = found.confirmed
    low, high = (None if end is None else -end for end in (held.high, held.low))
    return replace(found, found=-found.found, confirmed=replace(held, mean=-held.mean, low=low,
                                                               high=high))  # fmt: skip
