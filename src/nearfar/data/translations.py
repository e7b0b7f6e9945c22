"""Reads parallel texts: two columns, a column of languages by name, or one text a row with a key.

    eng, xxx, lang                          a row is a pair; `lang` names the language of xxx
    en, de                                  a row is a pair; the columns are called like languages
    translation = {"en": ..., "de": ...}    a row is a pair, as OPUS sets on the hub are
    key, lang, text                         rows with one key say the same in several languages

Each text gets its language as the field `lang`, a cohort to measure by.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from nearfar.data.columns import Columns
from nearfar.data.notes import Bundle, Record
from nearfar.data.rejects import BadRow
from nearfar.data.rows import Row
from nearfar.data.table import TableReader, plain, text_of
from nearfar.errors import BadRecord, BadSetting
from nearfar.fingerprint import content_id
from nearfar.records import Document, Query

_CODES = (
    "en eng english de deu fr fra es spa it ita pt por nl nld pl pol ru rus uk ukr cs ces tr tur "
    "ar ara he heb fa pes hi hin bn ben ja jpn ko kor zh cmn zho vi vie th tha id ind el ell ro "
    "ron hu hun sv swe da dan fi fin no nob bg bul"
)
_QUERIES = f"translation source src source_text {_CODES} sentence1 text1 query text sentence"
_DOCUMENTS = f"target tgt target_text xxx xx {_CODES} sentence2 text2 document"
# What a column may be called that is not named after its language.
_NO_LANGUAGE = frozenset(f"{_QUERIES} {_DOCUMENTS}".split()) - frozenset(_CODES.split())
_SAME = "pairs of a text and itself"


@dataclass
class TranslationsReader(TableReader):
    """Yields pairs of one meaning in two languages."""

    pivot: str = (
        ""  # key, lang, text: the language of the documents; "" is English or the commonest
    )

    usual: ClassVar = {
        "query": _QUERIES,
        "document": _DOCUMENTS,
        "language": "lang language target_lang tgt_lang lang_code",
        "group": "group group_id key parallel_id",
        "grade": "",
    }
    needed: ClassVar = ("query",)

    def bundles(self) -> Iterator[Bundle]:
        """Yield the pair of each row; raises what `TableReader.bundles` raises."""
        columns, divided = self._columns(), self._divided()
        first = next(self._rows(), None)
        if columns.document or (first and isinstance(first.values.get(columns.query or ""), dict)):
            return self._each(lambda row: self._wide(row, columns, divided))
        if not (columns.language and columns.group):
            raise BadRecord(
                f"{self.source}: expected two columns of texts, or one beside a column of "
                f"languages and one of keys; {columns.query!r} is the only text found. "
                "Name the others with document=..., or with language=... and group=...."
            )
        pivot, answers = self._pivot(columns)
        return self._each(lambda row: self._long(row, columns, divided, pivot, answers))

    # -- a row is a pair ----------------------------------------------------------------------

    def _wide(self, row: Row, columns: Columns, divided: bool) -> list[Record] | str:
        split = self._split(row, columns, divided)
        sides = self._sides(row, columns)
        (_, one), (_, other) = sides
        if one == other:
            return _SAME
        query, document, judgment = self._pair(row, one, other, 1.0, split)
        group, fields = plain(row, columns.group), self._fields(row, columns)
        assert isinstance(query, Query)
        assert isinstance(document, Document)
        more: list[dict[str, Any]] = [
            {"group": group, "source": row.where, "fields": fields | _lang(language)}
            for language, _ in sides
        ]
        return [
            Query(id=query.id, content=one, **more[0]),
            Document(id=document.id, content=other, **more[1]),
            judgment,
        ]

    def _sides(self, row: Row, columns: Columns) -> list[tuple[str, str]]:
        """Return language and text of both sides; "" where the language is not known."""
        value = row.values.get(columns.query or "")
        if isinstance(value, dict):
            inner = Row(row.where, {name: text for name, text in value.items() if text is not None})
            if len(inner.values) != 2:
                raise BadRow(
                    "wrong number of languages",
                    f"{row.where}: expected two languages in {columns.query!r}, found "
                    f"{', '.join(map(str, inner.values)) or 'none'}. Keep two, or remove the row.",
                )
            return [(str(name), text_of(inner, name)) for name in inner.values]
        return [
            (_named_after(columns.query), text_of(row, columns.query)),
            (
                plain(row, columns.language) or _named_after(columns.document),
                text_of(row, columns.document),
            ),
        ]

    # -- rows with one key belong together ----------------------------------------------------

    def _pivot(self, columns: Columns) -> tuple[str, dict[str, str]]:
        """Return the language of the documents, and the id of the document of each key."""
        counts = Counter(self._language(row, columns) for row in self._keyed(columns))
        english = next((code for code in ("en", "eng", "english") if code in counts), "")
        pivot = self.pivot or english or (counts.most_common(1)[0][0] if counts else "")
        if counts and pivot not in counts:
            raise BadSetting(f"pivot: no text is in {pivot!r}. Found: {', '.join(sorted(counts))}.")
        if not self.pivot:
            self.notes.say(f"Documents are the texts in {pivot!r}, queries all others (pivot).")
        answers: dict[str, str] = {}
        for row in self._keyed(columns):
            if self._language(row, columns) == pivot:
                answers.setdefault(self._key(row, columns), content_id(text_of(row, columns.query)))
        return pivot, answers

    def _keyed(self, columns: Columns) -> Iterator[Row]:
        return self._good_rows(
            lambda row: (
                text_of(row, columns.query),
                self._key(row, columns),
                self._language(row, columns),
            )
        )

    def _key(self, row: Row, columns: Columns) -> str:
        return text_of(Row(row.where, {"key": plain(row, columns.group)}), "key")

    def _language(self, row: Row, columns: Columns) -> str:
        return text_of(Row(row.where, {"language": plain(row, columns.language)}), "language")

    def _long(
        self, row: Row, columns: Columns, divided: bool, pivot: str, answers: dict[str, str]
    ) -> list[Record] | str:
        split = self._split(row, columns, divided)
        text, key, language = (
            text_of(row, columns.query), self._key(row, columns), self._language(row, columns),
        )  # fmt: skip
        fields = self._fields(row, columns) | {"lang": language}
        more: dict[str, Any] = {"group": key, "source": row.where, "fields": fields}
        id = content_id(text)
        if language == pivot:
            return [Document(id=id, content=text, **more)]
        if key not in answers:
            return f"texts whose key has none in {pivot}"
        if answers[key] == id:
            return _SAME
        return [
            Query(id=id, content=text, **more),
            self._judgment(row, id, answers[key], 1.0, split),
        ]


def _named_after(column: str | None) -> str:
    """Return the language that a column is called after, or "" if it is called otherwise."""
    name = column or ""
    return "" if name.strip().casefold().replace(" ", "_") in _NO_LANGUAGE else name


def _lang(language: str) -> dict[str, str]:
    return {"lang": language} if language else {}
