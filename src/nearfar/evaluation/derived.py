"""What the words of a query and of its answer show, where no field says it."""

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence

from nearfar.data.dataset import Dataset
from nearfar.data.words import words_of
from nearfar.fingerprint import content_id

WORD_BOUNDS = (4, 12)  # words: up to the first is short, up to the second medium, above it long
CHARACTER_BOUNDS = (30, 80)
_SIZES = ("short", "medium", "long")
_A_DIGIT = re.compile(r"\d")
_ENGLISH_TAIL = re.compile(r"\wn['\u2019]t\b", re.IGNORECASE)  # don't, isn't, can't

# The words that deny, of seven languages, by the code of ISO 639-1.
_NEGATIONS = {
    "en": "not no never none nobody nothing nowhere neither nor without cannot",
    "de": "nicht kein keine keinen keinem keiner keines nie niemals niemand nichts nirgends "
    "weder ohne",
    "fr": "ne n pas jamais aucun aucune rien personne sans ni nulle",
    "es": "no nunca jamás ningún ninguno ninguna nadie nada sin ni tampoco",
    "it": "non mai nessun nessuno nessuna niente nulla né senza neanche",
    "pt": "não nunca jamais nenhum nenhuma ninguém nada nem sem tampouco",
    "nl": "niet geen nooit niemand niets nergens noch zonder",
}
_NAMES = {
    "english": "en", "german": "de", "french": "fr", "spanish": "es",
    "italian": "it", "portuguese": "pt", "dutch": "nl",
}  # fmt: skip
_WORDS = {code: frozenset(words.split()) for code, words in _NEGATIONS.items()}
# These are other words in another of the languages, or names: May, sin, a Dutch "just now", a
# letter; they deny only where a field says which language it is.
_DOUBTFUL = frozenset(("mai", "sin", "sans", "pas", "ne", "n", "né", "ni", "non", "nulle",
                       "personne", "noch", "sem"))  # fmt: skip
_ANY = frozenset().union(*_WORDS.values()) - _DOUBTFUL


def length_label(count: int, bounds: tuple[int, int], unit: str) -> str:
    """Return short, medium or long, with the bounds that make it so.

    >>> length_label(5, WORD_BOUNDS, "words")
    'medium (5 to 12 words)'
    """
    short, medium = bounds
    said = (f"up to {short} {unit}", f"{short + 1} to {medium} {unit}", f"over {medium} {unit}")
    place = bisect_left(bounds, count)
    return f"{_SIZES[place]} ({said[place]})"


def holds_number(text: str) -> bool:
    """Whether it holds a digit, of any script; numbers in words are not seen."""
    return _A_DIGIT.search(text) is not None


def denies(text: str, language: str | None) -> bool | None:
    """Whether it holds a word of negation.

    English, German, French, Spanish, Italian, Portuguese and Dutch are known. Words are looked
    up alone: "no smoking", "not only" and "why don't I ..." deny, "refuse" and "fail" do not.

    Args:
        text: of a query.
        language: its code or English name ("de", "de-CH", "German"); None: any of the seven,
            less those words that are something else in another of them.

    Returns:
        None where the language is another one: nothing is known of it.
    """
    known = _ANY
    if language is not None:
        code = re.split(r"[-_]", language.lower())[0]
        code = _NAMES.get(code, code)
        if code not in _WORDS:
            return None
        known = _WORDS[code]
    if known is not _ANY and known is not _WORDS["en"]:
        return not known.isdisjoint(words_of(text))
    return _ENGLISH_TAIL.search(text) is not None or not known.isdisjoint(words_of(text))


def rare_bound(documents: int) -> int:
    """Return in how many documents a rare word is at most: one in a thousand, from 1 to 10."""
    return min(max(documents // 1_000, 1), 10)


def rare_terms(dataset: Dataset, texts: Sequence[str]) -> list[bool]:
    """Return whether each text holds a word that few documents hold, or none does.

    Few is one in a thousand, at least 1 and at most 10. Every document is read once; only the
    words of the texts are counted.
    """
    words = [frozenset(words_of(text)) for text in texts]
    wanted: frozenset[str] = frozenset().union(*words)
    found: Counter[str] = Counter()
    for batch in dataset.batches("documents", ["content"]):
        for content in batch["content"].to_pylist():
            found.update(wanted.intersection(words_of(content)))
    bound = rare_bound(dataset.count("documents"))
    return [any(found[word] <= bound for word in own) for own in words]


def trained_texts(dataset: Dataset) -> frozenset[str]:
    """Return the content ids of all documents that are judged in the train split.

    That is the training data of a model that has learned from this dataset, mined or judged
    negatives included; join those of several datasets where it learned from several.
    """
    ids = {judgment.document_id for judgment in dataset.judgments("train")}
    return frozenset(_content_ids(dataset, ids))


def _content_ids(dataset: Dataset, ids: set[str]) -> Iterable[str]:
    for batch in dataset.batches("documents", ["id", "content"]):
        pairs = zip(batch["id"].to_pylist(), batch["content"].to_pylist(), strict=True)
        yield from (content_id(content) for id_, content in pairs if id_ in ids)
