"""Sorted, deduplicated micro-batches are one plain padded forward, gradient included."""

import numpy as np
import oracles
import pytest
import torch

from nearfar.model.microbatches import pad
from nearfar.model.text import TextEncoder
from nearfar.training.batch import Batches
from nearfar.training.settings import LossSettings, Training
from nearfar.training.step import batch_loss, dice_of, set_dropout
from nearfar.training.store import TokenStore


def gradients(learner: TextEncoder, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    learner.network.zero_grad()
    loss.backward()
    named = learner.network.named_parameters()
    return {name: weight.grad.clone() for name, weight in named if weight.grad is not None}


@pytest.mark.parametrize("chunk", [1, 40, 10_000])
def test_equals_one_padded_forward_of_every_pair(
    learner: TextEncoder, store: TokenStore, chunk: int
) -> None:
    learner.network.requires_grad_(True)
    batch = Batches(store, Training(pairs_per_step=16))[0]
    fast = batch_loss(learner, store, batch, LossSettings(), chunk)
    found = gradients(learner, fast)

    # The plain way: each pair's query and document, in order, all padded to the longest.
    edges = batch.edges
    queries = batch.texts[batch.query[edges.query].numpy()]
    documents = batch.texts[batch.document[edges.document].numpy()]
    rows = [store[row] for row in np.concatenate([queries, documents])]
    vectors = learner.network(*pad(rows, learner.tokens.pad_id))
    q, d = vectors[: len(queries)], vectors[len(queries) :]
    slow = torch.nn.functional.cross_entropy(q @ d.T / 0.05, torch.arange(len(q)))
    expected = gradients(learner, slow)

    assert fast.item() == pytest.approx(slow.item(), abs=1e-5)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-6, msg=name)
    assert max(gradient.abs().max() for gradient in found.values()) > 1e-3  # it can fail


def test_the_loss_is_the_oracles(learner: TextEncoder, store: TokenStore) -> None:
    batch = Batches(store, Training(pairs_per_step=16))[0]
    value = batch_loss(learner, store, batch, LossSettings(temperature=0.1), 100)
    rows = [store[row] for row in batch.texts]
    vectors = learner.network(*pad(rows, learner.tokens.pad_id)).double().tolist()
    edges = batch.edges
    expected = oracles.infonce(
        [vectors[i] for i in batch.query.tolist()],
        [vectors[i] for i in batch.document.tolist()],
        list(zip(edges.query.tolist(), edges.document.tolist(), edges.grade.tolist(), strict=True)),
        temperature=0.1,
    )
    assert value.item() == pytest.approx(expected, abs=1e-5)


def test_dice_depend_on_the_step_alone() -> None:
    with dice_of(0, 7):
        first = torch.rand(3)
    torch.rand(5)
    before = torch.random.get_rng_state()
    with dice_of(0, 7):
        again = torch.rand(3)
    with dice_of(0, 8):
        other = torch.rand(3)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(before, torch.random.get_rng_state())  # nobody else's dice were moved


def test_dropout_can_be_set_and_left(learner: TextEncoder) -> None:
    set_dropout(learner.network, 0.3)
    shares = [m.p for m in learner.network.modules() if isinstance(m, torch.nn.Dropout)]
    assert shares
    assert set(shares) == {0.3}
    set_dropout(learner.network, None)
    assert {m.p for m in learner.network.modules() if isinstance(m, torch.nn.Dropout)} == {0.3}
