"""Writes a Dataset: each record is checked as it comes, and the folder appears whole or not."""

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from nearfar.data import tables
from nearfar.data.splits import Shares, split_of_group, split_of_query
from nearfar.errors import BadRecord
from nearfar.files import whole_folder
from nearfar.fingerprint import MultisetDigest, content_id
from nearfar.records import SPLITS, Document, Judgment, Query, Split

FORMAT = 1
_ROWS_PER_GROUP = 20_000  # rows held in memory at once while a table is written


@dataclass
class DatasetWriter:
    """Takes records in any order; what it must remember of each is its id and a few bytes."""

    folder: Path
    shares: Shares
    documents: int = 0
    queries: int = 0
    judgments: int = 0
    merged: Counter[str] = field(default_factory=Counter)  # repeated rows, by kind
    _digest: MultisetDigest = field(default_factory=MultisetDigest)
    _document_facts: dict[str, tuple[str, Split]] = field(default_factory=dict)
    _query_facts: dict[str, str] = field(default_factory=dict)
    _pairs: set[tuple[str, str, float]] = field(default_factory=set)
    _fields: dict[str, tables.FieldTypes] = field(default_factory=dict)
    _spools: dict[str, IO[str]] = field(default_factory=dict)

    def add_document(self, document: Document) -> None:
        """Add a document; the same id with the same text again is merged.

        Raises:
            BadRecord: it has no id or no text, or its id already names another text.
        """
        _require_text("document", document)
        content = content_id(document.content)
        if document.id in self._document_facts:
            self._merge("documents", document, self._document_facts[document.id][0] == content)
            return
        group = document.group or document.id
        self._document_facts[document.id] = (content, split_of_group(group, self.shares))
        self._spool_text("documents", document)
        self.documents += 1

    def add_query(self, query: Query) -> None:
        """Add a query; the same id with the same text again is merged.

        Raises:
            BadRecord: it has no id or no text, or its id already names another text.
        """
        _require_text("query", query)
        content = content_id(query.content)
        if query.id in self._query_facts:
            self._merge("queries", query, self._query_facts[query.id] == content)
            return
        self._query_facts[query.id] = content
        self._spool_text("queries", query)
        self.queries += 1

    def add_judgment(self, judgment: Judgment) -> None:
        """Add a judgment; the texts it names may come before or after it.

        Raises:
            BadRecord: its grade is negative or not a number.
        """
        if not (math.isfinite(judgment.grade) and judgment.grade >= 0):
            raise BadRecord(
                f"{judgment.origin.source}: a grade must be a number of 0 or more, got "
                f"{judgment.grade} for query {judgment.query_id!r} and document "
                f"{judgment.document_id!r}. Correct it or remove the line."
            )
        key = (judgment.query_id, judgment.document_id, judgment.grade)
        if key in self._pairs:
            self.merged["judgments"] += 1
            return
        self._pairs.add(key)
        self._spool("judgments", tables.judgment_row(judgment))
        self.judgments += 1

    def _merge(self, table: str, text: Document | Query, same: bool) -> None:
        if not same:
            first = next(r for r in self._spooled(table) if r["id"] == text.id)
            raise BadRecord(
                f"{text.source}: id {text.id!r} already names another text in {table}: "
                f"{_short(first['content'])!r} at {first['source']}, "
                f"{_short(text.content)!r} here. "
                "Give each text its own id, or leave ids out and let the text name itself."
            )
        self.merged[table] += 1

    def _spool_text(self, table: str, text: Document | Query) -> None:
        self._fields.setdefault(table, tables.FieldTypes()).see(text)
        self._spool(table, tables.text_row(text))

    def _spool(self, table: str, row: tables.Row) -> None:
        if table not in self._spools:
            self._spools[table] = (self.folder / f"{table}.jsonl").open("w", encoding="utf-8")
        self._spools[table].write(json.dumps(row) + "\n")

    def _spooled(self, table: str) -> Iterator[tables.Row]:
        if table not in self._spools:
            return
        self._spools[table].flush()
        with (self.folder / f"{table}.jsonl").open(encoding="utf-8") as lines:
            for line in lines:
                yield json.loads(line)

    # -- the end: what could only be known once everything was there --------------------------

    def finish(self, facts: Mapping[str, Any]) -> None:
        """Write the three tables and the manifest.

        Raises:
            BadRecord: there is nothing to write, or a judgment names a text that never came.
        """
        self._require_something()
        self._require_known_ids()
        split_of = self._query_splits()
        counts: dict[str, Counter[str]] = {split: Counter() for split in SPLITS}
        seen: set[tuple[str, str]] = set()

        def judged() -> Iterator[tables.Row]:
            for row in self._spooled("judgments"):
                row["split"] = split = row["split"] or split_of[row["query_id"]]
                counts[split]["judgments"] += 1
                if (split, row["query_id"]) not in seen:
                    seen.add((split, row["query_id"]))
                    counts[split]["queries"] += 1
                yield row

        schemas = {name: types.schema() for name, types in self._fields.items()}
        self._write("documents", self._spooled("documents"), schemas["documents"])
        self._write("queries", self._spooled("queries"), schemas["queries"])
        self._write("judgments", judged(), tables.JUDGMENTS)
        manifest = {
            "format": FORMAT,
            "digest": self._digest.hex(),
            **facts,
            "rows": {
                "documents": self.documents,
                "queries": self.queries,
                "judgments": self.judgments,
            },
            "splits": {split: dict(found) for split, found in counts.items() if found},
            "merged": dict(self.merged),
        }
        text = json.dumps(manifest, indent=2, ensure_ascii=False)
        (self.folder / "manifest.json").write_text(text + "\n", encoding="utf-8")

    def _require_something(self) -> None:
        for what in ("documents", "queries", "judgments"):
            if not getattr(self, what):
                raise BadRecord(f"Expected at least one of each, found no {what} in the source.")

    def _require_known_ids(self) -> None:
        for row in self._spooled("judgments"):
            for column, known, table in (
                ("query_id", self._query_facts, "queries"),
                ("document_id", self._document_facts, "documents"),
            ):
                if row[column] not in known:
                    raise BadRecord(
                        f"{row['origin_source']}: the judgment names {column} {row[column]!r}, "
                        f"which is not among the {len(known):,} {table}. "
                        f"Add the missing text, or remove the judgment."
                    )

    def _query_splits(self) -> dict[str, Split]:
        """Return the split of every query that was not given one."""
        found: dict[str, set[Split]] = {}
        for row in self._spooled("judgments"):
            if row["split"] is None and row["grade"] > 0:
                split = self._document_facts[row["document_id"]][1]
                found.setdefault(row["query_id"], set()).add(split)
        splits = {query_id: split_of_query(splits) for query_id, splits in found.items()}
        for row in self._spooled("judgments"):  # a query without any answer teaches nothing
            splits.setdefault(row["query_id"], "aside")
        return splits

    def _write(self, table: str, rows: Iterable[tables.Row], schema: pa.Schema) -> None:
        rows = iter(rows)
        with pq.ParquetWriter(
            self.folder / f"{table}.parquet", schema, compression="zstd"
        ) as writer:
            while chunk := list(islice(rows, _ROWS_PER_GROUP)):
                for row in chunk:
                    self._digest.add([table, row])
                writer.write_table(tables.as_table(chunk, schema))
        self._spools.pop(table).close()
        (self.folder / f"{table}.jsonl").unlink()

    def close(self) -> None:
        """Let go of the files, whether or not the dataset was finished."""
        for spool in self._spools.values():
            spool.close()


@contextmanager
def write_dataset(
    folder: Path,
    *,
    licence: str,
    parents: list[dict[str, Any]],
    shares: Shares | None = None,
    replace: bool = False,
) -> Iterator[DatasetWriter]:
    """Yield a writer; the dataset takes its place only if the block ends well.

    Args:
        folder: where it will stand.
        licence: SPDX name of the licence of the texts, or "unknown".
        parents: what it was made from, each with at least `kind` and `path`.
        shares: how groups are divided where the source gives no split.
        replace: take the place of a dataset that stands there.

    Raises:
        BadRecord: see the methods of the writer.
        BadFile: the folder exists and `replace` is False.
    """
    with whole_folder(folder, replace=replace) as part:
        writer = DatasetWriter(part, shares or Shares())
        try:
            yield writer
            writer.finish({"licence": licence, "parents": parents})
        finally:
            writer.close()


def _require_text(kind: str, text: Document | Query) -> None:
    if not text.id:
        raise BadRecord(f"{text.source}: the {kind} has an empty id. Give it one, or none at all.")
    if not text.content.strip():
        raise BadRecord(
            f"{text.source}: the {kind} {text.id!r} has no text. Fill it in or remove the line."
        )


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."
