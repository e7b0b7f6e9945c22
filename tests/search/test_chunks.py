"""Pieces of a document: none lost, none too long, cut where the text pauses."""

import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from doubles import LETTERS, LetterEncoder
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import WORDS, tiny_bert

from nearfar.errors import BadSetting
from nearfar.model.text import TextEncoder, TextSettings
from nearfar.search.chunks import Cutter, Cutting, cut


def words(texts: Sequence[str]) -> list[int]:
    """Two special tokens, and one of each word."""
    return [len(text.split()) + 2 for text in texts]


def bytes_and_two(texts: Sequence[str]) -> list[int]:
    return [len(text.encode("utf-8", "surrogatepass")) + 2 for text in texts]


def pairs_of_letters(texts: Sequence[str]) -> list[int]:
    """A text has fewer tokens than its parts together, and sometimes more."""
    return [(len(text) + 1) // 2 + text.count("aa") + 1 for text in texts]


TEXTS = st.text(
    st.sampled_from("abc  ..\n\n!?é。字👩\u200d\u0301\u00a0\t") | st.characters(), max_size=400
)


@given(
    TEXTS,
    st.sampled_from([words, bytes_and_two, pairs_of_letters]),
    st.integers(18, 90),
    st.sampled_from([0.0, 0.1, 0.5]),
)
@settings(max_examples=150, deadline=None)
def test_pieces_cover_a_text_in_order_and_none_is_too_long(text, count, most, overlap) -> None:
    spans = cut(text, count, most, overlap=overlap)
    assert not text or (spans[0][0], spans[-1][1]) == (0, len(text))
    for (start, stop), (following, further) in pairwise(spans):
        assert start < following <= stop < further
    for start, stop in spans:
        assert count([text[start:stop]])[0] <= most


def test_a_piece_ends_with_a_sentence_and_shares_the_last_with_the_next() -> None:
    sentences = [f"This is sentence number {n}. " for n in range(40)]
    text = "".join(sentences)
    spans = cut(text, words, 32, overlap=0.2)  # six sentences of five words, and one shared
    assert len(spans) > 5
    for start, stop in spans:
        assert text[start:stop].startswith("This")
        assert text[start:stop].endswith(". ")
    assert [text[a:b].count("sentence") for a, b in spans[:-1]] == [6] * (len(spans) - 1)
    for (_, stop), (start, _) in pairwise(spans):
        assert text[start:stop].count("sentence") == 1


def test_a_paragraph_is_a_better_place_than_a_sentence() -> None:
    text = "One two three four. Five six seven eight.\n\n" + "Nine ten eleven twelve. " * 9
    (_, stop), *_ = cut(text, words, 18, overlap=0)
    assert text[:stop].endswith("eight.\n\n")


def test_chinese_is_cut_after_its_full_stops() -> None:
    text = "这是一个很长的句子没有空格。" * 20
    spans = cut(text, bytes_and_two, 130, overlap=0)
    assert all(text[start:stop].endswith("。") for start, stop in spans)


def test_a_word_longer_than_a_piece_is_cut_within() -> None:
    spans = cut("x" * 1_000, bytes_and_two, 66, overlap=0)
    assert max(stop - start for start, stop in spans) == 64
    assert len(spans) <= 18


def test_a_prompt_that_leaves_no_room_is_said() -> None:
    with pytest.raises(BadSetting, match=r"room for 16 tokens or more in a piece of 12, found 10"):
        cut("a b c", words, 12)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> TextEncoder:
    folder = tiny_bert(tmp_path_factory.mktemp("model"))
    return TextEncoder.load(folder, TextSettings(document_prompt="bo ba: "))


def test_a_model_reads_every_token_of_every_piece(encoder: TextEncoder) -> None:
    dice = random.Random(7)
    texts = [
        " ".join(dice.choice(WORDS) + dice.choice(["", "", ".", "x", "\n\n"]) for _ in range(size))
        for size in (0, 1, 40, 56, 57, 58, 200, 900)
    ]
    cutter = Cutter(encoder, Cutting())
    for text, spans in zip(texts, cutter(texts), strict=True):
        found = encoder.tokens([text[start:stop] for start, stop in spans], "document")
        assert not any(found.truncated)
        (whole,) = encoder.tokens([text], "document").truncated
        assert (len(spans) > 1) == whole
        assert (spans[0][0], spans[-1][1]) == (0, len(text))


def test_pieces_may_be_shorter_than_the_model_reads_but_not_longer(encoder: TextEncoder) -> None:
    text = " ".join(WORDS)
    (spans,) = Cutter(encoder, Cutting(tokens=32, overlap=0.25))([text])
    lengths = encoder.tokens.count([text[start:stop] for start, stop in spans], "document")
    assert max(lengths) <= 32
    assert min(lengths[:-1]) >= 28
    with pytest.raises(BadSetting, match="tokens of a piece must be at most 64, got 65"):
        Cutter(encoder, Cutting(tokens=65))


def test_without_a_rule_or_a_tokenizer_documents_stay_whole(encoder: TextEncoder) -> None:
    text = " ".join(WORDS * 3)
    for one in (Cutter(encoder, None), Cutter(LetterEncoder(), Cutting())):
        assert one.rule is None
        assert one([text, ""]) == [((0, len(text)),), ((0, 0),)]


def test_a_rule_written_down_cuts_the_same(encoder: TextEncoder) -> None:
    text = " ".join(WORDS * 3)
    first = Cutter(encoder, Cutting(tokens=40, overlap=0.3))
    assert Cutter.of(encoder, first.rule)([text]) == first([text])
    assert first.rule is not None
    with pytest.raises(BadSetting, match="cut by version 1 of the rule, found version 9"):
        Cutter.of(encoder, first.rule | {"version": 9})


@pytest.mark.parametrize(
    ("tokens", "overlap"), [(0, 0.1), (10, 0.6), (10, -0.1), (10, float("nan"))]
)
def test_rules_that_cannot_be_are_refused(tokens: int, overlap: float) -> None:
    with pytest.raises(BadSetting, match=r"pieces? must be"):
        Cutting(tokens, overlap)


def test_a_model_that_reads_little_refuses_long_pieces_even_without_a_tokenizer() -> None:
    short = LetterEncoder(replace(LETTERS, max_tokens=20))
    with pytest.raises(BadSetting, match="at most 20, got 21"):
        Cutter(short, Cutting(tokens=21))
