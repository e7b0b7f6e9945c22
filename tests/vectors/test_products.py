"""Float32 products stay float32, and the switch is put back whatever happens."""

import pytest
import torch

from nearfar.vectors import products
from nearfar.vectors.products import fast_products


def setting() -> str:
    return str(torch.backends.mkldnn.matmul.fp32_precision)  # type: ignore[attr-defined]


def test_products_are_as_exact_as_float32_can_be() -> None:
    one, other = torch.randn(70, 400), torch.randn(90, 400)
    with fast_products():
        found = one @ other.T
    right = one.double() @ other.double().T
    assert (found.double() - right).abs().max() < 1e-5 * right.abs().max()


def test_the_switch_is_put_back_also_after_an_error() -> None:
    before = setting()
    with pytest.raises(RuntimeError, match="planted"), fast_products():
        raise RuntimeError("planted")
    assert setting() == before


def test_where_digits_would_be_lost_nothing_is_switched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "_EXACT", 0.0)  # no machine is that exact
    products._worth_it.cache_clear()
    try:
        before = setting()
        with fast_products():
            assert setting() == before
    finally:
        products._worth_it.cache_clear()
