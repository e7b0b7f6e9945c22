"""Two losses compared as numbers and in what each vector feels."""

from collections.abc import Sequence

import torch
from torch import Tensor


def same_slopes(ours: Tensor, theirs: Tensor, leaves: Sequence[Tensor]) -> None:
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)
    for one, other in zip(
        torch.autograd.grad(ours, leaves), torch.autograd.grad(theirs, leaves), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)
