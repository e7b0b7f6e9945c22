"""From text to ids: what is cut is counted exactly, and every text has at least one token."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny import WORDS, tiny_bert
from transformers import CanineTokenizer

from nearfar.model.pooling import POOLINGS
from nearfar.model.text import TextEncoder, TextSettings
from nearfar.model.tokens import TextToTokens


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture
def tokens(folder: Path) -> TextToTokens:
    return TextEncoder.load(folder, TextSettings(max_tokens=6)).tokens


def test_cut_texts_are_counted_and_keep_their_special_tokens(tokens: TextToTokens) -> None:
    found = tokens(["ba da ga", "ba da ga ka", "ba da ga ka la"], "query")
    assert found.truncated == [False, False, True]  # 4 words and 2 special tokens just fit
    assert [len(row) for row in found.rows] == [5, 6, 6]
    assert found.rows[2] == found.rows[1]
    assert {(row[0], row[-1]) for row in found.rows} == {(2, 3)}  # [CLS] and [SEP]
    assert tokens.count(["ba da ga ka la"], "query") == [7]


def test_a_tokenizer_in_plain_python_counts_as_exactly() -> None:
    characters = TextToTokens(CanineTokenizer(), "", "", 6)  # one token a character, 2 special
    found = characters(["abc", "abcd", "abcde", "abcdef"], "query")
    assert found.truncated == [False, False, True, True]
    assert [len(row) for row in found.rows] == [5, 6, 6, 6]


def test_the_prompt_counts_as_text(tokens: TextToTokens) -> None:
    prompted = replace(tokens, document_prompt="ba da ")
    assert prompted(["ga ka la"], "document").rows == tokens(["ba da ga ka la"], "query").rows
    assert prompted(["ga ka la"], "document").truncated == [True]
    assert prompted(["ga ka la"], "query").truncated == [False]
    assert prompted.count(["ga ka la"], "document") == [7]
    assert prompted.prompted("ga", "document") == "ba da ga"


def test_no_texts_are_no_rows(tokens: TextToTokens) -> None:
    assert tokens([], "query").rows == []
    assert tokens([], "query").truncated == []
    assert tokens.count([], "query") == []


def test_one_text_in_place_of_a_list_is_the_callers_slip(tokens: TextToTokens) -> None:
    for call in (tokens, tokens.count):
        with pytest.raises(ValueError, match="expected a list of texts, got the text 'ba da'"):
            call("ba da", "query")


def test_a_role_that_does_not_exist_gets_no_prompt_in_silence(tokens: TextToTokens) -> None:
    with pytest.raises(KeyError, match="doc"):
        tokens(["ba"], "doc")  # type: ignore[arg-type]


def test_counting_and_naming_say_nothing_of_long_texts(
    tokens: TextToTokens, tmp_path: Path, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    TextEncoder.load(folder, TextSettings(max_tokens=6)).save(tmp_path)
    again = TextEncoder.load(tmp_path)  # whose tokenizer thinks that 6 is the limit
    assert again.tokens.digest() == tokens.digest()
    assert again.tokens.count([" ".join(WORDS)], "query") == [len(WORDS) + 2]
    assert capfd.readouterr() == ("", "")


def test_another_vocabulary_or_another_way_to_split_is_another_digest(
    folder: Path, tokens: TextToTokens, tmp_path: Path
) -> None:
    facts = json.loads((folder / "tokenizer.json").read_text())
    same_words_kept_case = {**facts, "normalizer": None}
    no_special = {**facts, "post_processor": None}
    words = dict(facts["model"]["vocab"])
    words["ba"], words["da"] = words["da"], words["ba"]
    swapped = {**facts, "model": {**facts["model"], "vocab": words}}
    digests = {tokens.digest()}
    for i, changed in enumerate([same_words_kept_case, no_special, swapped]):
        place = tmp_path / str(i)
        shutil.copytree(folder, place)
        (place / "tokenizer.json").write_text(json.dumps(changed))
        digests.add(TextEncoder.load(place).tokens.digest())
    assert len(digests) == 4


@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_text_of_no_tokens_has_one_vector_in_any_company(
    pooling: str, folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(folder, tmp_path / "bare")
    facts = json.loads((folder / "tokenizer.json").read_text())
    (tmp_path / "bare" / "tokenizer.json").write_text(json.dumps({**facts, "post_processor": None}))
    encoder = TextEncoder.load(
        tmp_path / "bare", TextSettings(precision="float32", pooling=(pooling,))
    )
    assert encoder.tokens.count([""], "query") == [0]
    alone, together = encoder.encode([""], "query"), encoder.encode(["ba da ga", ""], "query")[1:]
    assert alone.isfinite().all()
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)
