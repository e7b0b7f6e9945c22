"""What is saved loads in sentence-transformers with equal scores, and what it saves loads here."""

import json
from pathlib import Path

import pytest
import torch
from sentence_transformers import CrossEncoder as Peer
from sentence_transformers.base.modules import Transformer
from sentence_transformers.cross_encoder.modules import LogitScore
from tiny import WORDS, tiny_bert, tiny_cross, tiny_llama
from torch import nn

from nearfar.errors import BadModel
from nearfar.model.cross_encoder import CrossEncoder, CrossSettings

EXACT = CrossSettings(precision="float32")
QUERY = "ba be bi"
DOCUMENTS = [" ".join(WORDS[i : i + 1 + 9 * i]) for i in range(9)] + [""]
PAIRS = [(QUERY, text) for text in DOCUMENTS]


def _theirs(folder: Path, **options: object) -> tuple[Peer, torch.Tensor]:
    peer = Peer(str(folder), **options)
    return peer, peer.predict(PAIRS, convert_to_tensor=True).cpu()


def test_a_saved_model_scores_the_same_there_and_here(tmp_path: Path) -> None:
    base = tiny_bert(tmp_path / "base")
    settings = CrossSettings(precision="float32", new_head=True, seed=5, max_tokens=40)
    ours = CrossEncoder.load(base, settings)
    for weight in ours.network.parameters():  # as if it had learned
        if weight.dim() > 1:
            nn.init.normal_(weight, std=0.5)
    ours.save(tmp_path / "saved")
    again = CrossEncoder.load(tmp_path / "saved", EXACT)
    peer, theirs = _theirs(tmp_path / "saved")
    scores = ours.score(QUERY, DOCUMENTS)
    assert scores.std() > 0.02  # it can fail
    torch.testing.assert_close(scores, theirs, atol=1e-4, rtol=0)
    assert peer.num_labels == 1
    assert isinstance(peer.activation_fn, nn.Identity)
    assert peer.max_seq_length == again.tokens.max_tokens == 40
    assert again.fingerprint == ours.fingerprint
    torch.testing.assert_close(again.score(QUERY, DOCUMENTS), scores, atol=0, rtol=0)


@pytest.mark.parametrize("activation", [nn.Identity(), nn.Sigmoid()], ids=["identity", "sigmoid"])
def test_our_score_is_the_logit_whatever_is_put_around_it(
    activation: nn.Module, tmp_path: Path
) -> None:
    peer = Peer(str(tiny_cross(tmp_path)), activation_fn=activation, max_length=32)
    peer.save(str(tmp_path / "theirs"))
    ours = CrossEncoder.load(tmp_path / "theirs", EXACT)
    scores = ours.score(QUERY, DOCUMENTS)
    logits = peer.predict(PAIRS, activation_fn=nn.Identity(), convert_to_tensor=True).cpu()
    torch.testing.assert_close(scores, logits, atol=1e-4, rtol=1e-4)
    assert ours.tokens.max_tokens == 32
    # And their program finds its activation again in what we save.
    ours.save(tmp_path / "ours")
    back, theirs = _theirs(tmp_path / "ours")
    assert type(back.activation_fn) is type(activation)
    torch.testing.assert_close(activation(scores), theirs, atol=1e-4, rtol=1e-4)
    assert CrossEncoder.load(tmp_path / "ours", EXACT).fingerprint == ours.fingerprint


@pytest.mark.parametrize(
    "facts",
    [
        {"sentence_transformers": {"activation_fn": "torch.nn.modules.activation.Sigmoid"}},
        {"sbert_ce_default_activation_function": "torch.nn.modules.activation.Sigmoid"},
    ],
    ids=["version 4", "version 3"],
)
def test_an_older_folder_names_its_activation_elsewhere(
    facts: dict[str, object], tmp_path: Path
) -> None:
    folder = tiny_cross(tmp_path)
    plain = CrossEncoder.load(folder, EXACT)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | facts))
    ours = CrossEncoder.load(folder, EXACT)
    assert ours.activation == "torch.nn.modules.activation.Sigmoid"
    assert ours.fingerprint == plain.fingerprint  # it moves no logit


def test_two_labels_stay_two(tmp_path: Path) -> None:
    ours = CrossEncoder.load(tiny_cross(tmp_path, labels=2), EXACT)
    ours.save(tmp_path / "saved")
    peer, theirs = _theirs(tmp_path / "saved")
    assert peer.num_labels == 2
    torch.testing.assert_close(
        ours.score(QUERY, DOCUMENTS), theirs[:, 1] - theirs[:, 0], atol=1e-4, rtol=1e-4
    )


def test_a_prompt_of_the_query_goes_along(tmp_path: Path) -> None:
    peer = Peer(
        str(tiny_cross(tmp_path)), prompts={"query": "do du "}, default_prompt_name="query",
        activation_fn=nn.Identity(),
    )  # fmt: skip
    peer.save(str(tmp_path / "theirs"))
    ours = CrossEncoder.load(tmp_path / "theirs", EXACT)
    assert ours.tokens.query_prompt == "do du "
    scores = ours.score(QUERY, DOCUMENTS)
    torch.testing.assert_close(
        scores, peer.predict(PAIRS, convert_to_tensor=True).cpu(), atol=1e-4, rtol=1e-4
    )
    ours.save(tmp_path / "ours")
    _, theirs = _theirs(tmp_path / "ours")
    torch.testing.assert_close(scores, theirs, atol=1e-4, rtol=1e-4)
    assert CrossEncoder.load(tmp_path / "ours", EXACT).fingerprint == ours.fingerprint
    plain = CrossEncoder.load(tmp_path / "cross", EXACT)
    assert plain.fingerprint != ours.fingerprint


def test_a_language_model_of_theirs_is_named_as_such(tmp_path: Path) -> None:
    llama = tiny_llama(tmp_path / "llama")
    chain = [Transformer(str(llama), transformer_task="text-generation"), LogitScore(3, 4)]
    Peer(modules=chain).save(str(tmp_path / "theirs"))
    with pytest.raises(BadModel, match=r"modules\.json.*YesNoReranker"):
        CrossEncoder.load(tmp_path / "theirs")


@pytest.mark.parametrize("damage", ["not json", "{}", '[{"type": "a"}]'])
def test_a_damaged_chain_is_named(damage: str, tmp_path: Path) -> None:
    folder = tiny_cross(tmp_path)
    (folder / "modules.json").write_text(damage)
    with pytest.raises(BadModel, match=r"modules\.json: expected"):
        CrossEncoder.load(folder)
