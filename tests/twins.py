"""Slow twins of losses of pairs, triplets, order and distillation: loops and `math`, no tensors."""

import math
from collections.abc import Sequence

from oracles import Edge, Vectors, cosine

Pairs = Sequence[tuple[int, int]]


def judged(edges: Sequence[Edge], excluded: Pairs) -> list[Edge]:
    return [(q, d, grade) for q, d, grade in edges if (q, d) not in excluded]


def mean(numbers: Sequence[float]) -> float:
    return math.fsum(numbers) / len(numbers) if numbers else 0.0


def unit(vector: Sequence[float]) -> list[float]:
    length = math.hypot(*vector)
    return [number / length for number in vector]


def contrastive(
    queries: Vectors, documents: Vectors, edges: Sequence[Edge], *, excluded: Pairs = (),
    margin: float = 0.5,
) -> float:  # fmt: skip
    found = []
    for q, d, grade in judged(edges, excluded):
        distance = 1 - cosine(queries[q], documents[d])
        found.append((distance if grade > 0 else max(0.0, margin - distance)) ** 2 / 2)
    return mean(found)


def online_contrastive(
    queries: Vectors, documents: Vectors, edges: Sequence[Edge], *, excluded: Pairs = (),
    margin: float = 0.5,
) -> float:  # fmt: skip
    near, far = [], []
    for q, d, grade in judged(edges, excluded):
        (near if grade > 0 else far).append(1 - cosine(queries[q], documents[d]))
    low = min(far) if far else mean(near)
    high = max(near) if near else mean(far)
    hard = [d**2 for d in near if d > low] + [max(0.0, margin - d) ** 2 for d in far if d < high]
    return mean(hard)


def cosine_mse(
    queries: Vectors, documents: Vectors, edges: Sequence[Edge], *, excluded: Pairs = ()
) -> float:
    some = judged(edges, excluded)
    return mean([(cosine(queries[q], documents[d]) - grade) ** 2 for q, d, grade in some])


def distance(one: Sequence[float], other: Sequence[float], kind: str) -> float:
    a, b = unit(one), unit(other)
    if kind == "cosine":
        return 1 - cosine(one, other)
    if kind == "euclidean":
        return math.dist(a, b)
    return math.fsum(abs(x - y) for x, y in zip(a, b, strict=True))


def triplet(
    queries: Vectors, documents: Vectors, edges: Sequence[Edge], *, excluded: Pairs = (),
    margin: float = 0.2, kind: str = "cosine", negatives: str = "batch", select: str = "all",
    soft: bool = False,
) -> float:  # fmt: skip
    answers = {(q, d) for q, d, grade in edges if grade > 0 and (q, d) not in excluded}
    wrong = {(q, d) for q, d, grade in judged(edges, excluded) if grade == 0}
    gaps = []
    for q in range(len(queries)):
        own = [distance(queries[q], documents[d], kind) for one, d in sorted(answers) if one == q]
        others = [
            distance(queries[q], documents[d], kind)
            for d in range(len(documents))
            if ((q, d) in wrong if negatives == "own"
                else (q, d) not in answers and (q, d) not in excluded)
        ]  # fmt: skip
        if not own or not others:
            continue
        if select == "all":
            gaps += [p - n for p in own for n in others]
        elif select == "hardest":
            gaps.append(max(own) - min(others))
        else:
            for p in own:
                beyond = [n for n in others if n > p]
                gaps.append(p - (min(beyond) if beyond else max(others)))
    if soft:
        return mean([math.log1p(math.exp(gap)) for gap in gaps])
    values = [max(0.0, gap + margin) for gap in gaps]
    return mean([value for value in values if value > 0]) if select == "all" else mean(values)


def in_order(likeness: Sequence[float], grades: Sequence[float], temperature: float) -> float:
    total = 1.0
    for e, better in enumerate(grades):
        for f, worse in enumerate(grades):
            if better > worse:
                total += math.exp((likeness[f] - likeness[e]) / temperature)
    return math.log(total)


