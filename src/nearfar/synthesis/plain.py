"""Queries without a language model: the title, the first heading, or the telling words."""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet

from nearfar.data.dataset import Dataset
from nearfar.data.tables import TEXT_COLUMNS
from nearfar.errors import BadRecord
from nearfar.records import Document
from nearfar.synthesis.passages import Passage
from nearfar.synthesis.settings import Synthesis

_WORD = re.compile(r"[^\W_]{2,}")
_MARKDOWN = re.compile(r"^#{1,6}[ \t]+(.+?)[ \t#]*$", re.MULTILINE)
_HTML = re.compile(r"<h[1-6][^>]*>(.*?)</h[1-6]>", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<[^>]+>")
_UNDERLINED = re.compile(r"^(\S.*)\n([=\-~^*+#\"'`])\2{2,}[ \t]*$", re.MULTILINE)


def plain_queries(
    dataset: Dataset, ids: AbstractSet[str], settings: Synthesis
) -> Iterator[tuple[Passage, str | None]]:
    """Yield each chosen document with its one query, or with None if it has none to offer.

    Raises:
        BadRecord: no document has a field of the name that should hold titles.
    """
    write = _writer(dataset, settings)
    for document in dataset.documents():
        if document.id in ids:
            query = " ".join((write(document) or "").split())
            yield Passage(document=document, start=0, end=len(document.content)), query or None


def _writer(dataset: Dataset, settings: Synthesis) -> Callable[[Document], str | None]:
    if settings.writer == "keywords":
        return Keywords(dataset, settings.keywords)
    if settings.writer == "headings":
        return lambda document: first_heading(document.content)
    assert settings.writer == "titles"
    _require_title(dataset, settings.title_field)
    return lambda document: str(document.fields.get(settings.title_field, ""))


def first_heading(content: str) -> str | None:
    r"""Return the first heading of a text: Markdown, HTML, or underlined as in reStructuredText.

    >>> first_heading("Intro.\n\n## Feed a cat\n\nThree meals.")
    'Feed a cat'
    """
    found = [match for mark in (_MARKDOWN, _HTML, _UNDERLINED) if (match := mark.search(content))]
    if not found:
        return None
    first = min(found, key=lambda match: match.start())
    return _TAG.sub(" ", first[1]).strip()


class Keywords:
    """Finds the words that tell a document from the others.

        weight(word) = (1 + ln count) * ln(N / n)

    where N documents are there and n of them hold the word; a word that all hold weighs nothing.

    Memory: each different word of the collection, and a number.

    Source: Salton and Buckley 1988, doi:10.1016/0306-4573(88)90021-0, with logarithmic counts.
    """

    def __init__(self, dataset: Dataset, count: int) -> None:
        self._count = count
        self._held_by: Counter[str] = Counter()
        self._documents = 0
        for document in dataset.documents():
            self._held_by.update(set(_words(document.content)))
            self._documents += 1

    def __call__(self, document: Document) -> str:
        """Return the telling words of a document, the most telling first."""
        weights = {
            word: (1 + math.log(count)) * math.log(self._documents / self._held_by[word])
            for word, count in Counter(_words(document.content)).items()
        }
        telling = [word for word, weight in weights.items() if weight > 0]
        # Stable: among equals, the word that stands first in the text.
        return " ".join(sorted(telling, key=lambda word: -weights[word])[: self._count])


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _require_title(dataset: Dataset, name: str) -> None:
    columns = next(iter(dataset.batches("documents"))).schema.names
    fields = [column for column in columns if column not in TEXT_COLUMNS]
    if name not in fields:
        raise BadRecord(
            f"{dataset.folder}: documents have no field {name!r} to take titles from. Their fields "
            f"are: {', '.join(fields) or 'none'}. Name another with title_field (--title-field), "
            "or write from headings or keywords."
        )
