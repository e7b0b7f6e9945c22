"""LoRA through a run: the base stands still, small matrices learn and end in its weights."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from looking import furthest, losses_of, weights_of
from torch import Tensor
from transformers import AutoModel

from nearfar.data.dataset import Dataset
from nearfar.errors import BadSetting, Stopped
from nearfar.model.text import TextEncoder, TextSettings
from nearfar.training.course import Task
from nearfar.training.settings import Lora, Training
from nearfar.training.train import Hooks, TrainingResult, train

peft = pytest.importorskip("peft")
TEXTS = ["ba da", "fan gel hor", "ka", "no ru sa ta ba da fa ga"]
SETTINGS = Training(
    pairs_per_step=8, max_steps=4, checks=4, learning_rate=1e-2, lora=Lora(rank=4, alpha=8)
)

# PEFT asks transformers by an old name.
pytestmark = pytest.mark.filterwarnings(
    "ignore:.is_gradient_checkpointing. is deprecated:FutureWarning"
)


@pytest.fixture
def go(bert: Path, dataset: Dataset) -> Callable[..., TrainingResult]:
    def go(folder: Path, hooks: Hooks | None = None, **changes: object) -> TrainingResult:
        torch.manual_seed(0)
        learner = TextEncoder.load(bert, TextSettings(precision="float32"))
        return train(learner, Task(dataset=dataset), folder, replace(SETTINGS, **changes), hooks)

    return go


class Looks:
    """A check that keeps what learns and what does not, each time it is asked."""

    def __init__(self) -> None:
        self.adapters: list[dict[str, Tensor]] = []
        self.rest: list[dict[str, Tensor]] = []

    def __call__(self, encoder: TextEncoder) -> dict[str, float]:
        named = dict(encoder.network.named_parameters())
        for kept, learns in ((self.adapters, True), (self.rest, False)):
            kept.append(
                {n: w.detach().clone() for n, w in named.items() if w.requires_grad is learns}
            )
        return {"score": float(len(self.adapters))}


def test_the_base_is_frozen_while_the_adapters_learn(
    go: Callable[..., TrainingResult], bert: Path, tmp_path: Path
) -> None:
    looks = Looks()
    go(tmp_path, Hooks(check=looks))
    assert len(looks.rest) == 5
    assert all("lora_" in name for name in looks.adapters[0])
    assert all("pooler" not in name for name in looks.adapters[0])
    # Two layers, each with query, key, value, output and two of the feed-forward.
    assert len(looks.adapters[0]) == 2 * 6 * 2
    base = TextEncoder.load(bert).network.state_dict()
    assert len(looks.rest[0]) == len(base)
    for before, after in zip(looks.adapters, looks.adapters[1:], strict=False):
        assert all(not torch.equal(before[name], after[name]) for name in before if "_B" in name)
    for later in looks.rest[1:]:
        assert furthest(looks.rest[0], later) == 0


def test_what_was_learned_is_in_the_weights_of_an_ordinary_model(
    go: Callable[..., TrainingResult], bert: Path, tmp_path: Path
) -> None:
    looks = Looks()
    result = go(tmp_path, Hooks(check=looks))
    base, tuned = weights_of(bert), weights_of(result.model)
    assert furthest(base, base | tuned) > 1e-3
    [last] = looks.adapters[-1:]
    moved = 0
    for name, weight in tuned.items():
        own = [n for n in last if name.removesuffix(".weight") + ".lora_" in n]
        if not own:
            assert torch.equal(weight, base[name])
            continue
        down, up = sorted(own)  # A, then B
        expected = base[name] + 8 / 4 * last[up] @ last[down]
        torch.testing.assert_close(weight, expected, rtol=0, atol=1e-6)
        moved += 1
    assert moved == 12


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_everyone_gives_the_same_vectors(bert: Path, dataset: Dataset, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    learner = TextEncoder.load(bert, TextSettings(precision="float32"))
    before = learner.encode(TEXTS, "query")
    result = train(learner, Task(dataset=dataset), tmp_path, SETTINGS)
    here = learner.encode(TEXTS, "query")
    assert (here - before).abs().max() > 1e-2

    loaded = TextEncoder.load(result.model, TextSettings(precision="float32"))
    close = {"rtol": 0, "atol": 1e-5}
    torch.testing.assert_close(loaded.encode(TEXTS, "query"), here, **close)
    assert loaded.space == learner.space
    theirs = SentenceTransformer(str(result.model), device="cpu")
    found = torch.tensor(theirs.encode(TEXTS, show_progress_bar=False))
    torch.testing.assert_close(found, here, **close)

    adapted = peft.PeftModel.from_pretrained(AutoModel.from_pretrained(bert), tmp_path / "adapters")
    learner.network.transformer = adapted.eval()
    torch.testing.assert_close(learner.encode(TEXTS, "query"), here, **close)


def test_stopped_it_goes_on_to_the_same_weights(
    go: Callable[..., TrainingResult], tmp_path: Path
) -> None:
    done = []
    with pytest.raises(Stopped):
        go(
            tmp_path / "a",
            Hooks(progress=lambda *what: done.append(what), stop=lambda: len(done) > 2),
        )
    assert len(losses_of(tmp_path / "a")) < 4
    went_on, whole = go(tmp_path / "a"), go(tmp_path / "b")
    assert furthest(weights_of(went_on.model), weights_of(whole.model)) == 0


def test_only_the_layers_that_were_named_learn(
    go: Callable[..., TrainingResult], bert: Path, tmp_path: Path
) -> None:
    result = go(tmp_path, lora=Lora(rank=2, targets=("query", "value")))
    base, tuned = weights_of(bert), weights_of(result.model)
    moved = {name.split(".")[-2] for name in base if not torch.equal(base[name], tuned[name])}
    assert moved == {"query", "value"}


def test_layers_that_are_not_there_are_refused(
    go: Callable[..., TrainingResult], tmp_path: Path
) -> None:
    with pytest.raises(BadSetting, match=r"training\.lora\.targets"):
        go(tmp_path, lora=Lora(targets=("attention_of_another_family",)))


def test_layers_computed_twice_change_nothing(
    go: Callable[..., TrainingResult], tmp_path: Path
) -> None:
    plain = go(tmp_path / "a", lora=Lora(rank=4, dropout=0.2))
    twice = go(tmp_path / "b", lora=Lora(rank=4, dropout=0.2), gradient_checkpointing=True)
    assert furthest(weights_of(plain.model), weights_of(twice.model)) < 1e-6


def test_the_seed_alone_says_where_the_adapters_begin(
    bert: Path, dataset: Dataset, tmp_path: Path
) -> None:
    found = []
    for name in ("a", "b"):
        torch.rand(len(found))  # whoever threw dice before
        learner = TextEncoder.load(bert, TextSettings(precision="float32"))
        found.append(
            weights_of(train(learner, Task(dataset=dataset), tmp_path / name, SETTINGS).model)
        )
    assert furthest(*found) == 0
