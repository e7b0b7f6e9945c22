"""Slow twins of the losses of a reranker's scores: loops and `math` over lists, no tensors."""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple


class Row(NamedTuple):
    """One judged pair and the score it got."""

    query: int
    document: int
    grade: float
    teacher: float  # NaN: none
    score: float


Pairs = Sequence[tuple[int, int]]


def mean(numbers: Sequence[float]) -> float:
    if not numbers:
        raise ValueError("nothing to learn from")
    return math.fsum(numbers) / len(numbers)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def surprise(x: float) -> float:
    """-log(sigmoid(x))"""
    return max(-x, 0) + math.log1p(math.exp(-abs(x)))


def log_sum(numbers: Sequence[float]) -> float:
    top = max(numbers)
    return top + math.log(math.fsum(math.exp(number - top) for number in numbers))


def judged(rows: Sequence[Row], excluded: Pairs) -> list[Row]:
    return [row for row in rows if (row.query, row.document) not in excluded]


def wish(row: Row, target: str) -> float:
    return row.teacher if target == "teacher" else row.grade


def lists(rows: Sequence[Row], excluded: Pairs, target: str = "grade") -> list[list[Row]]:
    kept = [row for row in judged(rows, excluded) if not math.isnan(wish(row, target))]
    return [[row for row in kept if row.query == q] for q in sorted({row.query for row in kept})]


def binary_cross_entropy(
    rows: Sequence[Row], *, excluded: Pairs = (), highest_grade: float | None = None,
    positive_weight: float = 1.0,
) -> float:  # fmt: skip
    found = []
    for row in judged(rows, excluded):
        y = float(row.grade > 0) if highest_grade is None else row.grade / highest_grade
        found.append(positive_weight * y * surprise(row.score) + (1 - y) * surprise(-row.score))
    return mean(found)


def graded_mse(
    rows: Sequence[Row], *, excluded: Pairs = (), highest_grade: float = 1.0,
    activation: str = "sigmoid",
) -> float:  # fmt: skip
    found = []
    for row in judged(rows, excluded):
        said = sigmoid(row.score) if activation == "sigmoid" else row.score
        found.append((said - row.grade / highest_grade) ** 2)
    return mean(found)


def listwise_softmax(
    rows: Sequence[Row], *, excluded: Pairs = (), temperature: float = 1.0
) -> float:
    found = []
    for one in lists(rows, excluded):
        others = [row.score / temperature for row in one if row.grade == 0]
        for row in one:
            if row.grade > 0 and others:
                own = row.score / temperature
                found.append(log_sum([own, *others]) - own)
    return mean(found)


def ranknet(
    rows: Sequence[Row], *, excluded: Pairs = (), temperature: float = 1.0,
    weighting: str = "none", target: str = "grade",
) -> float:  # fmt: skip
    means = []
    for one in lists(rows, excluded, target):
        total = weights = 0.0
        for a, b in itertools.product(one, one):
            gap = wish(a, target) - wish(b, target)
            if gap > 0:
                weight = gap if weighting == "gap" else 1.0
                total += weight * surprise((a.score - b.score) / temperature)
                weights += weight
        if weights:
            means.append(total / weights)
    return mean(means)


def _inverse_discount(place: int) -> float:
    return 1 / math.log2(1 + place)


def lambdarank(
    rows: Sequence[Row], *, excluded: Pairs = (), weighting: str = "lambdarank",
    k: int | None = None, temperature: float = 1.0, mu: float = 10.0, gain: str = "exponential",
) -> float:  # fmt: skip
    sums = []
    for one in lists(rows, excluded):
        order = sorted(one, key=lambda row: (-row.score, row.grade, row.document))
        worth = [row.grade if gain == "linear" else 2**row.grade - 1 for row in order]
        best = sorted(worth, reverse=True)[:k]
        ideal = sum(w * _inverse_discount(place) for place, w in enumerate(best, start=1))
        total, pairs = 0.0, 0
        for i, j in itertools.product(range(len(order)), repeat=2):
            if order[i].grade <= order[j].grade or min(i, j) >= (k or len(order)):
                continue
            pairs += 1
            rho = abs(_inverse_discount(i + 1) - _inverse_discount(j + 1))
            apart = abs(i - j)
            delta = _inverse_discount(apart) - _inverse_discount(apart + 1)
            weight = abs(worth[i] - worth[j]) / ideal if weighting != "none" else 1.0
            weight *= {
                "lambdarank": rho, "ndcg_loss2": delta, "ndcg_loss2++": rho + mu * delta, "none": 1,
            }[weighting]  # fmt: skip
            total += weight * surprise((order[i].score - order[j].score) / temperature)
        if pairs:
            sums.append(total / pairs if weighting == "none" else total)
    return mean(sums)


