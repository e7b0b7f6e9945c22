"""Effective rank, isotropy, hubness and analogies are what loops and the papers' steps say."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from nearfar.evaluation import geometry
from nearfar.evaluation.analogies import (
    Paired,
    analogy_scores,
    nearest_to_c_scores,
    quadruples,
)
from nearfar.evaluation.geometry import effective_rank, hubness, isotropy
from nearfar.vectors.similarity import unit


def some(count: int, dims: int, seed: int = 0) -> torch.Tensor:
    dice = torch.Generator().manual_seed(seed)
    return unit(torch.randn(count, dims, generator=dice) * torch.linspace(0.2, 2, dims))


def test_effective_rank_is_the_entropy_of_the_singular_values() -> None:
    x = some(40, 7)
    values = torch.linalg.svdvals(x.double()).tolist()
    shares = [value / math.fsum(values) for value in values]
    entropy = -math.fsum(p * math.log(p) for p in shares)
    assert effective_rank(x) == pytest.approx(math.exp(entropy))


def test_effective_rank_knows_its_ends() -> None:
    assert effective_rank(torch.eye(9)) == pytest.approx(9)
    assert effective_rank(torch.ones(9, 4) / 2) == pytest.approx(1)
    assert effective_rank(torch.eye(9)[:3]) == pytest.approx(3)
    with pytest.raises(ValueError, match="not zero"):
        effective_rank(torch.zeros(3, 4))


def test_vectors_are_summed_up_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    x = some(50, 6)
    whole = effective_rank(x), isotropy(x)
    monkeypatch.setattr(geometry, "_ROWS", 7)
    assert effective_rank(x) == pytest.approx(whole[0])
    assert isotropy(x).iso_score == pytest.approx(whole[1].iso_score)


def rudman(x: np.ndarray) -> float:  # type: ignore[type-arg]
    """IsoScore by the steps of the paper's algorithm 1."""
    n = x.shape[1]
    components = np.linalg.svd(x - x.mean(0), full_matrices=False)[2]
    variances = np.diag(np.cov((x @ components.T).T))
    normed = math.sqrt(n) * variances / np.linalg.norm(variances)
    defect = np.linalg.norm(normed - 1) / math.sqrt(2 * (n - math.sqrt(n)))
    share = (n - defect**2 * (n - math.sqrt(n))) ** 2 / n**2
    return float((n * share - 1) / (n - 1))


def test_isotropy_is_what_the_papers_steps_and_loops_say() -> None:
    x = some(60, 5)
    found = isotropy(x)
    rows = x.double().tolist()
    cosines = [
        math.fsum(a * b for a, b in zip(rows[i], rows[j], strict=True))
        for i in range(60)
        for j in range(i)
    ]
    variances = np.linalg.eigvalsh(np.cov(x.double().numpy().T))
    assert found.iso_score == pytest.approx(rudman(x.double().numpy()))
    assert found.mean_cosine == pytest.approx(math.fsum(cosines) / len(cosines))
    assert found.first_component == pytest.approx(variances.max() / variances.sum())


def test_isotropy_knows_its_ends() -> None:
    even = isotropy(torch.cat([torch.eye(6), -torch.eye(6)]))
    assert (even.iso_score, even.mean_cosine) == (pytest.approx(1), pytest.approx(-1 / 11))
    line = torch.zeros(10, 6)
    line[:, 0] = torch.tensor([1.0, -1.0] * 5)
    assert isotropy(line).iso_score == pytest.approx(0)
    assert isotropy(line).first_component == pytest.approx(1)
    cone = unit(torch.eye(6) + 20)
    assert isotropy(cone).mean_cosine > 0.99
    with pytest.raises(ValueError, match="in one place"):
        isotropy(torch.ones(9, 4) / 2)
    with pytest.raises(ValueError, match="two vectors"):
        isotropy(torch.ones(1, 4))


def test_hubness_counts_as_a_loop_does() -> None:
    queries, documents = some(30, 4, 1), some(50, 4, 2)
    counts = [0] * 50
    for row in (queries @ documents.T).tolist():
        for place in sorted(range(50), key=lambda i: -row[i])[:5]:
            counts[place] += 1
    found = hubness(queries, documents, k=5)
    assert found.skewness == pytest.approx(stats.skew(counts))
    assert found.never_found == counts.count(0) / 50
    assert found.most_found == max(counts)
    assert hubness(some(2, 4, 1), documents, k=5).never_found_at_best == pytest.approx(0.8)


def test_a_hub_is_seen() -> None:
    queries = some(100, 8, 3)
    documents = torch.cat([queries.mean(0, keepdim=True) * 50, queries * 0.01])
    assert hubness(queries, documents, k=1).most_found > 30
    assert hubness(queries, queries, k=1) == geometry.Hubness(0.0, 0.0, 0.0, 1, 1)
    assert hubness(queries[:3], queries[:4], k=10).k == 4
    with pytest.raises(ValueError, match="needs queries and documents"):
        hubness(queries[:0], documents)


def by_loop(x: torch.Tensor, row: tuple[int, ...]) -> float:
    a, b, c, d = row
    wanted = (x[b] - x[a] + x[c]).tolist()
    best = max(
        (i for i in range(len(x)) if i not in (a, b, c)),
        key=lambda i: math.fsum(p * q for p, q in zip(wanted, x[i].tolist(), strict=True)),
    )
    return float(best == d)


def test_analogies_are_answered_as_a_loop_answers_them() -> None:
    dice = torch.Generator().manual_seed(4)
    firsts = torch.randn(12, 6, generator=dice)
    seconds = firsts + 1.2 + 0.5 * torch.randn(12, 6, generator=dice)
    x = unit(torch.cat([firsts, seconds]))
    pairs = [Paired("up", str(i), str(12 + i)) for i in range(12)]
    rows = [tuple(map(int, four)) for four in quadruples(pairs)]
    found = analogy_scores(x, rows)
    assert found.tolist() == [by_loop(x, row) for row in rows]
    assert 0.2 < found.mean() < 1
    assert nearest_to_c_scores(x, rows).mean() < found.mean()


def test_every_pair_asks_and_none_by_itself() -> None:
    pairs = [Paired("x", f"a{i}", f"b{i}") for i in range(5)]
    pairs += [Paired("y", f"c{i}", f"d{i}") for i in range(3)] + [Paired("z", "e", "f")]
    every = quadruples(pairs)
    assert len(every) == len(set(every)) == 5 * 4 + 3 * 2
    assert all(four[0] != four[2] for four in every)
    assert all((four[0][0] == "a") == (four[2][0] == "a") for four in every)
    twice = [Paired("x", "a", "b"), Paired("x", "a", "c"), Paired("x", "d", "b")]
    assert set(quadruples(twice)) == {("a", "c", "d", "b"), ("d", "b", "a", "c")}
    assert {four[2] for four in quadruples(pairs, most=8)} == {p.first for p in pairs[:8]}
    assert quadruples(pairs[:1]) == quadruples([]) == []
    assert analogy_scores(some(4, 3), []).tolist() == []
    with pytest.raises(ValueError, match="four rows"):
        analogy_scores(some(4, 3), [(0, 1, 2)])
