"""Could chance alone have made a mean this low? A paired test that flips whole clusters.

Shapes: N queries, R rules (columns that share the same flips), G clusters, B flips of one block.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_BLOCK_NUMBERS = 4_000_000  # of flips that stand in memory at once: 32 MB
_ROUNDING = 1e-12  # of all that a column's clusters sum to: flips that differ by less are equal


def sign_flip_p(
    differences: Floats,
    clusters: Sequence[str] | Sequence[int] | npt.NDArray[np.generic],
    *,
    resamples: int = 10_000,
    seed: int = 0,
) -> Floats:
    """Return how often chance alone gives a mean as low as this one: is it below 0?

        p = (1 + flips whose mean is at most the one observed) / (1 + resamples)

    If two systems are equally good, the difference of a cluster of queries could as well have
    come out with the other sign. Each flip gives every cluster a sign by a fair coin, the same
    in all columns. Where all the ways to flip are no more than `resamples`, each is taken once,
    and p is their share, without the 1: then the observed one is among them.

    A query that is not of a column's cohort is given as 0 there: it moves no sum.

    Args:
        differences: (N, R), or (N,) for one column: candidate less baseline, query by query, so
            turned that below 0 is worse.
        clusters: (N,) what each query belongs to; those of one cluster are flipped together.
        resamples: how many flips, 1 or more.
        seed: of the flips. The order of the queries, and what other columns there are, do not
            matter.

    Returns:
        (R,) above 0, up to 1; never less than 1 / (1 + resamples), nor than 2^-G.

    Raises:
        ValueError: there is no query, a difference is not a number, or lengths differ.

    Source: Fisher 1935, "The Design of Experiments", section 21; clusters as in Canay, Romano and
        Shaikh 2017, doi:10.3982/ECTA13081; the 1 as in Phipson and Smyth 2010,
        doi:10.2202/1544-6115.1585. Exact where each cluster's difference is symmetric
        about 0; else as nearly as its sums are normal.

    >>> sign_flip_p(np.array([-0.5, -0.25, -0.125]), ["a", "b", "c"])
    array([0.125])
    """
    found = np.asarray(differences, dtype=np.float64)
    if not len(found) or len(found) != len(clusters) or resamples < 1:
        raise ValueError(
            f"expected as many clusters as differences, and 1 or more of each, got {len(found)} "
            f"differences, {len(clusters)} clusters and {resamples} resamples."
        )
    if not np.isfinite(found).all():
        raise ValueError("a difference is not a number; refuse such queries before testing them.")
    sums = _by_cluster(found.reshape(len(found), -1), np.asarray(clusters))
    slack = _ROUNDING * np.abs(sums).sum(0)
    ways = 1 << len(sums)
    exact = ways <= resamples
    lower = np.zeros(sums.shape[1])
    for flipped in _all_flips(len(sums)) if exact else _some_flips(len(sums), resamples, seed):
        # A flip takes twice the sum of the flipped clusters away: where that is 0 or more, what
        # is left is at most what was observed. So the mean itself is never computed.
        lower += (flipped @ sums >= -slack).sum(0)
    share: Floats = lower / ways if exact else (1 + lower) / (1 + resamples)
    return share


def _by_cluster(differences: Floats, clusters: npt.NDArray[np.generic]) -> Floats:
    """Return the sums (G, R) of each cluster, in the order of their names."""
    names, members = np.unique(clusters, return_inverse=True)
    order = np.argsort(members, kind="stable")
    starts = np.searchsorted(members[order], np.arange(len(names)))
    sums: Floats = np.add.reduceat(differences[order], starts, axis=0)
    return sums


def _all_flips(clusters: int) -> Iterator[Floats]:
    """Yield every way to flip them, (B, G) of 0 and 1."""
    rows = max(_BLOCK_NUMBERS // clusters, 1)
    for start in range(0, 1 << clusters, rows):
        ways = np.arange(start, min(start + rows, 1 << clusters))
        yield (ways[:, None] >> np.arange(clusters) & 1).astype(np.float64)


def _some_flips(clusters: int, resamples: int, seed: int) -> Iterator[Floats]:
    """Yield flips by chance, (B, G) of 0 and 1."""
    rows = max(_BLOCK_NUMBERS // clusters, 1)
    dice = np.random.default_rng(seed)
    for start in range(0, resamples, rows):
        # Whole words for each flip, so that the size of a block does not change the flips.
        size = (min(rows, resamples - start), -(-clusters // 64))
        words = dice.integers(0, 1 << 64, size, dtype=np.uint64)
        yield np.unpackbits(words.view(np.uint8), axis=1)[:, :clusters].astype(np.float64)
