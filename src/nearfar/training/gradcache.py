"""Big batches in small memory, exactly: gradient caching with as many graphs as memory allows.

A contrastive loss needs the vectors of the whole batch, but not its graphs. Texts are encoded a
chunk at a time; graphs are kept for the chunks that fit a budget of memory and thrown away for
the rest, which is encoded a second time, with the same dice, once the loss has said where each
vector should go. So the second forward is paid only for what does not fit.

Source: Gao et al. 2021, arXiv:2101.06983, sec. 3; the budget is ours.

Shapes: T texts of the batch, b of a chunk, D dimensions.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor, nn

from nearfar.memory import give_back_memory
from nearfar.training import ranks

Rows = npt.NDArray[np.int64]
_CHUNKS_BETWEEN_TRIMS = 16


@dataclass(frozen=True, slots=True)
class Encoding:
    """How chunks become vectors."""

    chunk: Callable[[int], Tensor]  # its vectors (b, D), the same each time it is called
    # Entered around the forward passes of a kind. A new one for each kind: autocast remembers
    # rounded weights, and those of a pass without gradients would give the next one none.
    precision: Callable[[], AbstractContextManager[object]]
    nothing: Float[Tensor, "0 D"]  # the vectors of no text
    memory_bytes: int  # for the graphs that are kept
    sharded: bool = False  # weights are gathered for each forward: all processes must do as many


def cached_backward(
    encoding: Encoding,
    chunks: Sequence[Rows],
    loss: Callable[[Tensor], Tensor],
    factor: Callable[[Tensor], float] = lambda slopes: 1.0,
) -> tuple[Float[Tensor, ""], Float[Tensor, "T D"]]:
    """Add the gradient of a loss of all vectors to the weights; return loss and vectors.

    With several processes W each encodes every W-th chunk and gets the part of the gradient
    that flows through these; `ranks.add_up_gradients` makes the whole of it.

    Args:
        encoding: how.
        chunks: rows of the batch, each in one chunk.
        loss: of the vectors of all rows, in their order.
        factor: what gradients are multiplied by, told the slopes (T, D) at the vectors, which are
            the same in all processes.
    """
    mine, real = _turns(len(chunks), encoding.sharded)

    # 1. Encode everything; keep the graphs that fit, one at least.
    parts: list[Tensor] = []
    with encoding.precision():
        if mine:
            part, needed = _metered(encoding.chunk, mine[0])
            parts.append(part)
            keep = max(encoding.memory_bytes // max(needed, 1), 1)
            keep = ranks.least(keep) if encoding.sharded else keep
            parts += [encoding.chunk(i) for i in mine[1:keep]]
    kept = len(parts)
    with encoding.precision(), torch.no_grad():
        for turn, i in enumerate(mine[kept:], start=1):
            parts.append(encoding.chunk(i))
            _give_back_now_and_then(turn)

    # 2. Ask the loss which way each vector should move.
    vectors = _together([part.detach() for part in parts[:real]], chunks, encoding.nothing)
    value, slopes = _slopes(loss, vectors)
    slopes = slopes * factor(slopes)

    # 3. Pass the wish on to the weights: through the graphs that are kept, then through new ones.
    with encoding.precision():
        for turn, i in enumerate(mine):
            part = parts[turn] if turn < kept else encoding.chunk(i)
            parts[turn] = part.detach()  # lets go of its graph
            wish = slopes[torch.from_numpy(chunks[i]).to(slopes.device)]
            torch.autograd.backward(part, wish if turn < real else torch.zeros_like(wish))
            _give_back_now_and_then(turn)
    return value, vectors


def backward_by_chunk(
    encoding: Encoding,
    chunks: Sequence[Rows],
    loss: Callable[[Tensor], Tensor],
    factor: Callable[[Tensor], float] = lambda slopes: 1.0,
) -> tuple[Float[Tensor, ""], Float[Tensor, "T D"]]:
    """Do as `cached_backward` for a loss whose slope at a row follows from that row alone.

    No chunk waits for the others: one graph is kept at a time, and nothing is encoded twice.

    Args:
        encoding: how; its `memory_bytes` are not needed.
        chunks: rows of the batch, each in one chunk.
        loss: a sum, over rows, of a function of the row and of what the loss knows about it.
        factor: what gradients are multiplied by, whatever the slopes that it is told.
    """
    mine, real = _turns(len(chunks), encoding.sharded)
    said = encoding.nothing.new_zeros(sum(map(len, chunks)), encoding.nothing.shape[1])
    with encoding.precision():
        for turn, i in enumerate(mine):
            part, rows = encoding.chunk(i), torch.from_numpy(chunks[i]).to(said.device)
            said[rows] = part.detach()
            slopes = _slopes(loss, said)[1]
            wish = slopes[rows] * factor(slopes)
            torch.autograd.backward(part, wish if turn < real else torch.zeros_like(wish))
            _give_back_now_and_then(turn)
    vectors = _together([said[chunks[i]] for i in mine[:real]], chunks, encoding.nothing)
    return _slopes(loss, vectors)[0], vectors


def _together(
    own: Sequence[Tensor], chunks: Sequence[Rows], nothing: Float[Tensor, "0 D"]
) -> Float[Tensor, "T D"]:
    """Return the vectors of all rows in their order, from what each process has of its chunks."""
    everyone = [range(of, len(chunks), ranks.count()) for of in range(ranks.count())]
    places = np.concatenate([chunks[i] for theirs in everyone for i in theirs])
    counts = [sum(len(chunks[i]) for i in theirs) for theirs in everyone]
    gathered = ranks.everyones(torch.cat([nothing, *own]), counts)
    vectors = torch.empty_like(gathered)
    vectors[torch.from_numpy(places).to(vectors.device)] = gathered
    return vectors


def _slopes(loss: Callable[[Tensor], Tensor], vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Return a loss of vectors, and which way each of them should move."""
    leaf = vectors.detach().requires_grad_()
    value = loss(leaf)
    value.backward()  # type: ignore[no-untyped-call]
    return value.detach(), torch.zeros_like(leaf) if leaf.grad is None else leaf.grad


def _give_back_now_and_then(turn: int) -> None:
    # Chunks of all sizes leave gaps between them that add up over a long step.
    if turn % _CHUNKS_BETWEEN_TRIMS == _CHUNKS_BETWEEN_TRIMS - 1:
        give_back_memory()


def _turns(chunks: int, sharded: bool) -> tuple[list[int], int]:
    """Return which chunks this process encodes, and how many of them are its own.

    After its own come only turns for the others' sake.
    """
    mine = list(range(ranks.rank(), chunks, ranks.count()))
    real = len(mine)
    if sharded and real < -(-chunks // ranks.count()):
        mine.append(0)
    return mine, real


def _metered(encode: Callable[[int], Tensor], chunk: int) -> tuple[Tensor, int]:
    """Encode one chunk, and count the bytes that its graph holds."""
    held: dict[int, int] = {}

    def weigh(tensor: Tensor) -> Tensor:
        origin = tensor if tensor._base is None else tensor._base
        if isinstance(origin, nn.Parameter):  # a weight is there anyway
            return tensor
        storage = tensor.untyped_storage()
        held[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(weigh, lambda tensor: tensor):
        part = encode(chunk)
    return part, sum(held.values())
