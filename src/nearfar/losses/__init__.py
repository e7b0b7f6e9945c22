"""Losses: pure functions of vectors, or of scores, and the edges between queries and documents."""

from nearfar.losses.chosen import LossSettings, build_loss
from nearfar.losses.edges import Edges, Loss
from nearfar.losses.named import LOSSES
from nearfar.losses.reranking import (
    RERANKING_LOSSES,
    RerankingLossSettings,
    build_reranking_loss,
)

__all__ = [
    "LOSSES", "RERANKING_LOSSES", "Edges", "Loss", "LossSettings", "RerankingLossSettings",
    "build_loss", "build_reranking_loss",
]  # fmt: skip
