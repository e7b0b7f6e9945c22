"""Words beside vectors: what bm25s finds, in its own layout, without all texts in memory."""

import json
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import bm25s
import numpy as np
import pytest
from doubles import LetterEncoder
from hypothesis import given, settings
from hypothesis import strategies as st
from shelf import shelf

from nearfar.data.words import VERSION, words_of
from nearfar.errors import BadFile, BadRecord
from nearfar.search import lexical_file as module
from nearfar.search.index import build_index, open_index, open_lexical
from nearfar.search.lexical_file import LexicalIndex, best_rows, write_lexical

TEXTS = ["a cat and a cat", "The dog!", "", "cat: dog cat", "Zoë's Zebra 42", "???", "dog the"]


def opened(folder: Path, texts: Sequence[str] = TEXTS) -> LexicalIndex:
    write_lexical(folder, lambda: texts)
    return LexicalIndex(folder, len(texts))


def slow_bm25(query: str, texts: Sequence[str]) -> list[float]:
    """The formula with loops, so that it shares no mistake with arrays."""
    found = [Counter(words_of(text)) for text in texts]
    mean = sum(c.total() for c in found) / len(texts)
    scores = []
    for words in found:
        total = 0.0
        for word in words_of(query):
            held = sum(word in other for other in found)
            length = 1 - 0.75 + 0.75 * words.total() / mean
            if words[word]:
                rarity = math.log(1 + (len(texts) - held + 0.5) / (held + 0.5))
                total += rarity * words[word] / (words[word] + 1.5 * length)
        scores.append(total)
    return scores


@pytest.mark.parametrize("query", ["cat", "the CAT dog", "dog dog zebra", "zoë 42", "else", "?"])
def test_scores_are_those_of_the_formula(query: str, tmp_path: Path) -> None:
    found = opened(tmp_path / "l").scores(query)
    np.testing.assert_allclose(found, slow_bm25(query, TEXTS), rtol=1e-5)


@pytest.mark.parametrize("rows", [1, 2, 3, 100])
def test_the_size_of_a_chunk_changes_no_file(
    rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(tmp_path / "whole")
    monkeypatch.setattr(module, "_DOCUMENTS_PER_CHUNK", rows)
    opened(tmp_path / "parts")
    for path in (tmp_path / "whole").iterdir():
        assert (tmp_path / "parts" / path.name).read_bytes() == path.read_bytes()


def test_the_layout_and_the_numbers_are_those_of_bm25s(tmp_path: Path) -> None:
    dice = np.random.default_rng(0)
    texts = [" ".join(f"w{n}" for n in dice.zipf(1.5, dice.integers(1, 40))) for _ in range(300)]
    opened(tmp_path / "ours", texts)
    ours = bm25s.BM25.load(tmp_path / "ours", mmap=True)
    theirs = bm25s.BM25(method="lucene")
    theirs.index([words_of(text) for text in texts], show_progress=False)
    for query in (["w1"], ["w2", "w1", "w3"], ["w7", "w7"]):
        np.testing.assert_allclose(ours.get_scores(query), theirs.get_scores(query), rtol=1e-5)
    assert isinstance(ours.scores["data"], np.memmap)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 3), max_size=12), st.integers(1, 14), st.booleans())
def test_the_best_rows_are_those_of_a_plain_sort(scores: list[int], k: int, half: bool) -> None:
    among = np.arange(0, len(scores), 2) if half else None
    allowed = range(0, len(scores), 2) if half else range(len(scores))
    want = sorted((row for row in allowed if scores[row] > 0), key=lambda row: -scores[row])[:k]
    assert best_rows(np.array(scores, np.float32), k, among) == want


def test_an_index_knows_words_only_if_it_was_told_to(tmp_path: Path) -> None:
    dataset = shelf(tmp_path / "d", [text for text in TEXTS if text])
    build_index(LetterEncoder(), dataset, tmp_path / "plain")
    build_index(LetterEncoder(), dataset, tmp_path / "both", lexical=True)
    plain, both = open_index(tmp_path / "plain"), open_index(tmp_path / "both")
    with pytest.raises(BadFile, match=r"plain: .* found none.*`nearfar index --lexical`"):
        open_lexical(plain)
    contents = [one.content for one in both.documents.fetch(range(len(both))).values()]
    found = open_lexical(both).scores("the cat")
    np.testing.assert_allclose(found, slow_bm25("the cat", contents), rtol=1e-5)


def test_documents_without_words_are_said_and_leave_nothing(tmp_path: Path) -> None:
    dataset = shelf(tmp_path / "d", ["?!"])
    with pytest.raises(BadRecord, match="Expected words in some of 1 documents"):
        build_index(LetterEncoder(), dataset, tmp_path / "index", lexical=True)
    assert [path.name for path in tmp_path.iterdir()] == ["d"]


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


@pytest.mark.parametrize("harm", [_cut, Path.unlink, lambda path: path.write_bytes(b"")])
@pytest.mark.parametrize(
    "name", ["data.csc.", "indices.csc.", "indptr.csc.", "vocab.", "params.", "words.json"]
)
def test_a_damaged_file_is_one_message(name: str, harm: object, tmp_path: Path) -> None:
    opened(tmp_path / "l")
    (path,) = (tmp_path / "l").glob(f"{name}*")
    harm(path)  # type: ignore[operator]
    gone = name == "words.json" and not path.exists()  # as before there was a version
    message = "found version 1" if gone else "expected a BM25 index, and it cannot be read"
    with pytest.raises(BadFile, match=message):
        LexicalIndex(tmp_path / "l", len(TEXTS))


def test_the_words_of_other_documents_are_refused(tmp_path: Path) -> None:
    opened(tmp_path / "l")
    with pytest.raises(BadFile, match="expected 6 documents, found 7"):
        LexicalIndex(tmp_path / "l", 6)
    path = tmp_path / "l" / "vocab.index.json"
    path.write_text(json.dumps({"cat": 0}))
    with pytest.raises(BadFile, match="expected 1 words, found 9"):
        LexicalIndex(tmp_path / "l", len(TEXTS))


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("caf\u00e9", "ein Cafe\u0301 am Platz"),
        ("खोज", "हिन्दी में खोज करें"),
        ("図書館", "東京都の図書館で本を借りる"),
        ("コンピューター", "新しいｺﾝﾋﾟｭｰﾀｰを買う"),
        ("น้ำ", "ดื่มน้ำทุกวัน"),
        ("STRASSE", "die lange Straße"),
    ],
)
def test_words_of_every_script_are_found(query: str, text: str, tmp_path: Path) -> None:
    index = opened(tmp_path / "l", ["something else", text, "日本語の文", "कुछ और", "ไทย"])
    assert best_rows(index.scores(query), 5)[0] == 1


@pytest.mark.parametrize("found", [None, VERSION - 1, VERSION + 1])
def test_words_by_another_rule_are_refused(found: int | None, tmp_path: Path) -> None:
    opened(tmp_path / "l")
    path = tmp_path / "l" / "words.json"
    if found is None:  # as written before there was a version
        path.unlink()
    else:
        path.write_text(json.dumps({"version": found}))
    expected = rf"by version {VERSION} .* found version {found or 1}.*`nearfar index --lexical`"
    with pytest.raises(BadFile, match=expected):
        LexicalIndex(tmp_path / "l", len(TEXTS))
