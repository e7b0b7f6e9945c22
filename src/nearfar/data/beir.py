"""Reads a BEIR folder: corpus.jsonl, queries.jsonl and qrels/{train,dev,test}.tsv."""

import difflib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nearfar.data.fields import scalar_fields
from nearfar.data.lines import json_lines, tsv_rows
from nearfar.data.notes import Bundle, Notes, Record
from nearfar.data.rejects import BadRow, Rejects
from nearfar.errors import BadFile, BadSetting
from nearfar.records import Document, Judgment, Origin, Query, Split

_SPLITS: tuple[Split, ...] = ("train", "dev", "test")
_OWN_KEYS = {"_id", "text", "metadata"}  # the title stays, as a field beside the content


def is_beir(folder: Path) -> bool:
    """Tell whether a folder looks like BEIR, even if a part is missing."""
    named = ("corpus.jsonl", "corpus.jsonl.gz", "queries.jsonl", "queries.jsonl.gz", "qrels")
    return any((folder / name).exists() for name in named)


def beir_files(folder: Path) -> list[Path]:
    """Return the files of a BEIR folder that are read, in the order of reading.

    Raises:
        BadFile: one of the three parts is missing, or is there both plain and packed.
    """
    return [
        _required(folder, "corpus.jsonl"),
        _required(folder, "queries.jsonl"),
        *_qrels(folder).values(),
    ]


@dataclass
class BeirReader:
    """Yields the records of one BEIR folder.

    Each judgment keeps the split of its file, so that a published division stays what it
    was, faults included: `check` finds them.
    """

    folder: Path
    notes: Notes = field(default_factory=Notes)
    group_field: str = ""  # a key of the documents (and queries); else each is its own group
    keep_splits: bool = True  # False: divide anew by the hash of the groups
    kind: str = "human"
    rejects: Rejects = field(default_factory=Rejects)

    def records(self) -> Iterator[Record]:
        """Yield the records alone; raises what `bundles` raises."""
        for bundle in self.bundles():
            yield from bundle.records

    def bundles(self) -> Iterator[Bundle]:
        """Yield documents, then queries, then judgments, one a line.

        Raises:
            BadFile: a part is missing, damaged, or there twice.
            BadRecord: a line breaks the format.
            BadSetting: no document has the key `group_field`.
        """
        beir_files(self.folder)  # all parts are there before the first is read
        yield from self._documents(_required(self.folder, "corpus.jsonl"))
        yield from self._queries(_required(self.folder, "queries.jsonl"))
        qrels = _qrels(self.folder)
        self._say_what_is_not_read(qrels)
        for split, path in qrels.items():
            yield from self._judgments(path, split if self.keep_splits else None)

    def _each(self, path: Path, make: Callable[[dict[str, Any], str], Record]) -> Iterator[Bundle]:
        for number, row in json_lines(path, self.rejects):
            where = f"{path.name}:{number}"
            self.rejects.tally.read += 1
            try:
                yield Bundle(where, (make(row, where),), row)
            except BadRow as error:
                self.rejects.take(error, where, row)

    def _documents(self, path: Path) -> Iterator[Bundle]:
        keys: dict[str, None] = {}
        grouped = False

        def document(row: dict[str, Any], where: str) -> Document:
            nonlocal grouped
            keys.update(dict.fromkeys(row))
            facts = self._facts(row, where)
            grouped = grouped or bool(facts["group"])
            title, text = _text(row, "title", where), _text(row, "text", where)
            content = f"{title} {text}".strip()  # as BEIR and MTEB join them
            return Document(content=content, source=where, **facts)

        yield from self._each(path, document)
        if self.group_field and not grouped:
            near = difflib.get_close_matches(self.group_field, keys, n=1)
            raise BadSetting(
                f"group_field: no document of {path} has {self.group_field!r}. "
                f"Found: {', '.join(keys)}." + (f" Did you mean {near[0]!r}?" if near else "")
            )

    def _queries(self, path: Path) -> Iterator[Bundle]:
        def query(row: dict[str, Any], where: str) -> Query:
            content = _text(row, "text", where).strip()
            return Query(content=content, source=where, **self._facts(row, where))

        yield from self._each(path, query)

    def _facts(self, row: dict[str, Any], where: str) -> dict[str, Any]:
        """Return what documents and queries have alike: id, group and fields."""
        metadata = row.get("metadata")
        fields = scalar_fields(row, without=_OWN_KEYS, notes=self.notes)
        if isinstance(metadata, Mapping):
            fields = scalar_fields(metadata, without=set(), notes=self.notes) | fields
        elif metadata not in (None, ""):
            fields |= scalar_fields({"metadata": metadata}, without=set(), notes=self.notes)
        group = row.get(self.group_field) if self.group_field else None
        if group is None and self.group_field and isinstance(metadata, Mapping):
            group = metadata.get(self.group_field)
        return {"id": _id(row, where), "group": "" if group is None else str(group)} | {
            "fields": fields
        }

    def _judgments(self, path: Path, split: Split | None) -> Iterator[Bundle]:
        name = f"qrels/{path.name}"
        for place, (number, cells) in enumerate(tsv_rows(path, self.rejects, name)):
            where = f"{name}:{number}"
            if place == 0 and len(cells) == 3 and _number(cells[2]) is None:
                continue  # the header, which some writers leave out
            raw = "\t".join(cells)
            self.rejects.tally.read += 1
            try:
                yield Bundle(where, (self._judgment(where, cells, split),), raw)
            except BadRow as error:
                self.rejects.take(error, where, raw)

    def _judgment(self, where: str, cells: list[str], split: Split | None) -> Judgment:
        if len(cells) != 3:
            raise BadRow(
                "wrong number of columns",
                f"{where}: expected three columns divided by tabs (query-id, corpus-id, score), "
                f"found {len(cells)}. Correct the line or remove it.",
            )
        grade = _number(cells[2])
        if grade is None:
            raise BadRow(
                "bad grade",
                f"{where}: expected a number as the score, found {cells[2]!r}. "
                "Correct the line or remove it.",
            )
        return Judgment(
            query_id=cells[0],
            document_id=cells[1],
            grade=grade,
            origin=Origin(kind=self.kind, source=where),
            split=split,
        )

    def _say_what_is_not_read(self, read: Mapping[Split, Path]) -> None:
        for path in sorted((self.folder / "qrels").iterdir()):
            if path not in read.values():
                self.notes.say(
                    f"qrels/{path.name} is not read: a split is called train, dev or test."
                )


