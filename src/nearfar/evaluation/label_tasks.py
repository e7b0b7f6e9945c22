"""Texts with labels: what neighbours say of them, and whether clusters find them again.

Shapes: N labelled texts, M texts asked, S seeds.
"""

import numpy as np

from nearfar.errors import BadRecord
from nearfar.evaluation.judged_pairs import JudgedPairs, label_field, read_judged_pairs, texts_of
from nearfar.evaluation.labels import clustered, macro_f1, neighbours_say, v_measure
from nearfar.evaluation.task_scores import Asking, Ints, TaskScores, scores_of
from nearfar.fingerprint import content_id
from nearfar.records import Scalar


def guess_labels(asking: Asking, pairs: JudgedPairs) -> TaskScores:
    """Guess the label of each text of a split from the texts that are known.

    Known are the documents, which are examples of their label, and the texts that ask in train;
    none of them is asked.
    """
    queries, documents = texts_of(asking.dataset, pairs)
    field = label_field(asking.dataset, pairs, queries, documents)
    own = {str(text.fields[field]) for text in queries.values()}
    learned: set[str] = set()
    if asking.split != "train":
        taught = read_judged_pairs(asking.dataset, "train")
        learned = set(taught.query) - set(queries)
    labels: list[str] = []
    contents: list[str] = []
    for text in asking.dataset.documents():
        if field in text.fields:
            labels.append(str(text.fields[field]))
            contents.append(text.content)
    for asked in asking.dataset.queries():
        if asked.id in learned and field in asked.fields:
            labels.append(str(asked.fields[field]))
            contents.append(asked.content)
    names, numbers = np.unique(labels, return_inverse=True)
    number_of = {name: place for place, name in enumerate(names.tolist())}
    guessed = neighbours_say(
        asking.encode([text.content for text in queries.values()], "query"),
        asking.encode(contents, "document"),
        numbers.astype(np.int64),
        k=asking.settings.neighbours,
    )
    truth = np.array([number_of[str(text.fields[field])] for text in queries.values()])
    values = {"neighbours_accuracy_score": (truth == guessed).astype(np.float64)}
    scores = scores_of(asking, [(text, None) for text in queries.values()], values,
                       documents=len(contents))  # fmt: skip

    def f1(rows: Ints) -> float:
        return macro_f1(truth[rows], guessed[rows])

    facts: dict[str, Scalar] = {"field": field, "labels": len(own), "labels_known": len(names),
             "texts_known": len(contents), "neighbours": asking.settings.neighbours}  # fmt: skip
    return TaskScores(
        task="labels", scores=scores, numbers={"neighbours_macro_f1_score": f1}, facts=facts
    )


def cluster_labels(asking: Asking, pairs: JudgedPairs) -> TaskScores:
    """Cluster the texts that ask in a split, once for each seed, into as many as it has labels.

    The number is the mean over the seeds. Its interval is of the texts, the clusters as they were
    found, and of the seeds; what other texts would have done to the clusters is not in it.

    Raises:
        BadRecord: the part that is clustered has not two labels.
    """
    queries, documents = texts_of(asking.dataset, pairs)
    field = label_field(asking.dataset, pairs, queries, documents)
    chosen = set(sorted(queries, key=content_id)[: asking.settings.clustered_texts])
    texts = [text for id_, text in queries.items() if id_ in chosen]
    names, labels = np.unique([str(text.fields[field]) for text in texts], return_inverse=True)
    if len(names) < 2:
        raise BadRecord(
            f"{asking.dataset.folder}: expected texts of two labels or more to cluster, found one "
            f"among {len(texts):,}. Raise tasks.clustered_texts."
        )
    seeds = asking.settings.seeds
    vectors = asking.encode([text.content for text in texts], "document")
    divisions = clustered(vectors, len(names), seeds=seeds)  # (S, N)

    def mean_v(rows: Ints) -> float:
        return float(np.mean([v_measure(labels[rows], own[rows]) for own in divisions]))

    by_seed = [v_measure(labels, own) for own in divisions]
    variance = float(np.var(by_seed, ddof=1)) / len(seeds) if len(seeds) > 1 else 0.0
    return TaskScores(
        task="clustering",
        scores=scores_of(asking, [(text, None) for text in texts], {}, documents=len(texts)),
        numbers={"v_measure_score": mean_v},
        variances={"v_measure_score": variance},
        facts={"field": field, "labels": len(names), "seeds": len(seeds),
               "lowest_of_seeds": min(by_seed), "highest_of_seeds": max(by_seed)},
    )  # fmt: skip
