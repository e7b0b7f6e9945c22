"""All losses by their names."""

from nearfar.losses.edges import Loss
from nearfar.losses.infonce import infonce
from nearfar.losses.kin import decoupled_contrastive, sigmoid, supervised_contrastive

LOSSES: dict[str, Loss] = {
    "infonce": infonce,
    "decoupled_contrastive": decoupled_contrastive,
    "supervised_contrastive": supervised_contrastive,
    "sigmoid": sigmoid,
}

# What these learn from is a single pair of any grade; the others need an answer.
PAIRWISE = frozenset({"contrastive", "online_contrastive", "cosine_mse", "cosent", "angle"})
