"""Do texts of one label lie together? Asked of their neighbours, and of clusters.

Shapes: N labelled texts, M texts asked, D dimensions, K neighbours, S seeds.
"""

import warnings
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import f1_score, v_measure_score
from torch import Tensor

from nearfar.errors import require
from nearfar.vectors.nearest import nearest

Ints = npt.NDArray[np.int64]

NEIGHBOURS = 5
SEEDS = (0, 1, 2, 3, 4)
_COMPARED_AT_ONCE = 1 << 24  # votes with votes


def neighbours_say(
    asked: Float[Tensor, "M D"], known: Float[Tensor, "N D"], labels: Ints, *, k: int = NEIGHBOURS
) -> Ints:
    """Return the label that most of the k nearest labelled texts have.

    Among labels with as many votes, the one whose voters' cosines sum to more; then the nearest.

    Args:
        asked: unit vectors of the texts whose label is guessed.
        known: unit vectors of texts whose label is known; none of them is asked.
        labels: (N,) their labels, as numbers from 0.
        k: how many vote, 1 or more; all, where there are fewer.

    Returns:
        (M,) labels.

    Source: Cover and Hart 1967, doi:10.1109/TIT.1967.1053964.
    """
    require(k >= 1, "neighbours", "1 or more", k)
    cosines, rows = nearest(asked, known, k)  # (M, K), best first
    votes = torch.from_numpy(labels)[rows]  # (M, K)
    some = max(1, _COMPARED_AT_ONCE // votes.shape[1] ** 2)
    parts = zip(torch.split(votes, some), torch.split(cosines, some), strict=True)
    return np.concatenate([_elected(*part) for part in parts])


def _elected(votes: Int[Tensor, "M K"], cosines: Float[Tensor, "M K"]) -> Ints:
    same = votes[:, :, None] == votes[:, None, :]  # (M, K, K)
    # In doubles, and to nine digits: equal sums must be equal in whatever order they are added.
    sums = (same * cosines.double()[:, None, :]).sum(2).round(decimals=9)
    counts = same.sum(2)
    most = counts == counts.max(1, keepdim=True).values
    best = torch.where(most, sums, -torch.inf)
    # argmax takes any of the equals; the first of them is the nearest.
    first = (best == best.max(1, keepdim=True).values).int().argmax(1)
    found: Ints = votes.gather(1, first[:, None])[:, 0].numpy()
    return found


def macro_f1(truth: Ints, guessed: Ints) -> float:
    """Return the mean over the labels that are true of some text of F1, 0 to 1.

    A label that was guessed and is true of none costs those it was taken for, and is none itself.
    """
    return float(
        f1_score(truth, guessed, labels=np.unique(truth), average="macro", zero_division=0.0)
    )


def clustered(
    vectors: Float[Tensor, "N D"], clusters: int, *, seeds: Sequence[int] = SEEDS
) -> npt.NDArray[np.int64]:
    """Return the cluster of each text, for each seed: (S, N), by k-means on the unit vectors.

    Raises:
        BadSetting: there are fewer texts than clusters, or no seed.
    """
    require(1 <= clusters <= len(vectors), "clusters", f"1 to {len(vectors):,}, a text each",
            clusters)  # fmt: skip
    require(len(seeds) > 0, "seeds", "one or more", list(seeds))
    points = vectors.numpy().astype(np.float32, copy=False)
    with warnings.catch_warnings():
        # Fewer different texts than labels: V-measure says what that is worth.
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = [KMeans(clusters, n_init=1, random_state=seed).fit_predict(points)
                 for seed in seeds]  # fmt: skip
    return np.stack(found).astype(np.int64)


def v_measure(labels: Ints, clusters: Ints) -> float:
    """Return how far clusters and labels are one division, 0 to 1, whatever they are called.

        2 h c / (h + c),   h = 1 - H(label | cluster) / H(label),  c = 1 - H(cluster | label) / ...

    Source: Rosenberg and Hirschberg 2007, aclanthology.org/D07-1043.
    """
    return float(v_measure_score(labels, clusters))
