"""The regulariser that spreads: what a pair that is known twice must not do to its mean."""

import torch
from graphs import edges

from nearfar.losses.spread import spread_out


def test_an_answer_that_is_excluded_too_is_counted_once() -> None:
    q, d = torch.randn(2, 6), torch.randn(3, 6)
    once = edges((0, 0, 1.0), (1, 2, 1.0))
    twice = once.excluding(torch.tensor([[0, 0]]))
    torch.testing.assert_close(spread_out(q, d, twice), spread_out(q, d, once))
