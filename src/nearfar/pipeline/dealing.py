"""A check during a training, dealt out among its processes: each reads a share, all get the whole.

Where weights are sharded nothing is dealt out: a forward is then the work of all processes at once,
and shares that differ in length need different numbers of forwards; those that have fewer would
leave the others waiting for ever. Each process reads everything there, as one process would.

Shapes: P pairs, N texts, M of a share, D dimensions.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from nearfar.model.encoder import Encoder
from nearfar.model.reranker import Reranker
from nearfar.model.space import EmbeddingSpace
from nearfar.progress import Progress, silent
from nearfar.records import Role
from nearfar.training import ranks
from nearfar.training.sharding import is_sharded

Shares = Sequence[Int[Tensor, " M"]]  # of each process: places of what it reads


def score_together(
    reranker: Reranker, queries: Sequence[str], documents: Sequence[str], pairs: Int[Tensor, "P 2"]
) -> Float[Tensor, " P"]:
    """Return one logit per pair, the same to the last bit in each process; all of them must ask.

    Args:
        reranker: one with weights; any other reads all pairs here.
        queries: texts.
        documents: texts.
        pairs: places of a query and of a document.
    """
    device = _dealt_on(reranker)
    if device is None:
        return reranker.score_pairs(queries, documents, pairs)
    shares = _shares([len(queries[q]) + len(documents[d]) for q, d in pairs.tolist()])
    own = reranker.score_pairs(queries, documents, pairs[shares[ranks.rank()]])
    return _all_of(own.unsqueeze(1), shares, device)[:, 0]


def dealing(encoder: Encoder) -> Encoder:
    """Return an encoder that gives the vectors of another, whose texts all processes share.

    Every process must ask for the same texts. Alone, or where weights are sharded, it is the
    encoder itself.
    """
    device = _dealt_on(encoder)
    return encoder if device is None else _Dealing(encoder, device)


@dataclass(frozen=True, slots=True)
class _Dealing:
    encoder: Encoder
    device: torch.device

    @property
    def space(self) -> EmbeddingSpace:
        return self.encoder.space

    def encode(
        self, contents: Sequence[str], role: Role, *, progress: Progress = silent
    ) -> Float[Tensor, "N D"]:
        shares = _shares([len(content) for content in contents])
        here = [contents[place] for place in shares[ranks.rank()].tolist()]
        own = self.encoder.encode(here, role, progress=progress)
        return _all_of(own, shares, self.device)


def _dealt_on(model: Encoder | Reranker) -> torch.device | None:
    """Return where a model computes; None where each process has to read everything."""
    network = getattr(model, "network", None)
    if ranks.count() == 1 or not isinstance(network, nn.Module) or is_sharded(network):
        return None
    return next(network.parameters()).device


def _shares(lengths: Sequence[int]) -> Shares:
    """Deal the longest out first, in turn: all have about as much to read."""
    order = torch.tensor(lengths, dtype=torch.int64).argsort(descending=True, stable=True)
    return [order[rank :: ranks.count()] for rank in range(ranks.count())]


def _all_of(
    own: Float[Tensor, "M D"], shares: Shares, device: torch.device
) -> Float[Tensor, "N D"]:
    """Return what all processes computed, in its places."""
    found = ranks.everyones(own.to(device), [len(share) for share in shares]).cpu()
    placed = torch.empty_like(found)
    placed[torch.cat(list(shares))] = found
    return placed
