"""Tasks beyond retrieval on a dataset: values of each text or pair, and numbers of the whole.

    task        of each text or pair (a gate can read these)       of the whole alone
    sts         spearman, pearson (what the pair adds, `sts.py`)
    pairs       pair_accuracy                                      pair_average_precision, pair_f1
    triplets    triplet_accuracy
    labels      neighbours_accuracy                                neighbours_macro_f1
    clustering                                                     v_measure
    bitext      translation_accuracy, _there, _back                translation_f1
    similarity  similarity_brier (an error)                        similarity_calibration (one)
    analogies   analogy_accuracy, analogy_without_step

Names end in `_score`, up is good, or in `_error`, down is good. What asks is encoded as a query and
what is found as a document, as training and search do; texts to be clustered as documents.
"""

import difflib
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from nearfar.data.dataset import Dataset
from nearfar.errors import BadSetting
from nearfar.evaluation.analogies import answer_analogies
from nearfar.evaluation.bitext import find_translations, mining_f1
from nearfar.evaluation.judged_pairs import (
    TASKS,
    JudgedPairs,
    pairs_for,
    places,
    read_judged_pairs,
    require_pairs,
)
from nearfar.evaluation.judged_texts import JudgedTexts
from nearfar.evaluation.label_tasks import cluster_labels, guess_labels
from nearfar.evaluation.pair_classification import (
    average_precision,
    choose_thresholds,
    f1_at,
    right_at,
)
from nearfar.evaluation.similarity_task import hold_similarity
from nearfar.evaluation.sts import correlations
from nearfar.evaluation.task_scores import (
    Asking,
    Floats,
    Ints,
    Number,
    TaskScores,
    TaskSettings,
    scores_of,
)
from nearfar.evaluation.triplets import triplet_accuracy
from nearfar.model.encoder import Encoder
from nearfar.progress import Progress, silent
from nearfar.records import Scalar, Split


def evaluate_task(
    encoder: Encoder,
    dataset: Dataset,
    split: Split,
    task: str,
    *,
    settings: TaskSettings | None = None,
    progress: Progress = silent,
) -> TaskScores:
    """Measure a model in one task on a split of a dataset.

    Raises:
        BadSetting: there is no such task.
        BadRecord: the split has no judgments of that kind; says which tasks it does for.
    """
    require_task(task)
    pairs = require_pairs(dataset, split, task)
    asking = Asking(
        encoder=encoder, dataset=dataset, split=split,
        settings=settings or TaskSettings(), progress=progress,
    )  # fmt: skip
    return _TASKS[task](asking, pairs)


def require_task(task: str, among: Sequence[str] = TASKS) -> None:
    """Raise BadSetting unless it is one of some tasks."""
    if task not in among:
        close = difflib.get_close_matches(task, among, n=1)
        hint = f"Did you mean {close[0]!r}?" if close else f"There are: {', '.join(among)}."
        raise BadSetting(f"task: there is no task {task!r}. {hint}")


def _sts(asking: Asking, pairs: JudgedPairs) -> TaskScores:
    judged = JudgedTexts(asking, pairs)
    added = correlations(judged.cosines(), pairs.grades)
    values = {"spearman_score": added.spearman, "pearson_score": added.pearson}
    return TaskScores(task="sts", scores=judged.scores(values))


def _pairs(asking: Asking, pairs: JudgedPairs) -> TaskScores:
    judged = JudgedTexts(asking, pairs)
    cosines, answers = judged.cosines(), pairs.grades > 0
    values: dict[str, Floats] = {}

    def precision(rows: Ints) -> float:
        # Without a part of few pairs, one kind may be left.
        own = answers[rows]
        return average_precision(cosines[rows], own) if own.min() < own.max() else float(own[0])

    numbers: dict[str, Number] = {"pair_average_precision_score": precision}
    facts: dict[str, Scalar] = {}
    # A threshold chosen where it is measured would flatter.
    chosen_on: Split = "train" if asking.split == "dev" else "dev"
    others = pairs_for("pairs", read_judged_pairs(asking.dataset, chosen_on))
    if others is None:
        facts["no_threshold"] = f"the {chosen_on} split has not both kinds of pairs to choose it on"
    else:
        chosen = choose_thresholds(JudgedTexts(asking, others).cosines(), others.grades > 0)
        values["pair_accuracy_score"] = right_at(cosines, answers, chosen.accuracy)
        numbers["pair_f1_score"] = lambda rows: f1_at(cosines[rows], answers[rows], chosen.f1)
        facts |= {"chosen_on": chosen_on, "accuracy_threshold": chosen.accuracy,
                  "f1_threshold": chosen.f1}  # fmt: skip
    return TaskScores(task="pairs", scores=judged.scores(values), numbers=numbers, facts=facts)


def _triplets(asking: Asking, pairs: JudgedPairs) -> TaskScores:
    judged = JudgedTexts(asking, pairs)
    cosines, answers = judged.cosines(), pairs.grades > 0
    query, first = places(pairs.query, judged.queries), len(judged.queries)
    # All answers of a query with all its non-answers, without a list of all triplets at once.
    share = np.empty(first)
    order = np.argsort(query, kind="stable")
    for own in np.split(order, np.flatnonzero(np.diff(query[order])) + 1):
        right, wrong = cosines[own][answers[own]], cosines[own][~answers[own]]
        one, other = np.repeat(right, len(wrong)), np.tile(wrong, len(right))
        none = np.zeros(len(one), dtype=np.int64)
        share[query[own[0]]] = triplet_accuracy(one, other, none, 1)[0]
    best = judged.best_answers()
    scores = scores_of(
        asking, [(text, best[id_]) for id_, text in judged.queries.items()],
        {"triplet_accuracy_score": share}, documents=len(judged.documents),
    )  # fmt: skip
    return TaskScores(task="triplets", scores=scores)


def _bitext(asking: Asking, pairs: JudgedPairs) -> TaskScores:
    judged = JudgedTexts(asking, pairs)
    translations: list[set[int]] = [set() for _ in judged.queries]
    both = places(pairs.query, judged.queries), places(pairs.document, judged.documents)
    for row, other in zip(*(of.tolist() for of in both), strict=True):
        translations[row].add(other)
    found = find_translations(
        asking.encode([text.content for text in judged.queries.values()], "query"),
        asking.encode([text.content for text in judged.documents.values()], "document"),
        translations,
    )
    values = {
        "translation_accuracy_score": found.accuracy,
        "translation_there_score": found.there,
        "translation_back_score": found.back,
    }
    best = judged.best_answers()
    scores = scores_of(
        asking, [(text, best[id_]) for id_, text in judged.queries.items()], values,
        documents=len(judged.documents),
    )  # fmt: skip

    def f1(rows: Ints) -> float:
        return mining_f1(found.right[rows], found.mutual[rows], len(rows))

    return TaskScores(task="bitext", scores=scores, numbers={"translation_f1_score": f1})


_TASKS: Mapping[str, Callable[[Asking, JudgedPairs], TaskScores]] = {
    "sts": _sts,
    "pairs": _pairs,
    "triplets": _triplets,
    "labels": guess_labels,
    "clustering": cluster_labels,
    "bitext": _bitext,
    "similarity": hold_similarity,
    "analogies": answer_analogies,
}
