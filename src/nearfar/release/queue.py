"""The queue: which (query, document) pairs people shall mark, one JSON object a line.

{"query_id": "q7", "document_id": "d3", "why": "new query: query.language = de", "split": "test",
 "labellers": ["ann"], "query": {"content": "...", "group": "...", "fields": {...}}}

Only the two ids must be there. `query` says a query that the dataset does not have. Nothing says
which system found the document: who marks must not know.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from nearfar.data.lines import json_lines
from nearfar.errors import BadRecord
from nearfar.files import whole_file
from nearfar.records import Query, Scalar, Split

Pair = tuple[str, str]  # ids of a query and a document

MEASURED: tuple[Split, ...] = ("test", "dev")  # what marks are made for
_NO_FIELDS: Mapping[str, Scalar] = MappingProxyType({})
_KEYS = {"query_id", "document_id", "why", "split", "labellers", "query"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A pair to be marked."""

    query_id: str
    document_id: str
    why: str = ""
    split: Split = "test"  # of its judgment, unless the query has one of its own already
    labellers: tuple[str, ...] = ()  # who marks it; empty: everyone
    content: str = ""  # of a query that the dataset does not have
    group: str = ""
    fields: Mapping[str, Scalar] = field(default_factory=lambda: _NO_FIELDS)
    line: int = 0  # in the file, from 1

    @property
    def pair(self) -> Pair:
        """Return the two ids."""
        return self.query_id, self.document_id

    def query(self, source: str) -> Query:
        """Return the query that the dataset does not have."""
        return Query(id=self.query_id, content=self.content, group=self.group,
                     source=f"{source}:{self.line}", fields=self.fields)  # fmt: skip


def write_queue(items: Iterable[Item], path: Path) -> int:
    """Write the file, whole or not at all; return how many pairs it has."""
    count = 0
    with whole_file(path) as part, part.open("w", encoding="utf-8") as file:
        for item in items:
            file.write(json.dumps(_row(item), ensure_ascii=False) + "\n")
            count += 1
    return count


def read_queue(path: Path) -> tuple[Item, ...]:
    """Read the file; marks are made in its order.

    Raises:
        BadFile: it is missing, empty or not UTF-8.
        BadRecord: a line is no such pair, or a pair is there twice.
    """
    found: dict[Pair, Item] = {}
    contents: dict[str, str] = {}
    for number, row in json_lines(path):
        item = _item(row, number, f"{path}:{number}")
        if (before := found.setdefault(item.pair, item)) is not item:
            raise BadRecord(
                f"{path}:{number}: expected each pair once, found query {item.query_id!r} and "
                f"document {item.document_id!r} of line {before.line} again. Remove the line."
            )
        if item.content and contents.setdefault(item.query_id, item.content) != item.content:
            raise BadRecord(
                f"{path}:{number}: expected one text of query {item.query_id!r}, found another "
                "than on a line before. Give each text its own id."
            )
    return tuple(found.values())


def _row(item: Item) -> dict[str, Any]:
    row: dict[str, Any] = {"query_id": item.query_id, "document_id": item.document_id,
                           "why": item.why, "split": item.split}  # fmt: skip
    if item.labellers:
        row["labellers"] = list(item.labellers)
    if item.content:
        row["query"] = {"content": item.content, "group": item.group, "fields": dict(item.fields)}
    return row


def _item(row: Mapping[str, Any], number: int, where: str) -> Item:
    if unknown := sorted(row.keys() - _KEYS):
        raise BadRecord(
            f"{where}: expected a pair of a queue ({', '.join(sorted(_KEYS))}), found "
            f"{', '.join(unknown)}. `nearfar plan` writes queues."
        )
    for key in ("query_id", "document_id"):
        if not isinstance(row.get(key), str) or not row[key]:
            raise BadRecord(f"{where}: expected {key}, a text, found {row.get(key)!r}.")
    if (split := row.get("split", "test")) not in MEASURED:
        raise BadRecord(
            f"{where}: expected split test or dev, found {split!r}. What is marked is for "
            "measuring, and is never learned from."
        )
    labellers, query = row.get("labellers", []), row.get("query", {})
    if not isinstance(labellers, list) or not all(isinstance(one, str) for one in labellers):
        raise BadRecord(f"{where}: expected labellers, a list of names, found {labellers!r}.")
    content, group, fields = "", "", {}
    if isinstance(query, dict):
        content, group = query.get("content", ""), query.get("group", "")
        fields = query.get("fields", {})
    if (
        not isinstance(query, dict)
        or not all(isinstance(one, str) for one in (content, group))
        or ("query" in row and not content.strip())
        or not isinstance(fields, dict)
        or not all(isinstance(value, str | int | float) for value in fields.values())
    ):
        raise BadRecord(
            f"{where}: expected query, an object of content, group and fields with a text in "
            f"content, found {query!r}."
        )
    return Item(query_id=row["query_id"], document_id=row["document_id"],
                why=str(row.get("why", "")), split=split, labellers=tuple(labellers),
                content=content, group=group, fields=fields, line=number)  # fmt: skip
