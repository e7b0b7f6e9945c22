"""A rounded copy says what the network says, of the weights as they are now."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from families import FAMILIES
from tiny import WORDS, tiny_bert, tiny_cross
from torch import nn

from nearfar.model.cross_encoder import CrossEncoder, CrossSettings
from nearfar.model.network import Dense
from nearfar.model.text import TextEncoder, TextSettings

TEXTS = [" ".join(WORDS[(i * k) % len(WORDS)] for k in range(1, 3 + i)) for i in range(12)]
SIXTEEN = TextSettings(precision="bfloat16")


def alike(one: torch.Tensor, other: torch.Tensor) -> float:
    return float(torch.cosine_similarity(one, other).min())


@pytest.mark.parametrize("make", FAMILIES.values(), ids=FAMILIES)
def test_vectors_of_every_family_stay_within_a_thousandth(
    make: Callable[[Path], Path], tmp_path: Path
) -> None:
    folder = make(tmp_path / "m")
    whole = TextEncoder.load(folder, TextSettings(precision="float32"))
    found = TextEncoder.load(folder, SIXTEEN).encode(TEXTS, "document")
    assert found.dtype == torch.float32
    assert alike(found, whole.encode(TEXTS, "document")) > 0.999


def test_dense_layers_compute_in_float32(tmp_path: Path) -> None:
    folder = tiny_bert(tmp_path / "m")
    encoders = [
        TextEncoder.load(folder, TextSettings(precision=kind))  # type: ignore[arg-type]
        for kind in ("float32", "bfloat16")
    ]
    for encoder in encoders:
        torch.manual_seed(0)
        encoder.network.dense.append(Dense(nn.Linear(32, 8), nn.Tanh()))
        encoder.freeze()
    exact, found = (encoder.encode(TEXTS, "query") for encoder in encoders)
    assert found.shape == (12, 8)
    assert alike(found, exact) > 0.999


def test_after_a_step_the_new_weights_are_looked_through(tmp_path: Path) -> None:
    encoder = TextEncoder.load(tiny_bert(tmp_path / "m"), SIXTEEN)
    before = encoder.encode(TEXTS, "query")
    encoder.thaw()
    optimiser = torch.optim.AdamW(encoder.network.parameters(), lr=0.05, fused=True)
    for weight in encoder.network.parameters():
        weight.grad = torch.ones_like(weight)
    optimiser.step()  # which raises no version of a tensor
    encoder.freeze()
    assert not torch.equal(encoder.encode(TEXTS, "query"), before)


def test_another_pooling_is_seen_at_once(tmp_path: Path) -> None:
    encoder = TextEncoder.load(tiny_bert(tmp_path / "m"), SIXTEEN)
    before = encoder.encode(TEXTS, "query")
    encoder.network.pooling = ("max",)
    assert alike(encoder.encode(TEXTS, "query"), before) < 0.999


def test_a_reranker_after_a_step_scores_by_its_new_weights(tmp_path: Path) -> None:
    model = CrossEncoder.load(tiny_cross(tmp_path), CrossSettings(precision="bfloat16"))
    before = model.score(TEXTS[0], TEXTS)
    model.thaw()
    optimiser = torch.optim.AdamW(model.network.parameters(), lr=0.05, fused=True)
    for weight in model.network.parameters():
        weight.grad = torch.ones_like(weight)
    optimiser.step()
    model.freeze()
    assert not torch.equal(model.score(TEXTS[0], TEXTS), before)
