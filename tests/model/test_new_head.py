"""An encoder becomes a cross-encoder only when asked to, with a head that its seed decides."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import WORDS, tiny_bert, tiny_cross, tiny_llama

from nearfar.errors import BadModel
from nearfar.model.cross_encoder import CrossEncoder, CrossSettings
from nearfar.model.text import TextEncoder, TextSettings

NEW = CrossSettings(new_head=True, precision="float32")
DOCUMENTS = [" ".join(WORDS[i : i + 1 + 3 * i]) for i in range(6)]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("base"))


def _without(folder: Path, part: str, copy: Path) -> Path:
    """The same checkpoint without the weights that have this part in their names."""
    shutil.copytree(folder, copy)
    weights = load_file(copy / "model.safetensors")
    kept = {name: weight for name, weight in weights.items() if part not in name}
    assert len(kept) < len(weights)
    save_file(kept, copy / "model.safetensors", metadata={"format": "pt"})
    return copy


def _head(model: CrossEncoder) -> torch.Tensor:
    return model.network.transformer.classifier.weight


def test_a_seed_is_a_head_and_nobody_elses_dice_are_touched(base: Path) -> None:
    before = torch.get_rng_state()
    one, same = (CrossEncoder.load(base, NEW) for _ in range(2))
    other = CrossEncoder.load(base, CrossSettings(new_head=True, seed=1, precision="float32"))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(_head(one), _head(same))
    assert one.fingerprint == same.fingerprint
    assert (_head(one) - _head(other)).abs().min() > 0
    assert one.score("ba be", DOCUMENTS).std() > 0
    assert _head(one).shape == (1, 32)


def test_dice_thrown_before_do_not_move_the_head(base: Path, tmp_path: Path) -> None:
    # A pooler that the checkpoint lacks is part of the head: it is drawn from the seed too.
    bare = _without(base, "pooler", tmp_path / "bare")
    one = CrossEncoder.load(bare, NEW)
    torch.rand(7)
    assert CrossEncoder.load(bare, NEW).fingerprint == one.fingerprint


def test_all_but_the_head_is_kept(base: Path) -> None:
    kept = load_file(base / "model.safetensors")
    found = CrossEncoder.load(base, NEW).network.transformer.bert.state_dict()
    assert all(torch.equal(found[name], weight) for name, weight in kept.items())


def test_an_encoder_without_a_head_says_no_score(base: Path, tmp_path: Path) -> None:
    with pytest.raises(BadModel, match=r"lack classifier\.bias.*chance.*new_head = true"):
        CrossEncoder.load(base)
    TextEncoder.load(base, TextSettings(pooling=("mean",))).save(tmp_path)
    with pytest.raises(BadModel, match=r"lack classifier\.bias"):
        CrossEncoder.load(tmp_path)
    one = CrossEncoder.load(tmp_path, NEW)  # a sentence-transformers folder
    assert one.tokens.query_prompt == ""
    with pytest.raises(BadModel, match="YesNoReranker"):
        CrossEncoder.load(tiny_llama(tmp_path / "llama"))


def test_a_real_encoder_gets_a_head(minilm: Path) -> None:
    model = CrossEncoder.load(minilm, NEW)
    assert model.score("a question", ["an answer", "another"]).isfinite().all()
    assert model.tokens.template.special == 3
    assert model.tokens.max_tokens == 512  # the folder's 256 are those of single texts


def test_a_trained_head_is_not_thrown_away(tmp_path: Path) -> None:
    with pytest.raises(BadModel, match=r"found one that is trained.*Leave out new_head"):
        CrossEncoder.load(tiny_cross(tmp_path), NEW)


def test_a_head_of_three_labels_is_replaced(tmp_path: Path) -> None:
    model = CrossEncoder.load(tiny_cross(tmp_path, labels=3), NEW)
    assert _head(model).shape == (1, 32)
    assert model.score("ba", DOCUMENTS).shape == (6,)


def test_an_encoder_that_lacks_a_layer_gets_no_head(base: Path, tmp_path: Path) -> None:
    torn = _without(base, "layer.1.attention", tmp_path / "torn")
    with pytest.raises(BadModel, match="the weights lack"):
        CrossEncoder.load(torn, NEW)


def test_weights_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    folder = tiny_cross(tmp_path)
    weights = load_file(folder / "model.safetensors")
    weights["classifier.bias"][0] = torch.nan
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BadModel, match=r"classifier\.bias hold NaN"):
        CrossEncoder.load(folder)


def test_a_head_of_another_shape_than_the_folder_says_is_none(tmp_path: Path) -> None:
    folder = tiny_cross(tmp_path, labels=3)
    config = json.loads((folder / "config.json").read_text())
    config["id2label"] = {"0": "LABEL_0"}
    config["label2id"] = {"LABEL_0": 0}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(BadModel, match=r"lack classifier\.bias, classifier\.weight"):
        CrossEncoder.load(folder)
