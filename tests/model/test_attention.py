"""Attention by batched products is torch's attention, in value and slope, whatever is masked."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from nearfar.model import attention as room
from nearfar.model.attention import attention


def tables(texts: int, heads: int, length: int, kind: torch.dtype) -> list[Tensor]:
    dice = torch.Generator().manual_seed(length)
    found = [torch.randn(texts, heads, length, 8, generator=dice).to(kind) for _ in range(4)]
    return [table.requires_grad_() for table in found[:3]] + found[3:]


def padding(texts: int, length: int) -> Tensor:
    lengths = torch.arange(length, length - texts, -1).clamp_min(1)
    real = torch.arange(length) < lengths[:, None]
    return real[:, None, None, :].expand(texts, 1, length, length)


@pytest.mark.parametrize(("kind", "off"), [(torch.float32, 1e-5), (torch.bfloat16, 0.02)])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("bytes_at_once", [100, 5_000, 10**9])  # parts of heads, of texts, all
def test_is_torchs(
    kind: torch.dtype, off: float, masked: bool, bytes_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "_BYTES_AT_ONCE", bytes_at_once)
    *inputs, above = tables(3, 4, 13, kind)
    real = padding(3, 13) if masked else None
    out = attention(*inputs, real, 0.3)
    found = [out, *torch.autograd.grad(out, inputs, above)]
    exact = [table.detach().double().requires_grad_() for table in inputs]
    want = scaled_dot_product_attention(*exact, attn_mask=real, scale=0.3)
    expected = [want, *torch.autograd.grad(want, exact, above.double())]
    for one, other in zip(found, expected, strict=True):
        assert (one.double() - other).norm() <= off * other.norm()
        assert other.norm() > 0


def test_a_token_that_sees_nothing_is_a_number_and_touches_no_other() -> None:
    *inputs, above = tables(1, 2, 5, torch.float32)
    real = torch.ones(1, 1, 5, 5, dtype=torch.bool)
    real[..., 4, :] = False  # the last one sees none
    real[..., :, 4] = False  # and is seen by none
    out = attention(*inputs, real, 0.3)
    assert out.isfinite().all()
    for slope in torch.autograd.grad(out, inputs, above):
        assert slope.isfinite().all()
    alone = attention(*(table[:, :, :4] for table in inputs), None, 0.3)
    torch.testing.assert_close(out[:, :, :4], alone, rtol=0, atol=1e-6)
