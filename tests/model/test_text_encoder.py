"""What moves a vector, and what must not."""

from pathlib import Path

import pytest
import torch
from tiny import WORDS, tiny_bert

from nearfar.model.precision import choose_device, choose_precision
from nearfar.model.text import TextEncoder, TextSettings

TEXTS = ["ba da ga", "ka", " ".join(WORDS[:60]), "ba da ga", "", " ".join(WORDS[30:45])]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture
def encoder(folder: Path) -> TextEncoder:
    return TextEncoder.load(folder, TextSettings(precision="float32"))


def close(one: torch.Tensor, other: torch.Tensor) -> bool:
    return torch.allclose(one, other, rtol=0, atol=1e-5)


def test_order_company_and_repetition_move_no_vector(encoder: TextEncoder) -> None:
    together = encoder.encode(TEXTS, "document")
    alone = torch.cat([encoder.encode([text], "document") for text in TEXTS])
    turned = encoder.encode(TEXTS[::-1], "document").flip(0)
    assert close(together, alone)
    assert close(together, turned)
    assert not close(together[0], together[1])  # it can fail


def test_more_texts_than_are_tokenised_at_once_keep_their_order(encoder: TextEncoder) -> None:
    texts = [f"{WORDS[i % 90]} {WORDS[i % 7]}" for i in range(2_100)]
    vectors = encoder.encode(texts, "query")
    assert close(vectors[[0, 2_047, 2_048, 2_099]], torch.cat([
        encoder.encode([texts[i]], "query") for i in (0, 2_047, 2_048, 2_099)
    ]))  # fmt: skip


def test_nothing_in_nothing_out(encoder: TextEncoder) -> None:
    assert encoder.encode([], "query").shape == (0, 32)


def test_vectors_have_length_one_unless_told_otherwise(folder: Path, encoder: TextEncoder) -> None:
    assert close(encoder.encode(TEXTS, "query").norm(dim=1), torch.ones(len(TEXTS)))
    plain = TextEncoder.load(folder, TextSettings(precision="float32", normalised=False))
    assert not close(plain.encode(TEXTS, "query").norm(dim=1), torch.ones(len(TEXTS)))
    assert plain.space != encoder.space


def test_a_prompt_is_text_of_its_role(folder: Path, encoder: TextEncoder) -> None:
    prompted = TextEncoder.load(folder, TextSettings(precision="float32", query_prompt="ba da "))
    expected = encoder.encode(["ba da ga"], "query")
    assert close(prompted.encode(["ga"], "query"), expected)
    assert not close(prompted.encode(["ga"], "document"), expected)


def test_dropout_of_training_does_not_reach_encoding(tmp_path: Path) -> None:
    encoder = TextEncoder.load(tiny_bert(tmp_path, dropout=0.5), TextSettings(precision="float32"))
    expected = encoder.encode(TEXTS, "query")
    encoder.network.train()
    assert close(encoder.encode(TEXTS, "query"), expected)
    assert encoder.network.training


def test_bfloat16_is_the_same_direction(minilm: Path) -> None:
    texts = ["How do I open a file?", "Some words about a garden. " * 30, "3.14159"]
    exact = TextEncoder.load(minilm, TextSettings(precision="float32"))
    fast = TextEncoder.load(minilm, TextSettings(precision="bfloat16"))
    cosines = (exact.encode(texts, "query") * fast.encode(texts, "query")).sum(1)
    assert cosines.min() > 0.999
    assert exact.space == fast.space  # precision blurs; it does not move


def test_loading_and_saving_say_nothing(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    TextEncoder.load(folder).save(tmp_path)
    assert capfd.readouterr() == ("", "")


def test_auto_means_what_the_machine_does_in_hardware() -> None:
    assert choose_precision("float32", torch.device("cpu")) == torch.float32
    assert choose_precision("auto", choose_device("cpu")) in (torch.float32, torch.bfloat16)
