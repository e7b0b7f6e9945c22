"""Divides one docstring into what it is about, a summary, and what it says, the body."""

import re
from dataclasses import dataclass
from inspect import cleandoc

_SIGNATURE = re.compile(r"[\w.]+\(.*\)(\s*(->|:).*)?")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"'`(\[*:])")
_UNDERLINE = re.compile(r"[=*~^\-#\"]{3,}")
_KEEPS_ITS_LINES = re.compile(r"\s|>>>|\.\.\.|[-*+:|]|\d+[.)]\s|\w+ : ")  # code, lists, tables

MIN_BODY_CHARACTERS = 80
MIN_SUMMARY_WORDS = 3
MAX_SUMMARY_CHARACTERS = 200
SHORT_BELOW_CHARACTERS = 300
LONG_FROM_CHARACTERS = 1_200


@dataclass(frozen=True, slots=True)
class Parts:
    """A docstring in two parts that share no summary."""

    summary: str
    body: str

    @property
    def length(self) -> str:
        """Return "short" below 300 characters of body, "long" from 1,200, else "medium"."""
        if len(self.body) < SHORT_BELOW_CHARACTERS:
            return "short"
        return "long" if len(self.body) >= LONG_FROM_CHARACTERS else "medium"


def divide(docstring: str) -> Parts:
    """Return the summary of a docstring and the body that is left without it.

    The summary is the first paragraph if that is one line, else its first sentence. A
    signature on the first line ("split(array, n) -> list") is passed over: the code says it.

    >>> divide('''Return the mean.
    ...
    ...     Nothing is
    ...     rounded.''')
    Parts(summary='Return the mean.', body='Nothing is rounded.')
    """
    lines = cleandoc(docstring).splitlines()
    paragraphs = _paragraphs(lines)
    if len(paragraphs) > 1 and len(paragraphs[0]) == 1 and _SIGNATURE.fullmatch(paragraphs[0][0]):
        paragraphs = paragraphs[1:]
    if not paragraphs:
        return Parts("", "")
    first, rest = paragraphs[0], paragraphs[1:]
    summary, left = first[0], ""
    if len(first) > 1:
        sentences = _SENTENCE_END.split(" ".join(" ".join(first).split()), maxsplit=1)
        summary, left = sentences[0], "".join(sentences[1:])
    body = [left, *(_joined(paragraph) for paragraph in rest)]
    return Parts(" ".join(summary.split()), "\n".join(part for part in body if part).strip())


def divide_topic(text: str) -> Parts:
    """Return the title of a topic of pydoc, without its marks, and the text below it."""
    lines = [line for line in cleandoc(text).splitlines() if not _UNDERLINE.fullmatch(line.strip())]
    paragraphs = _paragraphs(lines)
    if not paragraphs:
        return Parts("", "")
    title = " ".join(" ".join(paragraphs[0]).split()).replace('"', "")
    return Parts(title, "\n".join(_joined(paragraph) for paragraph in paragraphs[1:]))


def why_not(parts: Parts) -> str:
    """Return why a docstring makes no pair, or nothing if it makes one."""
    if len(parts.body) < MIN_BODY_CHARACTERS:
        return f"docstrings with a body under {MIN_BODY_CHARACTERS} characters"
    if len(parts.summary.split()) < MIN_SUMMARY_WORDS:
        return f"summaries under {MIN_SUMMARY_WORDS} words"
    if len(parts.summary) > MAX_SUMMARY_CHARACTERS:
        return f"summaries over {MAX_SUMMARY_CHARACTERS} characters"
    if summary_key(parts.summary) in " ".join(parts.body.casefold().split()):
        return "bodies that repeat their summary"
    return ""


def summary_key(summary: str) -> str:
    """Return what two summaries that ask the same have in common.

    >>> summary_key("Return the name.") == summary_key("return the  name")
    True
    """
    return " ".join(summary.casefold().split()).rstrip(".!?: ")


def _paragraphs(lines: list[str]) -> list[list[str]]:
    paragraphs: list[list[str]] = [[]]
    for line in lines:
        if line.strip():
            paragraphs[-1].append(line.rstrip())
        elif paragraphs[-1]:
            paragraphs.append([])
    return [paragraph for paragraph in paragraphs if paragraph]


def _joined(lines: list[str]) -> str:
    """Return prose as one line; code, lists and underlined titles keep their lines."""
    text = [line for line in lines if not _UNDERLINE.fullmatch(line.strip())]
    titled = len(text) < len(lines)
    if titled or any(_KEEPS_ITS_LINES.match(line) for line in text):
        return "\n".join(text)
    return " ".join(" ".join(text).split())
