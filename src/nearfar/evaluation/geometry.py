"""How a space is shaped: whether what belongs together is near, and whether all of it is used.

Shapes: N vectors, D dimensions, P pairs, Q queries, C documents.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from sklearn.manifold import TSNE
from torch import Tensor

from nearfar.evaluation.embedded import Embedded
from nearfar.vectors.nearest import nearest

Floats = npt.NDArray[np.float64]

_MOST_VECTORS = 2_000  # uniformity compares all pairs of them
_ONE_PLACE = 1e-6  # vectors that differ by less are one, up to float32
_ROWS = 65_536  # that are made float64 at once


@dataclass(frozen=True, slots=True)
class Isotropy:
    """Whether a space is used alike in all directions."""

    iso_score: float  # 0: all variance in one direction, 1: the same in all
    mean_cosine: float  # of all pairs: 0 where directions are spread, 1 in a narrow cone
    first_component: float  # share of the variance along the first principal component, 0 to 1


@dataclass(frozen=True, slots=True)
class Hubness:
    """Whether a few documents are found by many queries, and many by none."""

    skewness: float  # of how often a document is found: 0 even, above 1 there are hubs
    never_found: float  # share of the documents, 0 to 1
    never_found_at_best: float  # the share that k places of so many queries cannot reach
    most_found: int  # how often the greatest hub is
    k: int


def shape_of(embedded: Embedded, *, seed: int = 0) -> dict[str, float]:
    """Return what a space is like as a whole, by the names that a report has for it.

    A space where all texts lie in one place has no directions to use: its isotropy is 0.
    """
    documents = embedded.documents
    used = isotropy(documents).iso_score if float(documents.std(0).max()) > _ONE_PLACE else 0.0
    return {
        "uniformity_loss": uniformity(documents, seed=seed),
        "isotropy_score": used,
        "effective_rank_score": effective_rank(documents),
        "hubness_loss": hubness(embedded.queries, documents).skewness,
    }


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


def effective_rank(vectors: Float[Tensor, "N D"]) -> float:
    """Return how many dimensions are in use, 1 to min(N, D), up is good.

        effective rank = exp( -sum over i of p_i log p_i ),   p_i = s_i / sum of s

    with s the singular values of the vectors as they stand: a mean that they share counts as a
    direction of its own. They are found by the D x D products, so a singular value below
    a millionth of the largest is not seen.

    Raises:
        ValueError: there is no vector, or none but zeros.

    Source: Roy and Vetterli 2007, "The effective rank", EUSIPCO, definition 1.
    """
    _, products = _moments(vectors)
    spread = np.linalg.eigvalsh(products).clip(0)
    # Rounding leaves noise where there is nothing: it would be counted as directions.
    spread[spread < spread.max(initial=0) * np.finfo(np.float64).eps * len(spread)] = 0
    values = np.sqrt(spread)
    if not values.sum() > 0:
        raise ValueError("effective rank needs a vector that is not zero.")
    shares = values[values > 0] / values.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def isotropy(vectors: Float[Tensor, "N D"]) -> Isotropy:
    """Return whether unit vectors use all directions alike.

        IsoScore = ( (sum of v)² / sum of v² - 1 ) / (D - 1)

    with v the variances along the principal components: Rudman's score, of which all steps
    together come to this. Beside it the mean cosine of all pairs, which sees a cone that the
    variances do not, and the share of the first component.

    Raises:
        ValueError: there are fewer than two vectors or dimensions, or all are in one place.

    Source: Rudman et al. 2022, arXiv:2108.07344, algorithm 1; the mean cosine as in Ethayarajh
        2019, arXiv:1909.00512, section 4.1.
    """
    count, dims = vectors.shape
    if count < 2 or dims < 2:
        raise ValueError(f"isotropy needs two vectors and dimensions, got {count} and {dims}.")
    sums, products = _moments(vectors)
    cosine = (float(sums @ sums) - float(np.trace(products))) / (count * (count - 1))
    covariance = products / count - np.outer(sums, sums) / count**2
    variances = np.linalg.eigvalsh(covariance).clip(0)
    if not variances.sum() > _ONE_PLACE**2:
        raise ValueError("isotropy needs vectors that differ; all of these are in one place.")
    used = float(variances.sum() ** 2 / (variances**2).sum())
    first = float(variances.max() / variances.sum())
    return Isotropy((used - 1) / (dims - 1), cosine, first)


def hubness(
    queries: Float[Tensor, "Q D"], documents: Float[Tensor, "C D"], *, k: int = 10
) -> Hubness:
    """Return how unevenly documents are found among the k nearest of each query.

        skewness = mean of (N_k - m)³ / s³,   m and s the mean and the deviation of N_k

    with N_k(d) the number of queries that have document d among their k nearest. Radovanović
    counts within one set; here queries find documents, as they do in use. With few queries most
    documents cannot be found at all: compare models on the same queries and documents.

    Args:
        queries: unit vectors.
        documents: unit vectors.
        k: places, 1 or more; at most all documents.

    Raises:
        ValueError: there is no query or no document.

    Source: Radovanović et al. 2010, JMLR 11, section 2.2, eq. 1.
    """
    if not len(queries) or not len(documents):
        raise ValueError(f"hubness needs queries and documents, got {len(queries)} and "
                         f"{len(documents)}.")  # fmt: skip
    _, rows = nearest(queries, documents, k)
    found = np.bincount(rows.numpy().ravel(), minlength=len(documents))
    apart = found - found.mean()
    deviation = math.sqrt(float((apart**2).mean()))
    skewness = float((apart**3).mean()) / deviation**3 if deviation > 0 else 0.0
    return Hubness(
        skewness=skewness,
        never_found=float((found == 0).mean()),
        never_found_at_best=max(1 - rows.numel() / len(documents), 0.0),
        most_found=int(found.max()),
        k=rows.shape[1],
    )


def _moments(vectors: Float[Tensor, "N D"]) -> tuple[Floats, Floats]:
    """Return the sum of the vectors (D,), and that of their products (D, D), in float64."""
    sums = torch.zeros(vectors.shape[1], dtype=torch.float64)
    products = torch.zeros(vectors.shape[1], vectors.shape[1], dtype=torch.float64)
    for block in torch.split(vectors, _ROWS):
        exact = block.double()
        sums += exact.sum(0)
        products += exact.T @ exact
    return sums.numpy(), products.numpy()


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
