"""Float16 learns what float32 learns, however small or large the slopes are."""

from pathlib import Path

import pytest
import torch

from nearfar.data.dataset import Dataset
from nearfar.losses import LossSettings
from nearfar.model.precision import Precision
from nearfar.model.text import TextEncoder, TextSettings
from nearfar.training.course import Task
from nearfar.training.scale import Scale
from nearfar.training.settings import Training
from nearfar.training.train import train


def moved(
    bert: Path, dataset: Dataset, folder: Path, precision: Precision, temperature: float
) -> torch.Tensor:
    """Return by how much each weight of the linear layers of the transformer has moved."""
    encoder = TextEncoder.load(bert, TextSettings(precision=precision))
    task = Task(dataset=dataset, loss=LossSettings(temperature=temperature))
    settings = Training(max_steps=1, pairs_per_step=8, batches_per_update=2, learning_rate=1e-3)
    before = weights(encoder)
    train(encoder, task, folder, settings)
    return weights(encoder) - before


def weights(encoder: TextEncoder) -> torch.Tensor:
    state = encoder.network.transformer.state_dict()
    return torch.cat([w.flatten().clone() for name, w in state.items() if "dense.weight" in name])


@pytest.mark.parametrize("temperature", [1e-6, 0.05, 1e4])
def test_float16_learns_what_float32_learns(
    bert: Path, dataset: Dataset, tmp_path: Path, temperature: float
) -> None:
    exact, half = (
        moved(bert, dataset, tmp_path / name, name, temperature) for name in ("float32", "float16")
    )
    assert torch.cosine_similarity(exact, half, dim=0) > 0.98


def test_the_largest_slope_becomes_about_one_and_nothing_is_lost_by_it() -> None:
    weight = torch.tensor([1.0], requires_grad=True)
    for top in (3e-9, 1.0, 7e11):
        scale = Scale(torch.float16)
        scale.begin(bits_less=0)
        factor = scale.of(torch.tensor([[top, -top / 3]]))
        assert 0.5 <= top * factor <= 1
        assert scale.of(torch.tensor([[1e3 * top]])) == factor  # one factor for all of a step
        weight.grad = torch.tensor([0.1]) * factor
        scale.undo([weight])
        assert weight.grad.item() == torch.tensor(0.1).item()


def test_a_step_done_again_takes_less() -> None:
    scale = Scale(torch.float16)
    found = []
    for bits in scale.tries:
        scale.begin(bits)
        found.append(scale.of(torch.tensor([1.0])))
    assert found == sorted(found, reverse=True)
    assert len(set(found)) == len(found) > 1


def test_other_precisions_are_left_alone() -> None:
    scale = Scale(torch.bfloat16)
    assert scale.tries == (0,)
    scale.begin(0)
    assert scale.of(torch.tensor([1e-9])) == 1
