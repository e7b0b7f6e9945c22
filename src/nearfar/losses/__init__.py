"""Losses: pure functions of query vectors, document vectors and the edges between them."""

from nearfar.losses.chosen import LossSettings, build_loss
from nearfar.losses.edges import Edges, Loss
from nearfar.losses.named import LOSSES

__all__ = ["LOSSES", "Edges", "Loss", "LossSettings", "build_loss"]
