"""Judged pairs of a split, and which tasks beyond retrieval can be asked of them.

    sts         pairs with a degree of likeness                      origin sts
    similarity  the same, or pairs of both kinds: in dev too         any other but label
    pairs       pairs that belong together, and pairs that do not    any other but label
    triplets    queries with an answer and a judged non-answer       any other but label
    labels      texts whose label is guessed from their neighbours   origin label
    clustering  texts that fall apart into their labels              origin label
    bitext      texts and their translations                         origin translation
    analogies   the same, two of one pair of languages               origin translation

An origin may have been renamed at the import; then the reader that the manifest names decides.

Shapes: P judged pairs.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nearfar.data.dataset import Dataset
from nearfar.errors import BadRecord
from nearfar.records import Document, Query, Split

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

TASKS = (
    *("sts", "pairs", "similarity", "triplets"),
    *("labels", "clustering", "bitext", "analogies"),
)
_READERS = {"sts": "sts", "labels": "label", "translations": "translation"}  # their origin
_NEEDS = {
    "sts": "three pairs or more, judged by degrees that differ (origin sts)",
    "pairs": "pairs that belong together and pairs that do not",
    "triplets": "queries with both an answer and a document judged no answer (grade 0)",
    "labels": "texts of two labels or more (origin label)",
    "clustering": "texts of two labels or more (origin label)",
    "similarity": "pairs judged by degrees (origin sts), or some that belong together and some "
    "that do not",
    "bitext": "two texts or more with a translation (origin translation)",
    "analogies": "two texts or more with a translation (origin translation)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedPairs:
    """What was judged, once a pair of texts, in the order of the file."""

    query: tuple[str, ...]  # (P,) ids
    document: tuple[str, ...]  # (P,)
    grades: Floats  # (P,)
    kinds: tuple[str, ...]  # (P,) of the origin

    def where(self, keep: Bools) -> "JudgedPairs":
        """Return some of the pairs."""
        rows = np.flatnonzero(keep).tolist()
        return JudgedPairs(
            query=tuple(self.query[row] for row in rows),
            document=tuple(self.document[row] for row in rows),
            grades=self.grades[keep],
            kinds=tuple(self.kinds[row] for row in rows),
        )


def given_grades(dataset: Dataset, split: Split) -> dict[tuple[str, str], tuple[float, str]]:
    """Return grade and kind of origin of each judged (query, document), in the file's order.

    Of a pair that was judged several times the highest grade counts: who found that a document
    answers is not outvoted by who mined it as a negative. What is called neither (grade NaN:
    scored, and judged by nobody) is as if nobody had judged it.
    """
    found: dict[tuple[str, str], tuple[float, str]] = {}
    for judgment in dataset.judgments(split):
        pair = (judgment.query_id, judgment.document_id)
        if math.isnan(judgment.grade) or (pair in found and found[pair][0] >= judgment.grade):
            continue
        found[pair] = (judgment.grade, judgment.origin.kind)
    return found


def read_judged_pairs(dataset: Dataset, split: Split) -> JudgedPairs:
    """Return all pairs that somebody has judged in a split, as `given_grades` has them."""
    found = given_grades(dataset, split)
    kinds = [kind for _, kind in found.values()]
    parents = {str(parent.get("kind")) for parent in dataset.manifest.get("parents", ())}
    if len(parents) == 1 and (origin := _READERS.get(parents.pop())) and origin not in kinds:
        kinds = [origin] * len(kinds)
    return JudgedPairs(
        query=tuple(query for query, _ in found),
        document=tuple(document for _, document in found),
        grades=np.array([grade for grade, _ in found.values()], dtype=np.float64),
        kinds=tuple(kinds),
    )


def pairs_for(task: str, judged: JudgedPairs) -> JudgedPairs | None:
    """Return the pairs that a task is made of; None where they do not make one."""
    kinds = np.array(judged.kinds, dtype=object)
    answer = judged.grades > 0
    if task == "sts":
        found = judged.where(kinds == "sts")
        return found if len(found.grades) > 2 and len(set(found.grades.tolist())) > 1 else None
    if task == "similarity":
        degrees = pairs_for("sts", judged)
        return pairs_for("pairs", judged) if degrees is None else degrees
    if task in ("labels", "clustering", "bitext", "analogies"):
        origin = "label" if task in ("labels", "clustering") else "translation"
        found = judged.where((kinds == origin) & answer)
        # Texts of one label are all judged against the same documents.
        several = len(set(found.query)) > 1 and len(set(found.document)) > 1
        return found if several else None
    plain = (kinds != "sts") & (kinds != "label")
    if task == "triplets":
        has, lacks = ({q for q, one in zip(judged.query, side & plain, strict=True) if one}
                      for side in (answer, ~answer))  # fmt: skip
        both = has & lacks
        plain &= np.array([query in both for query in judged.query], dtype=bool)
    found = judged.where(plain)
    right = int((found.grades > 0).sum())
    return found if 0 < right < len(found.grades) else None


def fitting(dataset: Dataset, split: Split) -> tuple[str, ...]:
    """Return the tasks that a split of a dataset has the judgments for."""
    judged = read_judged_pairs(dataset, split)
    return tuple(task for task in TASKS if pairs_for(task, judged) is not None)


def require_pairs(dataset: Dataset, split: Split, task: str) -> JudgedPairs:
    """Return the pairs of a task.

    Raises:
        BadRecord: the split has none; says what it has, and what it would do for.
    """
    judged = read_judged_pairs(dataset, split)
    if (found := pairs_for(task, judged)) is not None:
        return found
    counts = Counter(judged.kinds).most_common()
    has = ", ".join(f"{count:,} of origin {kind}" for kind, count in counts) or "none"
    fit = [name for name in TASKS if pairs_for(name, judged) is not None]
    does = f"It does for {', '.join(fit)}." if fit else "It does for retrieval alone, if at all."
    raise BadRecord(
        f"{dataset.folder}: expected in the {split} split {_NEEDS[task]}, as the task {task} "
        f"needs; found judgments: {has}, {int((judged.grades == 0).sum()):,} of them of grade 0. "
        f"{does} See `nearfar import --as` for what a source can be read as."
    )


def texts_of(
    dataset: Dataset, pairs: JudgedPairs
) -> tuple[Mapping[str, Query], Mapping[str, Document]]:
    """Return the queries and documents of some pairs by id, in the order of the tables."""
    asked, known = set(pairs.query), set(pairs.document)
    return (
        {query.id: query for query in dataset.queries() if query.id in asked},
        {document.id: document for document in dataset.documents() if document.id in known},
    )


def label_field(
    dataset: Dataset, pairs: JudgedPairs, queries: Mapping[str, Query],
    documents: Mapping[str, Document],
) -> str:  # fmt: skip
    """Return the field that holds the labels: where the texts of every judged pair agree.

    Of several such fields (a language, say, that all have) the one with most values.

    Raises:
        BadRecord: there is none, or all texts have one value of it.
    """
    values: dict[str, set[object]] | None = None
    for query_id, document_id in zip(pairs.query, pairs.document, strict=True):
        one, other = queries[query_id].fields, documents[document_id].fields
        if values is None:
            values = {name: set() for name in one}
        for name in list(values):
            if name not in one or one[name] != other.get(name):
                del values[name]
            else:
                values[name].add(one[name])
    best = max((values or {}).items(), key=lambda item: (len(item[1]), item[0]), default=None)
    if best is None or len(best[1]) < 2:
        raise BadRecord(
            f"{dataset.folder}: expected a field with two labels or more, the same in each text "
            "and its answers, found none. Import texts with labels: `nearfar import --as labels`."
        )
    return best[0]


def places(ids: Sequence[str], among: Mapping[str, object]) -> Ints:
    """Return where each id stands in a mapping's order."""
    place_of = {id_: place for place, id_ in enumerate(among)}
    return np.array([place_of[id_] for id_ in ids], dtype=np.int64)
