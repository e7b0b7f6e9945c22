"""Is one relation one direction? a is to b as c is to d, answered by adding the step from a to b.

Shapes: N vectors, D dimensions, M analogies.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor

from nearfar.errors import BadSetting
from nearfar.fingerprint import content_id
from nearfar.records import Document
from nearfar.vectors.nearest import nearest
from nearfar.vectors.similarity import unit

Floats = npt.NDArray[np.float64]

Quadruple = tuple[str, str, str, str]  # ids of a, b, c and d

_GIVEN = 3  # a, b and c are no answers to their own question


@dataclass(frozen=True, slots=True)
class Paired:
    """Two documents that belong together, and what the step from one to the other is."""

    relation: str  # such as "de to en"
    first: str  # id
    second: str


def analogy_scores(vectors: Float[Tensor, "N D"], rows: Sequence[Sequence[int]]) -> Floats:
    """Return of each analogy 1 where the step from a to b leads from c to d, else 0.

        found = the vector nearest to b - a + c, but for a, b and c themselves;  1 if it is d

    Their mean is the accuracy at 1. Chance is 1 / (N - 3); that of always answering what is
    nearest to c is `nearest_to_c_scores`, without which a high accuracy means little.

    Args:
        vectors: unit vectors, all that can be an answer.
        rows: (M, 4) of a, b, c and d.

    Returns:
        (M,)

    Raises:
        ValueError: an analogy does not have four rows.

    Source: Mikolov et al. 2013, "Linguistic regularities in continuous space word
        representations", NAACL, section 4. That the words of the question are left out, and
        what it hides: Linzen 2016, arXiv:1606.07736.
    """
    a, b, c, _ = _columns(rows)
    return _answered(vectors, unit(vectors[b] - vectors[a] + vectors[c]), rows)


def nearest_to_c_scores(vectors: Float[Tensor, "N D"], rows: Sequence[Sequence[int]]) -> Floats:
    """Return of each analogy 1 where d is simply what lies nearest to c, without any step.

    Raises:
        ValueError: an analogy does not have four rows.

    Source: Linzen 2016, arXiv:1606.07736, "only-b".
    """
    return _answered(vectors, vectors[_columns(rows)[2]], rows)


def paired_documents(documents: Iterable[Document], *, pair: str, side: str) -> list[Paired]:
    """Return the documents that two fields pair: one value of `pair`, two values of `side`.

    With translations `pair` is what they translate, and `side` the language; of a value of `pair`
    with several documents of one side, or one side alone, none is taken.

    Raises:
        BadSetting: no two documents are paired so.
    """
    sides: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    names: set[str] = set()
    for document in documents:
        names.update(document.fields)
        if pair in document.fields and side in document.fields:
            own = sides[str(document.fields[pair])]
            own[str(document.fields[side])].append(document.id)
    found = [
        Paired(f"{one} to {other}", own[one][0], own[other][0])
        for own in sides.values()
        for one, other in permutations(sorted(own), 2)
        if one < other and len(own[one]) == len(own[other]) == 1
    ]
    if not found:
        raise BadSetting(
            f"analogies: expected two documents with the same {pair!r} and two values of {side!r}, "
            f"found none. Fields of documents are: {', '.join(sorted(names)) or 'none'}."
        )
    return found


def quadruples(pairs: Sequence[Paired], *, most: int = 2_000, seed: int = 0) -> list[Quadruple]:
    """Return analogies of pairs of one relation: a and b are one pair, c and d another.

    Each pair asks (is c and d) once in turn until there are `most`, with others chosen by a seed.
    """
    by_relation: dict[str, list[Paired]] = defaultdict(list)
    for one in sorted(pairs, key=lambda one: content_id(f"{seed} {one.first} {one.second}")):
        by_relation[one.relation].append(one)
    found: list[Quadruple] = []
    longest = max((len(alike) for alike in by_relation.values()), default=0)
    for step in range(1, longest):
        for alike in by_relation.values():
            if step < len(alike):
                turned = alike[step:] + alike[:step]
                found += [
                    (model.first, model.second, asked.first, asked.second)
                    for model, asked in zip(turned, alike, strict=True)
                ]
        if len(found) >= most:
            break
    return found[:most]


def _columns(rows: Sequence[Sequence[int]]) -> tuple[Tensor, ...]:
    if any(len(row) != _GIVEN + 1 for row in rows):
        raise ValueError("an analogy is four rows: a is to b as c is to d.")
    return torch.tensor(rows, dtype=torch.long).reshape(-1, _GIVEN + 1).unbind(1)


def _answered(
    vectors: Float[Tensor, "N D"], wanted: Float[Tensor, "M D"], rows: Sequence[Sequence[int]]
) -> Floats:
    """Return 1 where the nearest vector, but for a, b and c, is d."""
    if not len(rows):
        return np.zeros(0)
    _, places = nearest(wanted, vectors, _GIVEN + 1)  # one of four is none of the three
    first = [
        next((place for place in found if place not in row[:_GIVEN]), -1)
        for found, row in zip(places.tolist(), rows, strict=True)
    ]
    return np.array([float(place == row[-1]) for place, row in zip(first, rows, strict=True)])
