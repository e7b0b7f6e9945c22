"""A cross-encoder scores as sentence-transformers does, whatever stands beside a pair."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from sentence_transformers import CrossEncoder as Peer
from tiny import WORDS, tiny_bert
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from nearfar.errors import BadModel, BadSetting
from nearfar.model.cross_encoder import CrossEncoder, CrossSettings

EXACT = CrossSettings(precision="float32")


def created(folder: Path, labels: int) -> Path:
    """A BERT with a head of its own, made here."""
    base = tiny_bert(folder / "base")
    config = AutoConfig.from_pretrained(base, num_labels=labels)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = AutoModelForSequenceClassification.from_config(config)
        for weight in model.parameters():
            torch.nn.init.normal_(weight, std=0.3)  # so that scores differ
    model.save_pretrained(folder / "cross")
    AutoTokenizer.from_pretrained(base).save_pretrained(folder / "cross")
    return folder / "cross"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return created(tmp_path_factory.mktemp("one"), labels=1)


QUERIES = [" ".join(WORDS[i : i + 1 + 3 * i]) for i in range(6)]
DOCUMENTS = [" ".join(WORDS[i : i + 1 + 17 * i % 90]) for i in range(1, 9)] + ["", "unknown!"]
PAIRS = torch.cartesian_prod(torch.arange(len(QUERIES)), torch.arange(len(DOCUMENTS)))


def test_scores_are_those_of_sentence_transformers(folder: Path) -> None:
    ours = CrossEncoder.load(folder, EXACT).score_pairs(QUERIES, DOCUMENTS, PAIRS)
    texts = [(QUERIES[q], DOCUMENTS[d]) for q, d in PAIRS.tolist()]
    theirs = Peer(str(folder)).predict(
        texts, activation_fn=torch.nn.Identity(), convert_to_tensor=True
    )
    torch.testing.assert_close(ours, theirs.cpu(), atol=1e-4, rtol=1e-4)
    assert ours.std() > 0.02  # it can fail


def test_two_labels_are_no_and_yes(tmp_path: Path) -> None:
    folder = created(tmp_path, labels=2)
    ours = CrossEncoder.load(folder, EXACT).score_pairs(QUERIES, DOCUMENTS, PAIRS)
    texts = [(QUERIES[q], DOCUMENTS[d]) for q, d in PAIRS.tolist()]
    theirs = Peer(str(folder)).predict(
        texts, activation_fn=torch.nn.Softmax(dim=-1), convert_to_tensor=True
    )
    torch.testing.assert_close(ours.sigmoid(), theirs.cpu()[:, 1], atol=1e-4, rtol=1e-4)


def test_one_query_and_its_documents_are_pairs_too(folder: Path) -> None:
    model = CrossEncoder.load(folder, EXACT)
    alone = model.score(QUERIES[2], DOCUMENTS)
    among = model.score_pairs(QUERIES, DOCUMENTS, PAIRS)
    torch.testing.assert_close(alone, among[PAIRS[:, 0] == 2], atol=1e-5, rtol=1e-5)
    assert model.score("nobody", []).shape == (0,)


def test_a_long_pair_is_cut_where_told(folder: Path) -> None:
    short = CrossEncoder.load(folder, CrossSettings(precision="float32", max_tokens=16))
    ours = short.score(QUERIES[3], DOCUMENTS)
    peer = Peer(str(folder), max_length=16)
    theirs = peer.predict(
        [(QUERIES[3], text) for text in DOCUMENTS],
        activation_fn=torch.nn.Identity(), convert_to_tensor=True,
    )  # fmt: skip
    torch.testing.assert_close(ours, theirs.cpu(), atol=1e-4, rtol=1e-4)


def test_another_weight_or_limit_is_another_name(folder: Path) -> None:
    one, same = (CrossEncoder.load(folder, EXACT).fingerprint for _ in range(2))
    short = CrossEncoder.load(folder, CrossSettings(precision="float32", max_tokens=16))
    moved = CrossEncoder.load(folder, EXACT)
    with torch.no_grad():
        next(moved.transformer.parameters())[0, 0] += 1
    assert one == same
    assert len({one, short.fingerprint, moved.fingerprint}) == 3


def test_what_is_no_reranker_is_refused(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(BadModel, match="found 3"):
        CrossEncoder.load(created(tmp_path, labels=3))
    headless = tiny_bert(tmp_path / "headless")
    with pytest.raises(BadModel, match="classifier"):
        CrossEncoder.load(headless)
    with pytest.raises(BadSetting, match="max_tokens of a reranker must be"):
        CrossEncoder.load(folder, CrossSettings(max_tokens=65))


def test_a_tokenizer_without_padding_is_refused(folder: Path, tmp_path: Path) -> None:
    bare = Path(shutil.copytree(folder, tmp_path / "bare"))
    path = bare / "tokenizer_config.json"
    facts = json.loads(path.read_text())
    facts["pad_token"] = None
    path.write_text(json.dumps(facts))
    with pytest.raises(BadModel, match="a padding token, found none"):
        CrossEncoder.load(bare)
