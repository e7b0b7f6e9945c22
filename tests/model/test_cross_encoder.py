"""A cross-encoder scores as sentence-transformers does, whatever stands beside a pair."""

import json
import shutil
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from families import FAMILIES
from families import created as encoder_of
from sentence_transformers import CrossEncoder as Peer
from tiny import WORDS, tiny_bert, tiny_cross
from torch.utils._python_dispatch import TorchDispatchMode

from nearfar.errors import BadModel, BadSetting
from nearfar.model.cross_encoder import CrossEncoder, CrossSettings
from nearfar.model.microbatches import TOKENS_PER_CHUNK
from nearfar.model.pair_tokens import Row

EXACT = CrossSettings(precision="float32")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_cross(tmp_path_factory.mktemp("one"))


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
    folder = tiny_cross(tmp_path, labels=2)
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
        next(moved.network.parameters())[0, 0] += 1
    assert one == same
    assert len({one, short.fingerprint, moved.fingerprint}) == 3


def test_what_is_no_reranker_is_refused(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(BadModel, match="found 3"):
        CrossEncoder.load(tiny_cross(tmp_path, labels=3))
    headless = tiny_bert(tmp_path / "headless")
    with pytest.raises(BadModel, match=r"a trained head.*classifier.*chance.*new_head"):
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


def _rows(model: CrossEncoder) -> list[Row]:
    queries, documents = model.tokens(QUERIES, "query").rows, model.tokens(DOCUMENTS, "document")
    return [model.tokens.join(queries[q], documents.rows[d]) for q, d in PAIRS.tolist()]


def test_rows_are_scored_with_a_graph_as_pairs_are_without(folder: Path) -> None:
    model = CrossEncoder.load(folder, EXACT)
    expected = model.score_pairs(QUERIES, DOCUMENTS, PAIRS)
    model.thaw()
    found = model.forward_rows(_rows(model))
    torch.testing.assert_close(found.detach(), expected, atol=1e-5, rtol=1e-5)
    found.sum().backward()
    assert all(
        weight.grad is not None and weight.grad.abs().max() > 0
        for name, weight in model.network.named_parameters()
        if "position" not in name
    )


def test_a_name_follows_the_weights_while_they_learn(folder: Path) -> None:
    model = CrossEncoder.load(folder, EXACT)
    first = model.fingerprint
    model.thaw()
    assert model.fingerprint == first
    optimiser = torch.optim.SGD(model.network.parameters(), lr=0.1)
    model.forward_rows(_rows(model)).sum().backward()
    optimiser.step()
    learned = model.fingerprint
    assert learned != first
    model.freeze()
    assert model.fingerprint == learned
    assert not any(weight.requires_grad for weight in model.network.parameters())


def test_scoring_leaves_the_network_as_it_was(folder: Path) -> None:
    model = CrossEncoder.load(folder, CrossSettings(precision="bfloat16"))
    before = model.fingerprint
    model.score(QUERIES[0], DOCUMENTS)
    assert not any(weight.requires_grad for weight in model.network.parameters())
    assert model.fingerprint == before
    model.thaw()
    model.network.train()
    model.score(QUERIES[0], DOCUMENTS)
    assert model.network.training
    assert all(weight.requires_grad for weight in model.network.parameters())


class _Roundings(TorchDispatchMode):
    """Counts how often a float32 tensor of two dimensions becomes bfloat16."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        if func is torch.ops.aten._to_copy.default:
            self.count += found.dtype == torch.bfloat16 and args[0].shape in self.weights
        return found

    weights: ClassVar = {(32, 32), (32, 64), (64, 32)}


def test_a_weight_is_rounded_once_however_many_chunks_there_are(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = []
    for budget in (1 << 20, 64):
        monkeypatch.setitem(TOKENS_PER_CHUNK, "cpu", budget)
        model = CrossEncoder.load(folder, CrossSettings(precision="bfloat16"))
        with _Roundings() as roundings:
            model.score_pairs(QUERIES, DOCUMENTS, PAIRS)
        counts.append(roundings.count)
    assert counts == [14, 14]  # six of each layer, the pooler's, and the table of positions


def test_a_logit_is_no_bfloat16(folder: Path) -> None:
    model = CrossEncoder.load(folder, CrossSettings(precision="bfloat16"))
    scores = model.score_pairs(QUERIES, DOCUMENTS, PAIRS)
    exact = CrossEncoder.load(folder, EXACT).score_pairs(QUERIES, DOCUMENTS, PAIRS)
    assert (scores != scores.bfloat16().float()).float().mean() > 0.9
    torch.testing.assert_close(scores, exact, atol=0.1, rtol=0.1)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_scores_as_sentence_transformers_does(family: str, tmp_path: Path) -> None:
    settings = CrossSettings(precision="float32", new_head=True)
    model = CrossEncoder.load(encoder_of(family, tmp_path / "base"), settings)
    for weight in model.network.parameters():  # as if it had learned
        if weight.dim() > 1:
            torch.nn.init.normal_(weight, std=0.5)
    model.save(tmp_path / "saved")
    peer = Peer(str(tmp_path / "saved"))
    theirs = peer.predict([(QUERIES[2], text) for text in DOCUMENTS], convert_to_tensor=True).cpu()
    ours = model.score(QUERIES[2], DOCUMENTS)
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
    assert ours.std() > 0.02