def list_mle(rows: Sequence[Row], *, excluded: Pairs = (), target: str = "grade") -> float:
    sums = []
    for one in lists(rows, excluded, target):
        if len({wish(row, target) for row in one}) > 1:
            terms = []
            for row in one:
                below = [r.score for r in one if wish(r, target) < wish(row, target)]
                terms.append(log_sum([row.score, *below]) - row.score)
            sums.append(math.fsum(terms))
    return mean(sums)


def p_list_mle(rows: Sequence[Row], *, excluded: Pairs = (), target: str = "grade") -> float:
    sums = []
    for one in lists(rows, excluded, target):
        order = sorted(one, key=lambda row: -wish(row, target))
        if wish(order[0], target) == wish(order[-1], target):
            continue
        n = len(order)
        weights = [2 ** (n - place) - 1 for place in range(1, n + 1)]
        total = 0.0
        for row in order:
            alike = [
                w for r, w in zip(order, weights, strict=True)
                if wish(r, target) == wish(row, target)
            ]  # fmt: skip
            below = [r.score for r in one if wish(r, target) < wish(row, target)]
            total += mean(alike) * (log_sum([row.score, *below]) - row.score)
        sums.append(total / sum(weights))
    return mean(sums)


def all_orders(one: Sequence[Row]) -> float:
    """-log of the chance that documents are drawn (Plackett-Luce) in any order of falling grade."""
    chance = 0.0
    for order in itertools.permutations(one):
        if any(a.grade < b.grade for a, b in itertools.pairwise(order)):
            continue
        steps = [order[i].score - log_sum([r.score for r in order[i:]]) for i in range(len(order))]
        chance += math.exp(math.fsum(steps))
    return -math.log(chance)


def margin_mse(
    rows: Sequence[Row], *, excluded: Pairs = (), pairs: str = "answers", target: str = "teacher"
) -> float:
    found = []
    for one in lists(rows, excluded, target):
        for a, b in itertools.product(one, one):
            gap = wish(a, target) - wish(b, target)
            if gap > 0 if pairs == "all" else a.grade > 0 and b.grade == 0:
                found.append((a.score - b.score - gap) ** 2)
    return mean(found)


def listwise_kl(
    rows: Sequence[Row], *, excluded: Pairs = (), temperature: float = 1.0,
    teacher_temperature: float = 1.0, target: str = "teacher",
) -> float:  # fmt: skip
    sums = []
    for one in lists(rows, excluded, target):
        if len(one) > 1:
            theirs = [wish(row, target) / teacher_temperature for row in one]
            ours = [row.score / temperature / teacher_temperature for row in one]
            p = [t - log_sum(theirs) for t in theirs]
            q = [s - log_sum(ours) for s in ours]
            sums.append(math.fsum(math.exp(a) * (a - b) for a, b in zip(p, q, strict=True)))
    return mean(sums) * teacher_temperature**2


def adr_mse(
    rows: Sequence[Row], *, excluded: Pairs = (), temperature: float = 1.0, target: str = "teacher"
) -> float:
    means = []
    for one in lists(rows, excluded, target):
        if len(one) < 2:
            continue
        errors = []
        falling = sorted((wish(row, target) for row in one), reverse=True)
        for i, row in enumerate(one):
            mine = [p for p, y in enumerate(falling, start=1) if y == wish(row, target)]
            rank = mean(mine)
            soft = 1 + math.fsum(
                sigmoid((other.score - row.score) / temperature)
                for j, other in enumerate(one)
                if j != i
            )
            errors.append((rank - soft) ** 2 / math.log2(1 + rank))
        means.append(mean(errors))
    return mean(means)
