"""Float32 products at the speed of the machine, also where torch's first choice is slow.

torch computes float32 products on a CPU with MKL, which on AMD processors leaves the widest
instructions unused: 230 GFLOP/s on two Zen 5 cores where oneDNN, which torch carries too, reaches
480 with the same exactness (LOG.md). torch hands them to oneDNN only when told that bfloat16 would
do; where oneDNN takes that word (Intel's AMX) numbers would lose digits, so it is tried first.
"""

import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

_SHAPES = ((64, 384, 256), (300, 384, 1536), (257, 1536, 384))
_EXACT = 1e-5  # of the largest number; float32 is at 1e-6, bfloat16 at 4e-3


@contextmanager
def fast_products() -> Iterator[None]:
    """While this lasts, compute float32 products on a CPU by the faster library, if as exact."""
    if not _worth_it():
        yield
        return
    with _by_onednn():
        yield


class _Switch:
    """The setting is of the whole process: the first thread in turns it, the last one out back."""

    def __init__(self) -> None:
        self._turning = threading.Lock()
        self._inside = 0
        self._before = ""

    def turn(self, change: int) -> None:
        """Let one more in, or one out (-1)."""
        settings: Any = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
        with self._turning:
            if self._inside == 0:
                self._before = settings.fp32_precision
            self._inside += change
            settings.fp32_precision = "bf16" if self._inside else self._before


_switch = _Switch()


@contextmanager
def _by_onednn() -> Iterator[None]:
    _switch.turn(1)
    try:
        yield
    finally:
        _switch.turn(-1)


@functools.cache
def _worth_it() -> bool:
    # By the maker and not by the clock: the same machine must always compute the same numbers.
    if not _is_amd() or not hasattr(torch.backends.mkldnn, "matmul"):
        return False
    with _by_onednn():
        return all(_error(*shape) < _EXACT for shape in _SHAPES)


def _is_amd() -> bool:
    path = Path("/proc/cpuinfo")
    return path.is_file() and "AuthenticAMD" in path.read_text(encoding="utf-8")


def _error(rows: int, inner: int, columns: int) -> float:
    dice = torch.Generator().manual_seed(0)
    one, other = (torch.randn(n, inner, generator=dice) for n in (rows, columns))
    right = one.double() @ other.double().T
    return float(((one @ other.T).double() - right).abs().max() / right.abs().max())
