"""How a space is shaped: whether what belongs together is near, and whether all of it is used.

Shapes: N vectors, D dimensions, P pairs.
"""

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from sklearn.manifold import TSNE
from torch import Tensor

from nearfar.evaluation.embedded import Embedded

Floats = npt.NDArray[np.float64]

_MOST_VECTORS = 2_000  # uniformity compares all pairs of them
_ONE_PLACE = 1e-6  # vectors that differ by less are one, up to float32


def alignment(queries: Float[Tensor, "P D"], answers: Float[Tensor, "P D"]) -> Floats:
    """Return the squared distance of each pair that belongs together, 0 to 4, down is good.

        alignment = mean over pairs of ‖q - d‖²

    Source: Wang and Isola 2020, arXiv:2005.10242, eq. 3, with exponent 2.
    """
    found: Floats = (queries - answers).double().pow(2).sum(1).numpy()
    return found


def uniformity(vectors: Float[Tensor, "N D"], *, seed: int = 0) -> float:
    """Return how evenly unit vectors cover their sphere, -8 to 0, down is good.

        uniformity = log( mean over pairs i < j of exp(-2 ‖x_i - x_j‖²) )

    0 is all in one place, -4 all at right angles, about the best that many vectors can reach;
    -8 is two alone, opposite each other. Of more than 2,000 vectors a seeded sample is taken.

    Raises:
        ValueError: there are fewer than two vectors.

    Source: Wang and Isola 2020, arXiv:2005.10242, eq. 4, with t = 2.
    """
    if len(vectors) < 2:
        raise ValueError(f"uniformity needs two vectors or more, got {len(vectors)}.")
    if len(vectors) > _MOST_VECTORS:
        dice = torch.Generator().manual_seed(seed)
        vectors = vectors[torch.randperm(len(vectors), generator=dice)[:_MOST_VECTORS]]
    squared = torch.pdist(vectors.double()).pow(2)
    return float((-2 * squared).exp().mean().log())


def answer_rows(embedded: Embedded) -> tuple[Tensor, Tensor]:
    """Return the rows of queries and of their answers, one entry for each positive judgment."""
    task = embedded.task
    pairs = [
        (place, task.row_of[id_])
        for place, query in enumerate(task.queries)
        for id_, grade in task.judged[query.id].items()
        if grade > 0
    ]
    queries, documents = zip(*pairs, strict=True)
    return torch.tensor(queries), torch.tensor(documents)


def flat_map(embedded: Embedded, points: int, *, seed: int) -> tuple[Floats, Floats, list[int]]:
    """Return places in the plane for some queries and one answer of each.

    t-SNE keeps neighbours together; distances across the picture mean little. Each space gets
    a map of its own: places of two maps must not be compared.

    Args:
        embedded: a task in one space.
        points: at most so many queries, the first ones.
        seed: of the projection.

    Returns:
        Places of the queries (P, 2), of their answers (P, 2), and which queries they are.

    Source: van der Maaten and Hinton 2008; scikit-learn's TSNE from the first two principal
        components.
    """
    queries, documents = answer_rows(embedded)
    first = np.unique(queries.numpy(), return_index=True)[1][:points]
    rows, answers = queries[first], documents[first]
    both = torch.cat([embedded.queries[rows], embedded.documents[answers]]).numpy()
    perplexity = min(30.0, max((len(both) - 1) / 3, 1.0))
    # Where all vectors are one, principal components have no length to divide by.
    init = "pca" if np.ptp(both, axis=0).max() > _ONE_PLACE else "random"
    tsne = TSNE(init=init, perplexity=perplexity, metric="cosine", random_state=seed, n_jobs=1)
    places = tsne.fit_transform(both).astype(np.float64)
    return places[: len(rows)], places[len(rows) :], rows.tolist()
