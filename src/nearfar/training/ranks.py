"""The one file that knows how many processes there are. Alone, everything here does nothing.

The bug this project will not have is a gradient that is off by the number of processes. So there
is nothing to be scaled: every process has the vectors of the whole batch, computes the same loss
and the same slopes at the vectors, and passes on those of the texts it encoded itself; the
gradients of all processes are then added up, not averaged.

Shapes: N texts of the batch, M of them encoded here, D dimensions.
"""

import signal
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor

from nearfar.errors import RankLost, said

_HOURS = 2  # before a silent process counts as lost: others wait while one writes or measures
_NUMBERS_AT_ONCE = 25_000_000  # of gradients sent together
_told = threading.Event()


def count() -> int:
    """Return how many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Return which of them this is, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


@contextmanager
def together(device: torch.device) -> Iterator[None]:
    """Meet the other processes that torchrun or `accelerate launch` started, if there are any.

    Raises:
        RankLost: another process ended while this lasted.
    """
    if dist.is_initialized() or not dist.is_torchelastic_launched():
        yield
        return
    if device.type == "cuda":
        torch.cuda.set_device(dist.get_node_local_rank(fallback_rank=0))
    kind = "nccl" if device.type == "cuda" else "gloo"
    # When one process dies torchrun asks the others to end: not before they have kept their work.
    before = signal.signal(signal.SIGTERM, lambda *_: _told.set())
    dist.init_process_group(kind, timeout=timedelta(hours=_HOURS))
    try:
        yield
    except RankLost:  # and what is said about it must still reach its reader
        raise
    except BaseException:
        signal.signal(signal.SIGTERM, before)
        raise
    dist.destroy_process_group()
    signal.signal(signal.SIGTERM, before)
    _told.clear()


def told_to_end() -> bool:
    """Return whether the system has asked this process, one of several, to end."""
    return _told.is_set()


@contextmanager
def said_if_one_is_lost() -> Iterator[None]:
    """Turn what a broken connection raises into one message.

    Raises:
        RankLost: another process ended.
    """
    try:
        yield
    except RuntimeError as error:
        # Both kinds of connection raise bare RuntimeErrors; only their words tell.
        words = ("connection", "gloo", "nccl", "peer", "socket")
        if count() == 1 or not any(word in str(error).lower() for word in words):
            raise
        raise RankLost(
            f"Expected {count()} processes to the end, but one of them ended (process {rank()} "
            f"saw: {said(error)}). Its own output says why. The same "
            "command goes on from the last checkpoint, with any number of processes."
        ) from error


def wait() -> None:
    """Go on when all processes are here."""
    if dist.is_initialized():
        dist.barrier()


@contextmanager
def first_one_first() -> Iterator[None]:
    """Let process 0 do the block, and then all others."""
    if rank() > 0:
        wait()
    yield
    if rank() == 0:
        wait()


def everyones(own: Float[Tensor, "M D"], counts: Sequence[int]) -> Float[Tensor, "N D"]:
    """Return the rows of all processes, those of process 0 first. No gradient passes.

    Args:
        own: the rows computed here.
        counts: how many rows each process has.
    """
    if not dist.is_initialized():
        return own
    longest = max(counts)
    padded = own.new_zeros((longest, own.shape[1]))
    padded[: len(own)] = own
    parts = [torch.empty_like(padded) for _ in counts]
    dist.all_gather(parts, padded)
    return torch.cat([part[:rows] for part, rows in zip(parts, counts, strict=True)])


def add_up_gradients(weights: Iterable[Tensor]) -> None:
    """Give each weight the sum of the gradients of all processes."""
    if not dist.is_initialized():
        return
    weights = list(weights)
    # A process without a text has no gradients; a weight that nobody used must stay without.
    used = torch.tensor([weight.grad is not None for weight in weights], dtype=torch.int32)
    used = used.to(_device())
    dist.all_reduce(used, op=dist.ReduceOp.MAX)
    learning = [weight for weight, some in zip(weights, used.tolist(), strict=True) if some]
    for weight in learning:
        if weight.grad is None:
            weight.grad = torch.zeros_like(weight)
    for bundle in _bundles(learning):
        gradients = [weight.grad for weight in bundle if weight.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        parts = torch.split(flat, [gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))


def first_ones(values: Sequence[float]) -> list[float]:
    """Return the numbers of process 0: what all decide by must be the same to the last bit."""
    if not dist.is_initialized():
        return list(values)
    found = [list(values)]
    dist.broadcast_object_list(found, src=0)
    return found[0]


def is_sharded(tensor: Tensor) -> bool:
    """Return whether each process holds a part of it only."""
    return hasattr(tensor, "full_tensor")


def whole(tensor: Tensor) -> Tensor:
    """Return all of a tensor of which each process may hold a part; every process must ask."""
    if not is_sharded(tensor):
        return tensor
    found: Tensor = tensor.full_tensor()  # type: ignore[attr-defined]
    return found


def least(number: int) -> int:
    """Return the smallest of the numbers of all processes."""
    if not dist.is_initialized():
        return number
    found = torch.tensor([number], device=_device())
    dist.all_reduce(found, op=dist.ReduceOp.MIN)
    return int(found.item())


def any_of(one: bool) -> bool:
    """Return whether it holds in any process."""
    return one if not dist.is_initialized() else least(-int(one)) < 0


def _device() -> torch.device:
    return torch.device("cuda" if dist.get_backend() == "nccl" else "cpu")


def _bundles(weights: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    bundle: list[Tensor] = []
    for weight in weights:
        if bundle and sum(w.numel() for w in bundle) + weight.numel() > _NUMBERS_AT_ONCE:
            yield bundle
            bundle = []
        bundle.append(weight)
    if bundle:
        yield bundle
