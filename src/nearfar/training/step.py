"""One step: rows through a network in micro-batches of like length, one loss, one gradient.

Shapes: T texts of the batch or pairs of them, b of a chunk, D dimensions (1 of a pair).
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor, nn

from nearfar.losses.edges import Edges
from nearfar.model.microbatches import micro_batches, pad
from nearfar.model.precision import in_precision
from nearfar.model.text import TextEncoder
from nearfar.training.batch import Batch
from nearfar.training.gradcache import Encoding, backward_by_chunk, cached_backward
from nearfar.training.lookup import added_in_place
from nearfar.training.store import TokenStore
from nearfar.vectors.products import fast_products

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Step:
    """Which step it is, and what it may take."""

    seed: int
    number: int
    tokens_per_chunk: int  # computed at once, padding included
    memory_bytes: int  # for graphs that are kept from the first forward to the backward pass
    layers: tuple[int, ...] = ()  # whose vectors stand beside those of the last
    sharded: bool = False
    # What gradients are multiplied by, told the slopes at the vectors.
    factor: Callable[[Tensor], float] = lambda slopes: 1.0


class Learning(Protocol):
    """What can learn: a network, and what it is computed in."""

    @property
    def network(self) -> nn.Module:
        """The weights."""
        ...

    @property
    def device(self) -> torch.device:
        """Where they are."""
        ...

    @property
    def precision(self) -> torch.dtype:
        """What products are computed in."""
        ...


@dataclass(frozen=True, slots=True)
class Rows:
    """What goes through a network, row by row: texts, or pairs of texts."""

    lengths: Ints  # (T,) tokens of each row
    forward: Callable[[Ints], Tensor]  # some rows, of like length, to (b, D), with gradient
    width: int  # D
    apart: bool = False  # whether the loss's slope at a row follows from that row alone


def learn_from(
    encoder: TextEncoder,
    store: TokenStore,
    batch: Batch,
    loss: Callable[[Tensor, Tensor, Edges], Tensor],
    step: Step,
) -> tuple[Float[Tensor, ""], Float[Tensor, "T D"]]:
    """Add the gradient of one batch's loss to the weights; return the loss and the vectors."""
    device = encoder.device

    def forward(some: Ints) -> Tensor:
        ids, real = pad(
            [store[row] for row in batch.texts[some]],
            encoder.tokens.pad_id,
            encoder.tokens.max_tokens,
        )
        vectors: Tensor = encoder.network(ids.to(device), real.to(device), step.layers)
        return vectors

    width = encoder.network.dim * (len(step.layers) + 1)
    query, document = batch.query.to(device), batch.document.to(device)
    edges = batch.edges.to(device)
    rows = Rows(store.lengths[batch.texts], forward, width)
    return learn_from_rows(encoder, rows, lambda v: loss(v[query], v[document], edges), step)


def learn_from_rows(
    model: Learning, rows: Rows, loss: Callable[[Tensor], Tensor], step: Step
) -> tuple[Float[Tensor, ""], Float[Tensor, "T D"]]:
    """Add the gradient of a loss of all rows to the weights; return it and what came out.

    Neither the chunk nor the memory, nor the number of processes, changes the loss or its
    gradient by more than rounding: dice are thrown anew for each chunk, from seed, step and
    chunk alone (the chunk's size does decide which rows share dice).
    """
    chunks = list(micro_batches(rows.lengths, step.tokens_per_chunk))

    def forward(i: int) -> Tensor:
        with dice_of(step.seed, step.number, i):
            return rows.forward(chunks[i])

    encoding = Encoding(
        chunk=forward,
        # A rounded copy of a part of a weight outlives the part: most of its gradient was lost.
        precision=lambda: in_precision(model.precision, model.device, cache=not step.sharded),
        nothing=torch.zeros(0, rows.width, device=model.device),
        memory_bytes=step.memory_bytes,
        sharded=step.sharded,
    )
    with ExitStack() as around:
        around.enter_context(fast_products())
        if not step.sharded:  # parts of weights have no rows of their own
            around.enter_context(added_in_place(model.network))
        # float16 wants one factor for all, from slopes that are only known at the end.
        apart = rows.apart and model.precision != torch.float16
        backward = backward_by_chunk if apart else cached_backward
        return backward(encoding, chunks, loss, step.factor)


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
def dice_of(seed: int, step: int, chunk: int = 0) -> Iterator[None]:
    """Throw the dice of one chunk of a step: they depend on nothing that came before it."""
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        # Mixed first: the generator of a CPU looks at the last 32 bits of its seed alone.
        mixed = np.random.SeedSequence([seed, step, chunk]).generate_state(1, np.uint64)
        torch.manual_seed(int(mixed[0]))
        yield
