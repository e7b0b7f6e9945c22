"""Words of every script: what reads the same is the same word, and none is torn apart."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearfar.data.words import words_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The CAT's snake_case, 3.5", ["the", "cat", "s", "snake_case", "3", "5"]),
        ("Caf\u00e9 cafe\u0301", ["caf\u00e9", "caf\u00e9"]),
        ("STRASSE straße", ["strasse", "strasse"]),
        ("ﬁnd co\u00adop \uff11\uff12", ["find", "coop", "12"]),
        ("हिन्दी में खोज", ["हिन्दी", "में", "खोज"]),
        ("தமிழ் தேடல்", ["தமிழ்", "தேடல்"]),
        ("می\u200cخو\u0627\u0647م", ["میخواهم"]),
        ("한국어 검색", ["한국어", "검색"]),
        ("東京都の本", ["東京", "京都", "都の", "の本"]),
        ("猫。", ["猫"]),
        ("ｶﾞｲﾄﾞ ガイド", ["ガイ", "イド", "ガイ", "イド"]),
        ("iPhone15の使い方", ["iphone15", "の使", "使い", "い方"]),
        ("ภาษา ๒๕๖๗", ["ภา", "าษ", "ษา", "๒๕๖๗"]),
        ("ພາສາ", ["ພາ", "າສ", "ສາ"]),
        ("ខ្មែរ", ["ខ្មែ", "មែរ"]),
        ("မြန်မာ", ["မြန်", "န်မာ"]),
        ("!? \u0301 ❤️", []),
    ],
)
def test_each_script_has_its_words(text: str, words: list[str]) -> None:
    assert words_of(text) == words


@given(st.text(max_size=40))
def test_spelling_and_case_change_no_word(text: str) -> None:
    for form in ("NFC", "NFD", "NFKC"):
        assert words_of(unicodedata.normalize(form, text)) == words_of(text)
    assert words_of(text.casefold()) == words_of(text)
    assert all(words_of(text))
