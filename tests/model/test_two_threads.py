"""Two threads that look through one model, as those of a server do, see what each would alone."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from tiny import WORDS, tiny_bert, tiny_cross
from torch import Tensor, nn

from nearfar.model.cross_encoder import CrossEncoder, CrossSettings
from nearfar.model.precision import Precision, without_gradients
from nearfar.model.rounded import Rounded, looking
from nearfar.model.text import TextEncoder, TextSettings
from nearfar.model.weights import weights_state
from nearfar.progress import Progress

SECONDS = 60  # before a thread that waits for the other is a failure
KINDS: tuple[Precision, ...] = ("float32", "bfloat16", "float16")
TEXTS = [" ".join(WORDS[(i * k) % len(WORDS)] for k in range(1, 40 + i % 20)) for i in range(90)]
Look = Callable[[Sequence[str], Progress], Tensor]


def encoder(folder: Path, kind: Precision) -> tuple[nn.Module, Look, Callable[[], object]]:
    model = TextEncoder.load(tiny_bert(folder), TextSettings(precision=kind))

    def look(texts: Sequence[str], tell: Progress) -> Tensor:
        return model.encode(texts, "query", progress=tell)

    return model.network, look, lambda: model.space


def reranker(folder: Path, kind: Precision) -> tuple[nn.Module, Look, Callable[[], object]]:
    model = CrossEncoder.load(tiny_cross(folder), CrossSettings(precision=kind))

    def look(texts: Sequence[str], tell: Progress) -> Tensor:
        pairs = torch.tensor([(0, place) for place in range(len(texts))])
        return model.score_pairs([WORDS[0]], texts, pairs, progress=tell)

    return model.network, look, lambda: model.fingerprint


@pytest.mark.parametrize("make", [encoder, reranker])
@pytest.mark.parametrize("kind", KINDS)
def test_both_are_inside_at_once_and_neither_moves_the_other(
    make: Callable[[Path, Precision], tuple[nn.Module, Look, Callable[[], object]]],
    kind: Precision,
    tmp_path: Path,
) -> None:
    network, look, name = make(tmp_path, kind)
    halves = (TEXTS[::2], TEXTS[1::2])
    alone = [look(half, lambda *_: None) for half in halves]
    state, named = weights_state(network), name()
    meet, first_left = threading.Barrier(2), threading.Event()

    def one(place: int) -> Tensor:
        calls = 0

        def tell(*_: object) -> None:
            nonlocal calls
            calls += 1
            if calls == 1:
                meet.wait(SECONDS)  # both are in the middle of a call
                assert weights_state(network) == state is not None
                assert name() is named  # nothing was hashed again
                assert not any(module.training for module in network.modules())
                meet.wait(SECONDS)
            elif calls == 2 and place == 1:
                assert first_left.wait(SECONDS)  # and goes on when the other has left

        found = look(halves[place], tell)
        if place == 0:
            first_left.set()
        assert calls > 1
        return found

    with ThreadPoolExecutor(2) as threads:
        together = list(threads.map(one, (0, 1)))
    for found, want in zip(together, alone, strict=True):
        torch.testing.assert_close(found, want, rtol=1e-5, atol=1e-5)
        assert not found.requires_grad
    assert weights_state(network) == state


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_two_who_come_first_make_one_copy(kind: torch.dtype, tmp_path: Path) -> None:
    transformer = CrossEncoder.load(tiny_cross(tmp_path)).network.transformer
    rounded, meet = Rounded(), threading.Barrier(2)

    def first(_: int) -> nn.Module | None:
        meet.wait(SECONDS)
        return rounded.of(transformer, kind)

    with ThreadPoolExecutor(2) as threads:
        one, other = threads.map(first, (0, 1))
    assert one is other is not None


def test_a_copy_for_autocast_takes_no_memory_and_rounds_each_weight_once(tmp_path: Path) -> None:
    model = CrossEncoder.load(tiny_cross(tmp_path), CrossSettings(precision="float16"))
    with looking(model.network, torch.float16, Rounded()) as seen:
        own = dict(model.network.state_dict())
        for key, weight in seen.state_dict().items():
            assert weight.data_ptr() == own[key].data_ptr()
        assert all(weight.requires_grad for weight in seen.parameters())
        assert not any(weight.requires_grad for weight in model.network.parameters())
        assert torch.is_autocast_enabled("cpu")
        assert not torch.is_grad_enabled()


def test_one_that_learns_is_put_back_as_it_was(tmp_path: Path) -> None:
    network = TextEncoder.load(tiny_bert(tmp_path)).network
    first, *others = network.parameters()
    first.requires_grad_(True)  # as with LoRA: some learn, and some do not
    network.train()
    with without_gradients(network, torch.bfloat16):
        assert not network.transformer.training
        assert all(weight.requires_grad for weight in others)
    assert all(module.training for module in network.modules())
    assert first.requires_grad
    assert not any(weight.requires_grad for weight in others)
