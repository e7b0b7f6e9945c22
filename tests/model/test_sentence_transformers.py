"""Same folders as sentence-transformers, same vectors, in both directions."""

from pathlib import Path

import pytest
import torch
from families import FAMILIES, created
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import modules
from tiny import WORDS, tiny_bert

from nearfar.model.text import TextEncoder, TextSettings

TEXTS = [
    "ba da",
    " ".join(WORDS[:90]),  # longer than any of these models reads
    "",
    "ba unheard-of words ga",
    " ".join(WORDS[20:50]),
]
CLOSE = {"rtol": 0, "atol": 1e-5}

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def compare(ours: TextEncoder, theirs: SentenceTransformer) -> None:
    for role, encode in (("query", theirs.encode_query), ("document", theirs.encode_document)):
        expected = torch.tensor(encode(TEXTS, show_progress_bar=False))
        torch.testing.assert_close(ours.encode(TEXTS, role), expected, **CLOSE)  # type: ignore[arg-type]


def loaded(folder: Path, **settings: object) -> TextEncoder:
    return TextEncoder.load(folder, TextSettings(precision="float32", **settings))  # type: ignore[arg-type]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("prompts", [("", ""), ("ba: ", "da ga ")])
def test_what_we_save_they_load(family: str, prompts: tuple[str, str], tmp_path: Path) -> None:
    base = created(family, tmp_path / "base")
    ours = loaded(base, query_prompt=prompts[0], document_prompt=prompts[1])
    (tmp_path / "saved").mkdir()
    ours.save(tmp_path / "saved")
    compare(ours, SentenceTransformer(str(tmp_path / "saved"), device="cpu"))
    assert loaded(tmp_path / "saved").space == ours.space


@pytest.mark.parametrize(
    "mode", ["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"]
)
@pytest.mark.parametrize("normalised", [True, False])
def test_what_they_save_we_load(mode: str, normalised: bool, tmp_path: Path) -> None:
    chain = [
        modules.Transformer(str(tiny_bert(tmp_path / "base")), max_seq_length=40),
        modules.Pooling(32, pooling_mode=mode),
        *([modules.Normalize()] if normalised else []),
    ]
    prompts = {"query": "ba ", "document": "da: "}
    theirs = SentenceTransformer(modules=chain, device="cpu", prompts=prompts)
    theirs.save(str(tmp_path / "theirs"))
    ours = loaded(tmp_path / "theirs")
    compare(ours, theirs)
    (tmp_path / "again").mkdir()
    ours.save(tmp_path / "again")
    compare(ours, SentenceTransformer(str(tmp_path / "again"), device="cpu"))


def test_a_dense_layer_is_loaded_trained_and_saved(tmp_path: Path) -> None:
    chain = [
        modules.Transformer(str(tiny_bert(tmp_path / "base"))),
        modules.Pooling(32, pooling_mode="mean"),
        modules.Dense(32, 12, activation_function=torch.nn.Tanh()),
        modules.Normalize(),
    ]
    theirs = SentenceTransformer(modules=chain, device="cpu")
    theirs.save(str(tmp_path / "theirs"))
    ours = loaded(tmp_path / "theirs")
    assert ours.space.dim == 12
    compare(ours, theirs)
    with torch.no_grad():
        ours.network.dense[0].linear.weight.mul_(1.5)
    (tmp_path / "ours").mkdir()
    ours.save(tmp_path / "ours")
    compare(ours, SentenceTransformer(str(tmp_path / "ours"), device="cpu"))


def test_the_real_model_gives_the_same_vectors(minilm: Path, tmp_path: Path) -> None:
    texts = ["How do I open a file?", "A longer answer. " * 200, "naïve 深層 👩‍🚀"]
    ours = loaded(minilm)
    theirs = SentenceTransformer(str(minilm), device="cpu")
    expected = torch.tensor(theirs.encode(texts, show_progress_bar=False))
    torch.testing.assert_close(ours.encode(texts, "document"), expected, **CLOSE)  # type: ignore[arg-type]
    ours.save(tmp_path)
    again = SentenceTransformer(str(tmp_path), device="cpu")
    expected = torch.tensor(again.encode(texts, show_progress_bar=False))
    torch.testing.assert_close(ours.encode(texts, "query"), expected, **CLOSE)  # type: ignore[arg-type]
