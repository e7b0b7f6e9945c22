"""Slow twins of the measures: loops and `math`, so they share no mistake with the libraries."""

import math
from collections.abc import Mapping, Sequence


def ndcg(ranking: Sequence[str], grades: Mapping[str, int], k: int) -> float:
    gained = math.fsum(grades.get(d, 0) / math.log2(i + 2) for i, d in enumerate(ranking[:k]))
    best = sorted(grades.values(), reverse=True)[:k]
    return gained / math.fsum(g / math.log2(i + 2) for i, g in enumerate(best))


def recall(ranking: Sequence[str], grades: Mapping[str, int], k: int) -> float:
    answers = {d for d, g in grades.items() if g > 0}
    return len(answers & set(ranking[:k])) / len(answers)


def reciprocal_rank(ranking: Sequence[str], grades: Mapping[str, int], k: int) -> float:
    return next((1 / (i + 1) for i, d in enumerate(ranking[:k]) if grades.get(d, 0) > 0), 0.0)


def average_precision(ranking: Sequence[str], grades: Mapping[str, int]) -> float:
    found, total = 0, 0.0
    for i, document in enumerate(ranking):
        if grades.get(document, 0) > 0:
            found += 1
            total += found / (i + 1)
    return total / sum(g > 0 for g in grades.values())
