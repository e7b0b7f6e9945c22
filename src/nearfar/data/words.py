"""Words of a text, in any language: what BM25 finds documents by, wherever it is used."""

import re
import unicodedata
from functools import cache
from itertools import pairwise

VERSION = 2  # goes up with any change that gives some text other words

# Seen by nobody, and written by some alone: soft hyphens, joiners, the looks of a symbol.
_UNSEEN = re.compile("[\u00ad\u200c\u200d\u2060\ufe00-\ufe0f\ufeff]")
# Scripts that put no space between words; their digits are left to other words.
_SPACELESS = {
    "Han and kana": "\u3005-\u3007\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U0001b000-\U0001b16f\U00020000-\U0003ffff",
    "Thai": "\u0e01-\u0e46",
    "Lao": "\u0e81-\u0ec6\u0edc-\u0edf",
    "Khmer": "\u1780-\u17d3\u17d7\u17dc",
    "Myanmar": "\u1000-\u103f\u1050-\u108f\u109a-\u109d",
}
_LAST_MARK = 0x1E94A  # marks that stand beyond are variants of looks


def words_of(text: str) -> list[str]:
    """Return the words of a text, folded so that what reads the same is the same.

    A word is a run of letters and digits with the marks on them; none is left out. Letters are
    folded by NFKC and without case. In scripts that put no space between words (Han, kana, Thai,
    Lao, Khmer, Myanmar) it is every two neighbouring letters of a run, or its only one: so one
    letter alone finds no longer run that holds it.

    >>> words_of("Wie geht's, Zoë?")
    ['wie', 'geht', 's', 'zoë']
    >>> words_of("iPhone15の修理")
    ['iphone15', 'の修', '修理']

    Source: forms in Unicode Standard Annex 15; letters two by two as in Nie et al. 2000, "On the
        use of words and n-grams for Chinese information retrieval", and Lucene's CJKAnalyzer.
    """
    if text.isascii():
        return re.findall(r"\w+", text.lower())
    patterns = _patterns()
    found: list[str] = []
    for run in patterns["run"].findall(_folded(text)):
        if patterns["spaceless"].search(run):
            found += _divided(run)
        else:
            found.append(run)
    return found


def _folded(text: str) -> str:
    """Return one spelling of all that read the same; folding case can undo the first form."""
    shaped = unicodedata.normalize("NFKC", _UNSEEN.sub("", text))
    return unicodedata.normalize("NFKC", shaped.casefold())


def _divided(run: str) -> list[str]:
    """Return the words of a run in which some letters are of a script without spaces."""
    patterns = _patterns()
    marked = patterns["mark"].search(run)
    found = []
    for part in patterns["part"].finditer(run):
        letters = patterns["letter"].findall(part[0]) if marked else part[0]
        if part.lastgroup == "other" or len(letters) == 1:
            found.append(part[0])
        else:
            found += [a + b for a, b in pairwise(letters)]
    return found


@cache
def _patterns() -> dict[str, re.Pattern[str]]:
    marks = _marks()
    scripts = [f"[{letters}][{letters}{marks}]*" for letters in _SPACELESS.values()]
    spaceless = "".join(_SPACELESS.values())
    return {
        "run": re.compile(rf"\w[\w{marks}]*"),
        "spaceless": re.compile(f"[{spaceless}]"),
        "part": re.compile(rf"{'|'.join(scripts)}|(?P<other>[^{spaceless}]+)"),
        "mark": re.compile(f"[{marks}]"),
        "letter": re.compile(rf"[^{marks}][{marks}]*"),
    }


def _marks() -> str:
    """Return the characters that stand on or around letters, which no class of `re` names."""
    found = [n for n in range(0x300, _LAST_MARK + 1) if unicodedata.category(chr(n))[0] == "M"]
    return "".join(map(chr, found))
