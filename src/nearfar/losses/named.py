"""All losses by their names."""

from nearfar.losses.distillation import (
    embedding_distillation,
    listwise_infonce,
    listwise_kl,
    margin_mse,
)
from nearfar.losses.edges import Loss
from nearfar.losses.infonce import infonce
from nearfar.losses.kin import decoupled_contrastive, sigmoid, supervised_contrastive
from nearfar.losses.pairs import contrastive, cosine_mse, online_contrastive
from nearfar.losses.ranking import angle, cosent
from nearfar.losses.spread import spread_out
from nearfar.losses.triplet import triplet

LOSSES: dict[str, Loss] = {
    "infonce": infonce,
    "decoupled_contrastive": decoupled_contrastive,
    "supervised_contrastive": supervised_contrastive,
    "sigmoid": sigmoid,
    "triplet": triplet,
    "contrastive": contrastive,
    "online_contrastive": online_contrastive,
    "cosine_mse": cosine_mse,
    "cosent": cosent,
    "angle": angle,
    "margin_mse": margin_mse,
    "listwise_kl": listwise_kl,
    "listwise_infonce": listwise_infonce,
    "embedding_distillation": embedding_distillation,
    "spread_out": spread_out,
}

# What these learn from is a teacher's score, of judged pairs and of others.
SCORED = frozenset({"margin_mse", "listwise_kl", "listwise_infonce"})

# What these learn from is any judged pair; the others need an answer.
PAIRWISE = frozenset({
    "contrastive", "online_contrastive", "cosine_mse", "cosent", "angle", *SCORED,
})  # fmt: skip
