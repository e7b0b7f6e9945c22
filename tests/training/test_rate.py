"""What is counted is what torch counts as it computes; what is measured is measured once."""

import time
from collections.abc import Iterator
from itertools import cycle

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import (
    BertConfig,
    BertModel,
    GPT2Config,
    GPT2Model,
    PreTrainedModel,
    Qwen3Config,
    Qwen3Model,
)

from nearfar.training import rate
from nearfar.training.rate import flops_of, matrix_rate


def bert(**options: bool) -> PreTrainedModel:
    config = BertConfig(
        vocab_size=50, hidden_size=32, intermediate_size=48, num_hidden_layers=3,
        num_attention_heads=4, attn_implementation="eager",
    )  # fmt: skip
    return BertModel(config, **options)


def gpt2() -> PreTrainedModel:
    config = GPT2Config(
        vocab_size=50, n_embd=32, n_layer=3, n_head=4, attn_implementation="eager",
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    return GPT2Model(config)


def qwen() -> PreTrainedModel:
    """Heads that are wider than a share of the hidden size, fewer of them for keys."""
    config = Qwen3Config(
        vocab_size=50, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, head_dim=16, attn_implementation="eager",
    )  # fmt: skip
    return Qwen3Model(config)


FAMILIES = {
    "bert": lambda: bert(add_pooling_layer=False),  # what is not used may not be counted
    "gpt2": gpt2,
    "qwen": qwen,
}


def counted_by_torch(transformer: PreTrainedModel, lengths: list[int]) -> int:
    """Add up all products of a forward and a backward pass, one text at a time."""
    with FlopCounterMode(display=False) as counter:
        for length in lengths:
            ids = torch.randint(0, 50, (1, length))
            transformer(input_ids=ids).last_hidden_state.sum().backward()
    return counter.get_total_flops()


@pytest.mark.parametrize("lengths", [[1], [7], [3, 20, 1, 40]])
@pytest.mark.parametrize("family", FAMILIES)
def test_it_is_what_torch_counts_while_it_computes(family: str, lengths: list[int]) -> None:
    transformer = FAMILIES[family]()
    found = counted_by_torch(transformer, lengths)
    # The positions of a rotation are products too: 2 numbers a token, in the forward pass.
    assert flops_of(transformer, lengths) == pytest.approx(
        found, rel=2e-3 if family == "qwen" else 0
    )


def test_weights_that_do_not_learn_cost_less() -> None:
    transformer = bert(add_pooling_layer=False)
    everything = flops_of(transformer, [5, 9])
    for name, weight in transformer.named_parameters():
        weight.requires_grad = "embeddings" in name or "layer.1." in name
    found = flops_of(transformer, [5, 9])
    assert found == counted_by_torch(transformer, [5, 9])
    assert found < everything


def test_a_transformer_that_was_not_told_what_learns_will_learn_all() -> None:
    transformer = bert()
    before = flops_of(transformer, [5, 9])
    assert flops_of(transformer.requires_grad_(False), [5, 9]) == before


def test_a_pooler_is_not_counted() -> None:
    assert flops_of(bert(), [5, 9]) == flops_of(bert(add_pooling_layer=False), [5, 9])


def test_many_long_texts_do_not_overflow() -> None:
    one, two = flops_of(bert(), [1]), flops_of(bert(), [2])
    square = (two - 2 * one) / 2
    expected = 1_000 * ((one - square) * 60_000 + square * 60_000**2)
    assert flops_of(bert(), np.full(1_000, 60_000, dtype=np.int32)) == pytest.approx(expected)


@pytest.fixture
def _nothing_measured() -> Iterator[None]:
    rate._measured.cache_clear()
    yield
    rate._measured.cache_clear()


@pytest.mark.usefixtures("_nothing_measured")
def test_the_rate_is_that_of_the_best_run(monkeypatch: pytest.MonkeyPatch) -> None:
    now, ticks = 0.0, cycle([0.030, 0.020, 0.007, 0.025, 0.011])  # seconds from look to look

    def clock() -> float:
        nonlocal now
        now += next(ticks)
        return now

    monkeypatch.setattr(time, "perf_counter", clock)
    best = 0.007
    assert matrix_rate(torch.float32, "cpu") == pytest.approx(2 * 2048 * 384 * 1536 / best)


@pytest.mark.usefixtures("_nothing_measured")
def test_it_is_measured_once_for_a_type_a_device_and_a_number_of_threads() -> None:
    began = time.process_time()
    first = matrix_rate(torch.float32, torch.device("cpu"))
    assert time.process_time() - began < 5  # 0.2 seconds where nobody else works
    assert 1e8 < first < 1e15
    assert matrix_rate(torch.float32, "cpu") == first
    assert rate._measured.cache_info().misses == 1
    try:
        torch.set_num_threads(2)
        matrix_rate(torch.float32, "cpu")
    finally:
        torch.set_num_threads(1)
    assert rate._measured.cache_info().misses == 2


@pytest.mark.gpu
def test_a_gpu_is_measured_to_the_end_of_its_work() -> None:
    found = matrix_rate(torch.bfloat16, "cuda")
    assert 1e12 < found < 2e16  # launching alone would look like more
    assert matrix_rate(torch.bfloat16, "cuda:0") == found
