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


def _logits(queries: Vectors, documents: Vectors, temperature: float) -> list[list[float]]:
    return [[cosine(q, d) / temperature for d in documents] for q in queries]


def _log_sum(numbers: Sequence[float]) -> float:
    top = max(numbers)
    return top + math.log(math.fsum(math.exp(number - top) for number in numbers))


def decoupled_contrastive(
    queries: Vectors, documents: Vectors, edges: Sequence[Edge], *, temperature: float,
    excluded: Sequence[tuple[int, int]] = (),
) -> float:  # fmt: skip
    logits = _logits(queries, documents, temperature)
    answers = {(q, d) for q, d, grade in edges if grade > 0}
    found = []
    for q, d in sorted(answers):
        others = [
            logits[q][k]
            for k in range(len(documents))
            if (q, k) not in answers and (q, k) not in excluded
        ]
        found.append(_log_sum(others) - logits[q][d] if others else 0.0)
    return math.fsum(found) / len(found)


def supervised_contrastive(
    queries: Vectors, documents: Vectors, edges: Sequence[Edge], *, temperature: float,
    excluded: Sequence[tuple[int, int]] = (),
) -> float:  # fmt: skip
    logits = _logits(queries, documents, temperature)
    means = []
    for q in range(len(queries)):
        answers = [d for one, d, grade in edges if one == q and grade > 0]
        if answers:
            seen = [logits[q][k] for k in range(len(documents)) if (q, k) not in excluded]
            means.append(math.fsum(_log_sum(seen) - logits[q][d] for d in answers) / len(answers))
    return math.fsum(means) / len(means)


def sigmoid(
    queries: Vectors, documents: Vectors, edges: Sequence[Edge], *, temperature: float,
    excluded: Sequence[tuple[int, int]] = (), bias: float = -10.0,
) -> float:  # fmt: skip
    logits = _logits(queries, documents, temperature)
    answers = {(q, d) for q, d, grade in edges if grade > 0}
    total = 0.0
    for q in range(len(queries)):
        for d in range(len(documents)):
            if (q, d) in excluded:
                continue
            sign = 1 if (q, d) in answers else -1
            wrong = -sign * (logits[q][d] + bias)
            total += max(wrong, 0) + math.log1p(math.exp(-abs(wrong)))
    return total / len(queries)


def spread_out(
    queries: Vectors, documents: Vectors, edges: Sequence[Edge], *,
    excluded: Sequence[tuple[int, int]] = (),
) -> float:  # fmt: skip
    known = {(q, d) for q, d, grade in edges if grade > 0} | set(excluded)
    strangers = [
        cosine(queries[q], documents[d])
        for q in range(len(queries))
        for d in range(len(documents))
        if (q, d) not in known
    ]
    if not strangers:
        return 0.0
    first = math.fsum(strangers) / len(strangers)
    second = math.fsum(s * s for s in strangers) / len(strangers)
    return first**2 + max(0.0, second - 1 / len(queries[0]))