def cosent(
    queries: Vectors, documents: Vectors, edges: Sequence[Edge], *, excluded: Pairs = (),
    temperature: float,
) -> float:  # fmt: skip
    some = judged(edges, excluded)
    likeness = [cosine(queries[q], documents[d]) for q, d, _ in some]
    return in_order(likeness, [grade for *_, grade in some], temperature)


def angle(
    queries: Vectors, documents: Vectors, edges: Sequence[Edge], *, excluded: Pairs = (),
    temperature: float,
) -> float:  # fmt: skip
    some, likeness = judged(edges, excluded), []
    for q, d, _ in some:
        one, other = unit(queries[q]), unit(documents[d])
        half = len(one) // 2
        z = sum(
            complex(one[k], one[k + half]) * complex(other[k], -other[k + half])
            for k in range(half)
        )
        likeness.append(abs(z.real + z.imag))
    return in_order(likeness, [grade for *_, grade in some], temperature)


def lists(
    queries: Vectors, documents: Vectors, edges: Sequence[Edge], excluded: Pairs
) -> dict[int, list[tuple[int, float, float]]]:
    """Document, cosine and teacher's score of each scored edge, by query; NaN is no score."""
    found: dict[int, list[tuple[int, float, float]]] = {}
    for q, d, score in judged(edges, excluded):
        if not math.isnan(score):
            found.setdefault(q, []).append((d, cosine(queries[q], documents[d]), score))
    return found


def margin_mse(
    queries: Vectors, documents: Vectors, edges: Sequence[Edge], *, excluded: Pairs = (),
    temperature: float,
) -> float:  # fmt: skip
    gaps = [
        ((ours - others) / temperature - (theirs - other)) ** 2
        for row in lists(queries, documents, edges, excluded).values()
        for _, ours, theirs in row
        for _, others, other in row
        if theirs > other
    ]
    return mean(gaps)


def shares(logits: Sequence[float]) -> list[float]:
    top = max(logits)
    total = math.fsum(math.exp(logit - top) for logit in logits)
    return [math.exp(logit - top) / total for logit in logits]


def listwise_kl(
    queries: Vectors, documents: Vectors, edges: Sequence[Edge], *, excluded: Pairs = (),
    temperature: float, teacher_temperature: float = 1.0,
) -> float:  # fmt: skip
    found = []
    for row in lists(queries, documents, edges, excluded).values():
        if len(row) < 2:
            continue
        ours = shares([cosine / temperature / teacher_temperature for _, cosine, _ in row])
        theirs = shares([score / teacher_temperature for *_, score in row])
        found.append(
            math.fsum(p * math.log(p / q) for p, q in zip(theirs, ours, strict=True) if p > 0)
        )
    return mean(found) * teacher_temperature**2


def listwise_infonce(
    queries: Vectors, documents: Vectors, edges: Sequence[Edge], *, excluded: Pairs = (),
    answers: Pairs = (), temperature: float, teacher_temperature: float = 1.0,
) -> float:  # fmt: skip
    found = []
    for q, row in lists(queries, documents, edges, excluded).items():
        listed = {d for d, *_ in row}
        seen = [
            math.exp(cosine(queries[q], documents[d]) / temperature)
            for d in range(len(documents))
            if d in listed or ((q, d) not in excluded and (q, d) not in answers)
        ]
        theirs = shares([score / teacher_temperature for *_, score in row])
        found.append(
            -math.fsum(
                p * (ours / temperature - math.log(math.fsum(seen)))
                for p, (_, ours, _) in zip(theirs, row, strict=True)
            )
        )
    return mean(found)


def embedding_distillation(
    queries: Vectors, documents: Vectors, teacher: tuple[Vectors, Vectors]
) -> float:
    pairs = [*zip(queries, teacher[0], strict=True), *zip(documents, teacher[1], strict=True)]
    return mean([1 - cosine(ours, theirs) for ours, theirs in pairs])
