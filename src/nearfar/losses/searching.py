"""What InfoNCE and its kin share: a block of rows that look for their answers.

Shapes: b rows of a block, C candidates, P answers, K hidden pairs.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import softplus

from nearfar.losses.blocks import BlockLoss, Pairs
from nearfar.losses.checks import require_positive
from nearfar.losses.edges import Edges


def answers_of(edges: Edges) -> Pairs:
    """Return the positive edges in the order of their queries.

    Raises:
        ValueError: there are none.
    """
    positive = require_positive(edges)
    return Pairs.sorted(edges.query[positive], edges.document[positive])


def equal_shares(answers: Pairs) -> Float[Tensor, " P"]:
    """Return the same share for each answer, 1 in all."""
    return torch.full_like(answers.row, 1 / len(answers.row), dtype=torch.float32)


def softened(negatives: Tensor, own: Tensor) -> Tensor:
    """Return log(exp(own) + exp(negatives)) - own; 0 where there are no negatives."""
    return softplus(negatives - own)


def searching(
    answers: Pairs,
    hidden: Int[Tensor, "K 2"],
    share: Float[Tensor, " P"],
    term: Callable[[Tensor, Tensor], Tensor],
    hardness: float = 0.0,
) -> BlockLoss:
    """Return the loss of a block of rows that look for their answers.

    Args:
        answers: pairs to be found.
        hidden: pairs that are no negatives, as rows (row, column).
        share: how much each of the answers counts.
        term: the loss of an answer, from the log of the sum over negatives and its own logit.
        hardness: how much more the negatives count that are alike.
    """
    masked = Pairs.sorted(hidden[:, 0], hidden[:, 1])

    def loss(cosines: Tensor, rows: slice, temperature: Tensor) -> Tensor:
        here, at = answers.within(rows)
        own = cosines[at] / temperature
        negatives = log_sum(cosines, temperature, masked.within(rows)[1], hardness)
        return (share[here] * term(negatives[at[0]], own)).sum()

    return loss


def log_sum(
    cosines: Tensor, temperature: Tensor, hidden: tuple[Tensor, Tensor], hardness: float
) -> Tensor:
    """Return the log of the sum over the negatives of each row of a block, -inf without any."""
    logits = cosines / temperature  # (b, C)
    if hardness:
        logits = logits + hardness * cosines.detach()
    # After the division: a mask must not depend on the temperature.
    return logits.index_put(hidden, logits.new_tensor(float("-inf"))).logsumexp(1)
