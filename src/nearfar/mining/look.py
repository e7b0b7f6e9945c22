"""Audits the negatives a dataset has already, whoever mined them.

Shapes: P pairs, D dimensions.
"""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nearfar.data.dataset import Dataset
from nearfar.errors import BadRecord
from nearfar.mining.audit import Audit, Auditor
from nearfar.model.encoder import Encoder
from nearfar.model.reranker import Reranker
from nearfar.progress import Progress, silent
from nearfar.records import Role
from nearfar.vectors.similarity import unit

Vectors = dict[str, Tensor]  # by id, of length 1


def audit_negatives(
    encoder: Encoder,
    dataset: Dataset,
    *,
    teacher: Reranker | None = None,
    queries: int = 1_000,
    seed: int = 0,
    progress: Progress = silent,
) -> Audit:
    """Return how hard the train split's judged negatives are to an encoder.

    Args:
        encoder: whose cosines tell hard from easy.
        dataset: with judgments of grade 0 in its train split.
        teacher: says how probably each is an answer after all.
        queries: how many, drawn by chance, are looked at.
        seed: of what is drawn.
        progress: told while texts are embedded.

    Raises:
        BadRecord: no query has both an answer and a negative.
    """
    answers: dict[str, list[str]] = {}
    negatives: dict[str, list[str]] = {}
    for judgment in dataset.judgments("train"):
        side = answers if judgment.grade > 0 else negatives
        side.setdefault(judgment.query_id, []).append(judgment.document_id)
    both = sorted(answers.keys() & negatives.keys())
    if not both:
        raise BadRecord(
            f"{dataset.folder}: expected queries with an answer and a judged negative, found none. "
            "Make negatives with `nearfar mine`."
        )
    dice = np.random.default_rng(seed)
    chosen = sorted(both[place] for place in dice.permutation(len(both))[:queries])
    ids = dataset.table("documents", ["id"])["id"]
    drawn = {query: ids[int(dice.integers(len(ids)))].as_py() for query in chosen}
    wanted = set(drawn.values())
    for query in chosen:
        wanted |= {*answers[query], *negatives[query]}
    texts = {one.id: one.content for one in dataset.documents() if one.id in wanted}
    asked = {one.id: one.content for one in dataset.queries() if one.id in set(chosen)}
    by_document = _vectors(encoder, texts, "document", progress)
    by_query = _vectors(encoder, asked, "query", progress)
    pairs = [(query, document) for query in chosen for document in negatives[query]]
    probable = _probabilities(teacher, asked, texts, pairs, progress)
    auditor = Auditor()
    for query in chosen:
        vector = by_query[query]
        lowest = min(float(by_document[one] @ vector) for one in answers[query])
        auditor.see_chance(float(by_document[drawn[query]] @ vector))
        for one in negatives[query]:
            score = float(by_document[one] @ vector)
            auditor.see_negative(score, lowest, probable.get((query, one)))
    return auditor.audit()


def _vectors(encoder: Encoder, texts: Mapping[str, str], role: Role, progress: Progress) -> Vectors:
    found: Float[Tensor, "N D"] = unit(
        encoder.encode(list(texts.values()), role, progress=progress)
    )
    return dict(zip(texts, found, strict=True))


def _probabilities(
    teacher: Reranker | None,
    queries: Mapping[str, str],
    documents: Mapping[str, str],
    pairs: list[tuple[str, str]],
    progress: Progress,
) -> dict[tuple[str, str], float]:
    if teacher is None:
        return {}
    places = [{name: place for place, name in enumerate(some)} for some in (queries, documents)]
    rows = torch.tensor([(places[0][query], places[1][document]) for query, document in pairs])
    logits = teacher.score_pairs(
        list(queries.values()), list(documents.values()), rows, progress=progress
    )
    return dict(zip(pairs, logits.sigmoid().tolist(), strict=True))
