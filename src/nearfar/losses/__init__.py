"""Losses: pure functions of query vectors, document vectors and the edges between them."""

from nearfar.losses.edges import Edges, Loss
from nearfar.losses.infonce import infonce

LOSSES: dict[str, Loss] = {"infonce": infonce}

__all__ = ["LOSSES", "Edges", "Loss", "infonce"]
