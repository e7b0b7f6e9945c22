"""One step: texts to vectors in micro-batches of like length, one loss, one backward pass.

Shapes: T unique texts, D dimensions.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nearfar.losses import LOSSES
from nearfar.model.microbatches import micro_batches, pad
from nearfar.model.precision import in_precision
from nearfar.model.text import TextEncoder
from nearfar.training.batch import Batch
from nearfar.training.settings import LossSettings
from nearfar.training.store import TokenStore


def batch_loss(
    encoder: TextEncoder, store: TokenStore, batch: Batch, loss: LossSettings, chunk: int
) -> Float[Tensor, ""]:
    """Return the loss of one batch, with the graph behind it.

    Args:
        encoder: whose network is to learn.
        store: the tokens.
        batch: which texts, and what is known between them.
        loss: which loss.
        chunk: tokens computed at once, padding included. Without dropout neither this nor the
            order of the texts changes the loss or its gradient by more than rounding.
    """
    vectors = encode_rows(encoder, store, batch, chunk)
    return LOSSES[loss.name](
        vectors[batch.query.to(vectors.device)],
        vectors[batch.document.to(vectors.device)],
        batch.edges.to(vectors.device),
        temperature=loss.temperature,
    )


def encode_rows(
    encoder: TextEncoder, store: TokenStore, batch: Batch, chunk: int
) -> Float[Tensor, "T D"]:
    """Return one vector for each text of the batch, in its order, with the graph behind them."""
    parts, order = [], []
    # One context around all chunks: the weights are rounded to the lower precision once a step.
    with in_precision(encoder.precision, encoder.device):
        for rows in micro_batches(store.lengths[batch.texts], chunk):
            ids, real = pad([store[row] for row in batch.texts[rows]], encoder.tokens.pad_id)
            parts.append(encoder.network(ids.to(encoder.device), real.to(encoder.device)))
            order.append(torch.from_numpy(rows))
    back = torch.argsort(torch.cat(order)).to(encoder.device)
    return torch.cat(parts)[back]


def set_dropout(network: nn.Module, dropout: float | None) -> None:
    """Give every dropout of a network the same share; None leaves all as they are."""
    if dropout is None:
        return
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = dropout
        if isinstance(getattr(module, "attention_dropout", None), float):
            setattr(module, "attention_dropout", dropout)  # noqa: B010 (decoders keep a number)


@contextmanager
def dice_of(seed: int, step: int) -> Iterator[None]:
    """Throw the dice of one step: they depend on nothing that came before it."""
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed((seed << 32) + step)
        yield
