"""Which loss a reranker learns by: all of them by their names, and what is chosen."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from nearfar.errors import require
from nearfar.losses.edges import Edges
from nearfar.losses.listwise import list_mle, listwise_softmax, p_list_mle
from nearfar.losses.options import require_options
from nearfar.losses.pairwise_order import lambdarank, ranknet
from nearfar.losses.pointwise import binary_cross_entropy, graded_mse
from nearfar.losses.score_distillation import adr_mse, listwise_kl, margin_mse

ScoreLoss = Callable[[Tensor, Edges], Tensor]  # (one logit per edge, edges): a scalar

RERANKING_LOSSES: dict[str, Callable[..., Tensor]] = {
    "binary_cross_entropy": binary_cross_entropy,
    "graded_mse": graded_mse,
    "listwise_softmax": listwise_softmax,
    "ranknet": ranknet,
    "lambdarank": lambdarank,
    "list_mle": list_mle,
    "p_list_mle": p_list_mle,
    "margin_mse": margin_mse,
    "listwise_kl": listwise_kl,
    "adr_mse": adr_mse,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RerankingLossSettings:
    """What is to fall as a reranker learns."""

    name: str = "binary_cross_entropy"  # learns from any judged pair
    options: Mapping[str, Any] = field(default_factory=dict)  # of the loss

    def __post_init__(self) -> None:
        known = ", ".join(RERANKING_LOSSES)
        require(self.name in RERANKING_LOSSES, "reranking_loss.name", f"one of {known}", self.name)
        # A grade so small that no option can be too low for it; each loss checks its own options.
        edges = Edges(
            torch.zeros(2, dtype=torch.long), torch.arange(2), torch.tensor([1e-6, 0.0]),
            score=torch.tensor([1.0, 0.0]),
        )  # fmt: skip
        require_options(
            self.name, RERANKING_LOSSES[self.name], self.options, trial=(torch.zeros(2), edges),
            table="reranking_loss",
        )  # fmt: skip

    @property
    def reads_pairs_apart(self) -> bool:
        """Whether it is a sum over pairs, so that no pair's slope depends on another's score."""
        return self.name in ("binary_cross_entropy", "graded_mse")

    @property
    def needs_teacher(self) -> bool:
        """Whether it learns from a teacher's scores, and from nothing without them."""
        parameters = inspect.signature(RERANKING_LOSSES[self.name]).parameters
        default = parameters["target"].default if "target" in parameters else "grade"
        return bool(self.options.get("target", default) == "teacher")


def build_reranking_loss(settings: RerankingLossSettings) -> ScoreLoss:
    """Return the loss as (scores, edges)."""
    return partial(RERANKING_LOSSES[settings.name], **settings.options)
