"""Is one relation one direction? a is to b as c is to d, answered by adding the step from a to b.

The relation is translation: where a model that ought to know no languages keeps a step from German
to English, vectors tell which language a text is in.

Shapes: N vectors, D dimensions, M analogies.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor

from nearfar.errors import BadRecord
from nearfar.evaluation.judged_pairs import JudgedPairs, places
from nearfar.evaluation.judged_texts import JudgedTexts
from nearfar.evaluation.task_scores import Asking, TaskScores
from nearfar.fingerprint import content_id
from nearfar.vectors.nearest import nearest
from nearfar.vectors.similarity import unit

Floats = npt.NDArray[np.float64]

Quadruple = tuple[str, str, str, str]  # ids of a, b, c and d

LANGUAGE = "lang"  # the field in which `nearfar import --as translations` keeps it
_MOST = 2_000  # analogies that are asked
_GIVEN = 3  # a, b and c are no answers to their own question


@dataclass(frozen=True, slots=True)
class Paired:
    """A text and its translation, and what the step from one to the other is."""

    relation: str  # such as "de to en"
    first: str  # id of a query
    second: str  # of a document


def answer_analogies(asking: Asking, pairs: JudgedPairs) -> TaskScores:
    """Ask of each translation whether the step of another one of the same languages leads to it.

    Any text may be the answer: of c in a third language too, which is wrong. Beside it stands what
    is found without any step. Each pair lends its step to as many others
    as it asks of; the interval takes pairs of different groups for independent all the same.

    Raises:
        BadRecord: no two pairs are of the same two languages.
    """
    judged = JudgedTexts(asking, pairs)
    found = [
        Paired(f"{one.fields.get(LANGUAGE, '')} to {other.fields.get(LANGUAGE, '')}", one.id,
               other.id)
        for one, other in judged.both()
    ]  # fmt: skip
    relations = {one.relation for one in found}
    every = quadruples(found, most=_MOST)
    if not every:
        raise BadRecord(
            f"{asking.dataset.folder}: expected in the {asking.split} split two translations or "
            f"more between the same two languages (field {LANGUAGE!r}), found "
            f"{len(found):,} between {len(relations):,} of them. Import more."
        )
    vectors, rows = _placed(asking, judged, every)
    asked = {pair: row for row, pair in enumerate(dict.fromkeys(four[2:] for four in every))}
    member = np.array([asked[four[2:]] for four in every])
    own = pairs.where(np.array([pair in asked for pair in judged.ids], dtype=bool))
    order = [asked[pair] for pair in zip(own.query, own.document, strict=True)]
    values = {
        name: (np.bincount(member, weights=of(vectors, rows)) / np.bincount(member))[order]
        for name, of in (("analogy_accuracy_score", analogy_scores),
                         ("analogy_without_step_score", nearest_to_c_scores))
    }  # fmt: skip
    facts = {"analogies": len(every), "texts": len(vectors), "relations": len(relations)}
    scores = JudgedTexts(asking, own).scores(values)
    return TaskScores(task="analogies", scores=scores, facts=facts)


def _placed(
    asking: Asking, judged: JudgedTexts, every: Sequence[Quadruple]
) -> tuple[Float[Tensor, "N D"], list[list[int]]]:
    """Return the vectors of queries and, after them, documents, and where analogies are there."""
    vectors = torch.cat([
        asking.encode([text.content for text in judged.queries.values()], "query"),
        asking.encode([text.content for text in judged.documents.values()], "document"),
    ])  # fmt: skip
    a, b, c, d = zip(*every, strict=True)
    first = len(judged.queries)
    columns = [places(a, judged.queries), first + places(b, judged.documents),
               places(c, judged.queries), first + places(d, judged.documents)]  # fmt: skip
    return vectors, np.stack(columns, axis=1).tolist()


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


def quadruples(pairs: Sequence[Paired], *, most: int = 2_000, seed: int = 0) -> list[Quadruple]:
    """Return analogies of pairs of one relation: a and b are one pair, c and d another.

    No text is on both sides: a step from c itself, or to d itself, is no question.
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
                    if model.first != asked.first and model.second != asked.second
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
