"""Slow twins of the losses: loops and `math` in float64, which share no mistake of tensors."""

import math
from collections.abc import Sequence

Vectors = Sequence[Sequence[float]]
Edge = tuple[int, int, float]  # query, document, grade


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    dot = math.fsum(a * b for a, b in zip(one, other, strict=True))
    return dot / (math.hypot(*one) * math.hypot(*other))


def infonce(
    queries: Vectors,
    documents: Vectors,
    edges: Sequence[Edge],
    *,
    temperature: float,
    excluded: Sequence[tuple[int, int]] = (),
) -> float:
    answers = {(q, d) for q, d, grade in edges if grade > 0}
    surprises = []
    for q, d in sorted(answers):
        own = cosine(queries[q], documents[d]) / temperature
        others = [
            cosine(queries[q], documents[k]) / temperature
            for k in range(len(documents))
            if (q, k) not in answers and (q, k) not in excluded
        ]
        # log(exp(own) + sum exp(other)) - own, without leaving the range of a float.
        top = max([own, *others])
        total = math.fsum(math.exp(score - top) for score in [own, *others])
        surprises.append(top + math.log(total) - own)
    return math.fsum(surprises) / len(surprises)
