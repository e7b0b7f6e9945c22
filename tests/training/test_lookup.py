"""Gradients of looked-up rows, added in place, are the plain ones."""

import torch
from torch import Tensor, nn

from nearfar.training.lookup import added_in_place


class Words(nn.Module):
    """Words, and places that all texts share."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(10, 4, padding_idx=0)
        self.places = nn.Embedding(6, 4)

    def forward(self, ids: Tensor) -> Tensor:
        places = torch.arange(ids.shape[1]).unsqueeze(0)
        found: Tensor = (self.words(ids) * (1 + self.places(places))).pow(3).sum()
        return found


def slopes(words: Words) -> list[Tensor]:
    found = [w.grad.clone() for w in words.parameters() if w.grad is not None]
    words.zero_grad()
    return found


def test_they_are_the_plain_ones_over_several_chunks() -> None:
    words = Words()
    chunks = [torch.tensor([[1, 2, 2, 0], [0, 3, 1, 9]]), torch.tensor([[2, 2, 5]])]
    for ids in chunks:
        words(ids).backward()
    expected = slopes(words)
    with added_in_place(words):
        values = [words(ids) for ids in chunks]
    for value in values:
        value.backward()
    found = slopes(words)
    assert len(found) == len(expected) == 2
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)
    assert expected[0][2].abs().max() > 0
    assert found[0][0].abs().max() == 0  # padding learns nothing


def test_frozen_weights_stay_without_and_nothing_is_left_behind() -> None:
    words = Words()
    words.words.requires_grad_(False)
    with added_in_place(words):
        words(torch.tensor([[1, 2]])).backward()
    assert words.words.weight.grad is None
    assert words.places.weight.grad is not None
    assert not words.words._forward_hooks
