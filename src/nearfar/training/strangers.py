"""Documents of other queries of a batch, taken for wrong answers where nobody has judged them.

Shapes: Q queries, C documents.
"""

from dataclasses import replace

import numpy as np
import torch

from nearfar.training.batch import Batch


def with_strangers(
    batch: Batch, count: int, dice: np.random.Generator, *, fill_up: bool = False
) -> Batch:
    """Return the batch with strangers of each query as edges of grade 0.

    What is known of a query, or excluded, is no stranger to it.

    Args:
        batch: the texts and what is known between them.
        count: how many for each query, as far as there are so many.
        dice: who they are.
        fill_up: count the wrong answers that a query has already.
    """
    edges = batch.edges
    keys = dice.random((len(batch.query), len(batch.document)))  # the lowest are taken
    keys[edges.query, edges.document] = np.inf
    keys[tuple(edges.aside.T)] = np.inf
    order = np.argsort(keys, axis=1)[:, :count]
    query, place = np.nonzero(np.isfinite(np.take_along_axis(keys, order, axis=1)))
    if fill_up:
        wrong = edges.query[(edges.grade == 0) & edges.allowed]
        there = np.bincount(wrong.numpy(), minlength=len(batch.query))
        few = place + there[query] < count
        query, place = query[few], place[few]
    strange = torch.from_numpy(np.stack([query, order[query, place]], axis=1))
    unscored = torch.full((len(strange),), torch.nan)
    more = replace(
        edges,
        query=torch.cat([edges.query, strange[:, 0]]),
        document=torch.cat([edges.document, strange[:, 1]]),
        grade=torch.cat([edges.grade, torch.zeros(len(strange))]),
        score=None if edges.score is None else torch.cat([edges.score, unscored]),
    )
    return replace(batch, edges=more)