def _one_of(folder: Path, name: str) -> Path | None:
    found = [path for path in (folder / name, folder / f"{name}.gz") if path.exists()]
    if len(found) == 2:
        raise BadFile(f"{folder}: both {name} and {name}.gz are there. Remove one of them.")
    return found[0] if found else None


def _required(folder: Path, name: str) -> Path:
    path = _one_of(folder, name)
    if path is None:
        raise BadFile(
            f"{folder}: expected {name} or {name}.gz, found neither. A BEIR folder has "
            "corpus.jsonl, queries.jsonl and qrels/{train,dev,test}.tsv."
        )
    return path


def _qrels(folder: Path) -> dict[Split, Path]:
    found = {split: _one_of(folder / "qrels", f"{split}.tsv") for split in _SPLITS}
    qrels = {split: path for split, path in found.items() if path is not None}
    if not qrels:
        raise BadFile(
            f"{folder / 'qrels'}: expected train.tsv, dev.tsv or test.tsv (or .tsv.gz), found "
            "none. Add the judgments, one `query-id<tab>corpus-id<tab>score` a line."
        )
    return qrels


def _id(row: Mapping[str, Any], where: str) -> str:
    value = row.get("_id")
    if isinstance(value, str | int) and not isinstance(value, bool) and value != "":
        return str(value)
    raise BadRow(
        "bad id",
        f"{where}: expected an '_id', found {value!r} among the keys {', '.join(row) or 'none'}. "
        "Give each line its own '_id'.",
    )


def _text(row: Mapping[str, Any], key: str, where: str) -> str:
    value = row.get(key)
    if value is None:
        value = ""
    if not isinstance(value, str):
        raise BadRow(
            "not a text",
            f"{where}: expected text as {key!r}, found {type(value).__name__} {value!r:.60}. "
            "Correct the line or remove it.",
        )
    if "\0" in value:
        raise BadRow(
            "NUL byte",
            f"{where}: {key!r} holds a NUL character, which is no text. Remove it or the line.",
        )
    return value


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None
