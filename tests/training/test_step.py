"""Sorted, deduplicated, cached micro-batches are one plain padded forward, gradient included."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import oracles
import pytest
import torch
from tiny import tiny_bert
from torch import Tensor

from nearfar.losses import Edges, LossSettings, build_loss
from nearfar.model.microbatches import pad
from nearfar.model.text import TextEncoder, TextSettings
from nearfar.training.batches import Batches
from nearfar.training.settings import Training
from nearfar.training.step import Step, dice_of, learn_from, set_dropout
from nearfar.training.store import TokenStore

Loss = Callable[[Tensor, Tensor, Edges], Tensor]
ALL_KEPT, NONE_KEPT = 2**40, 0


def infonce(temperature: float = 0.05) -> Loss:
    loss = build_loss(LossSettings())
    return lambda q, d, edges: loss(q, d, edges, temperature)


def gradients(learner: TextEncoder) -> dict[str, Tensor]:
    named = learner.network.named_parameters()
    found = {name: weight.grad.clone() for name, weight in named if weight.grad is not None}
    learner.network.zero_grad()
    return found


def step(chunk: int, memory: int) -> Step:
    return Step(seed=0, number=3, tokens_per_chunk=chunk, memory_bytes=memory)


def close(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-6, msg=name)
    assert max(gradient.abs().max() for gradient in found.values()) > 1e-3  # it can fail


@pytest.mark.parametrize("memory", [ALL_KEPT, NONE_KEPT])
@pytest.mark.parametrize("chunk", [1, 40, 10_000])
def test_equals_one_padded_forward_of_every_pair(
    learner: TextEncoder, store: TokenStore, chunk: int, memory: int
) -> None:
    learner.network.requires_grad_(True)
    batch = Batches(store, Training(pairs_per_step=16))[0]
    fast, vectors = learn_from(learner, store, batch, infonce(), step(chunk, memory))
    found = gradients(learner)

    # The plain way: each pair's query and document, in order, all padded to the longest.
    edges = batch.edges
    queries = batch.texts[batch.query[edges.query].numpy()]
    documents = batch.texts[batch.document[edges.document].numpy()]
    rows = [store[row] for row in np.concatenate([queries, documents])]
    plain = learner.network(*pad(rows, learner.tokens.pad_id))
    q, d = plain[: len(queries)], plain[len(queries) :]
    slow = torch.nn.functional.cross_entropy(q @ d.T / 0.05, torch.arange(len(q)))
    slow.backward()

    assert fast.item() == pytest.approx(slow.item(), abs=1e-5)
    close(found, gradients(learner))
    torch.testing.assert_close(vectors[batch.query[edges.query]], q.detach(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("memory", [NONE_KEPT, 150_000, ALL_KEPT])
def test_graphs_thrown_away_and_made_again_give_the_gradient_of_graphs_kept_with_dropout_on(
    tmp_path: Path, store: TokenStore, memory: int, precision: str
) -> None:
    folder = tiny_bert(tmp_path / "m", dropout=0.3)
    learner = TextEncoder.load(folder, TextSettings(precision=precision))  # type: ignore[arg-type]
    learner.thaw()
    learner.network.train()
    batch = Batches(store, Training(pairs_per_step=30))[0]
    value, _ = learn_from(learner, store, batch, infonce(), step(60, memory))
    found = gradients(learner)
    expected, _ = learn_from(learner, store, batch, infonce(), step(60, ALL_KEPT))
    assert value.item() == expected.item()
    close(found, gradients(learner))
    with_other_dice = Step(seed=1, number=3, tokens_per_chunk=60, memory_bytes=memory)
    other, _ = learn_from(learner, store, batch, infonce(), with_other_dice)
    assert other.item() != expected.item()  # it can fail


def test_the_loss_is_the_oracles(learner: TextEncoder, store: TokenStore) -> None:
    learner.network.requires_grad_(True)
    batch = Batches(store, Training(pairs_per_step=16))[0]
    value, vectors = learn_from(learner, store, batch, infonce(0.1), step(100, ALL_KEPT))
    edges = batch.edges
    expected = oracles.infonce(
        vectors[batch.query].double().tolist(),
        vectors[batch.document].double().tolist(),
        list(zip(edges.query.tolist(), edges.document.tolist(), edges.grade.tolist(), strict=True)),
        temperature=0.1,
    )
    assert value.item() == pytest.approx(expected, abs=1e-5)


def test_dice_depend_on_the_step_and_the_chunk_alone() -> None:
    with dice_of(0, 7, 2):
        first = torch.rand(3)
    torch.rand(5)
    before = torch.random.get_rng_state()
    with dice_of(0, 7, 2):
        again = torch.rand(3)
    assert torch.equal(first, again)
    for other in ((0, 8, 2), (0, 7, 3), (1, 7, 2)):
        with dice_of(*other):
            assert not torch.equal(first, torch.rand(3))
    assert torch.equal(before, torch.random.get_rng_state())  # nobody else's dice were moved


def test_dropout_can_be_set_and_left(learner: TextEncoder) -> None:
    set_dropout(learner.network, 0.3)
    shares = [m.p for m in learner.network.modules() if isinstance(m, torch.nn.Dropout)]
    assert shares
    assert set(shares) == {0.3}
    set_dropout(learner.network, None)
    assert {m.p for m in learner.network.modules() if isinstance(m, torch.nn.Dropout)} == {0.3}
