"""Writes a Dataset: each record is checked as it comes, and the folder appears whole or not."""

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from nearfar.data import tables
from nearfar.data.splits import Shares, split_of_group, split_of_query
from nearfar.data.spool import Spools, chunks, short_hash
from nearfar.errors import BadFile, BadRecord
from nearfar.files import whole_folder
from nearfar.fingerprint import MultisetDigest
from nearfar.records import SPLITS, Document, Judgment, Query, Split

FORMAT = 2


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
    # A million rows are normal: what is remembered of each is its id and 16 bytes.
    _document_facts: dict[str, bytes] = field(default_factory=dict)
    _query_facts: dict[str, bytes] = field(default_factory=dict)
    _document_splits: dict[str, Split] = field(default_factory=dict)
    _pairs: set[bytes] = field(default_factory=set)
    _fields: dict[str, tables.FieldTypes] = field(default_factory=dict)
    _spools: Spools = field(init=False)

    def __post_init__(self) -> None:
        self._spools = Spools(self.folder)

    def add(self, record: Document | Query | Judgment) -> None:
        """Add a record of any of the three kinds.

        Raises:
            BadRecord: see the three methods below.
        """
        if isinstance(record, Document):
            self.add_document(record)
        elif isinstance(record, Query):
            self.add_query(record)
        else:
            self.add_judgment(record)

    def add_document(self, document: Document) -> None:
        """Add a document; the same id with the same text again is merged.

        Raises:
            BadRecord: it has no id or no text, or its id already names another text.
        """
        _require_text("document", document)
        content = short_hash(document.content)
        if document.id in self._document_facts:
            self._merge("documents", document, self._document_facts[document.id] == content)
            return
        self._document_facts[document.id] = content
        group = document.group or document.id
        self._document_splits[document.id] = split_of_group(group, self.shares)
        self._spool_text("documents", document)
        self.documents += 1

    def add_query(self, query: Query) -> None:
        """Add a query; the same id with the same text again is merged.

        Raises:
            BadRecord: it has no id or no text, or its id already names another text.
        """
        _require_text("query", query)
        content = short_hash(query.content)
        if query.id in self._query_facts:
            self._merge("queries", query, self._query_facts[query.id] == content)
            return
        self._query_facts[query.id] = content
        self._spool_text("queries", query)
        self.queries += 1

    def add_judgment(self, judgment: Judgment) -> None:
        """Add a judgment; the texts it names may come before or after it.

        Raises:
            BadRecord: its grade is negative or not a number, or its score is not a number.
        """
        if not (math.isfinite(judgment.grade) and judgment.grade >= 0):
            raise BadRecord(
                f"{judgment.origin.source}: a grade must be a number of 0 or more, got "
                f"{judgment.grade} for query {judgment.query_id!r} and document "
                f"{judgment.document_id!r}. Correct it or remove the line."
            )
        if judgment.score is not None and not math.isfinite(judgment.score):
            raise BadRecord(
                f"{judgment.origin.source}: a teacher's score must be a number, got "
                f"{judgment.score} for query {judgment.query_id!r} and document "
                f"{judgment.document_id!r}. Correct it, or leave it out."
            )
        key = short_hash(
            f"{len(judgment.query_id)} {judgment.query_id} {judgment.document_id} "
            f"{judgment.grade!r} {judgment.split} {judgment.score!r}"
        )
        if key in self._pairs:
            self.merged["judgments"] += 1
            return
        self._pairs.add(key)
        self._spools.add("judgments", tables.judgment_row(judgment))
        self.judgments += 1

    def _merge(self, table: str, text: Document | Query, same: bool) -> None:
        if not same:
            first = next(r for r in self._spools.rows(table) if r["id"] == text.id)
            raise BadRecord(
                f"{text.source}: id {text.id!r} already names another text in {table}: "
                f"{_short(first['content'])!r} at {first['source']}, "
                f"{_short(text.content)!r} here. "
                "Give each text its own id, or leave ids out and let the text name itself."
            )
        self.merged[table] += 1

    def _spool_text(self, table: str, text: Document | Query) -> None:
        self._fields.setdefault(table, tables.FieldTypes()).see(text)
        self._spools.add(table, tables.text_row(text))

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
        seen: set[bytes] = set()

        def judged() -> Iterator[tables.Row]:
            for row in self._spools.rows("judgments"):
                # A query without any answer teaches nothing, and cannot be measured.
                row["split"] = split = row["split"] or split_of.get(row["query_id"], "aside")
                counts[split]["judgments"] += 1
                if (mark := short_hash(f"{split} {row['query_id']}")) not in seen:
                    seen.add(mark)
                    counts[split]["queries"] += 1
                yield row

        schemas = {name: types.schema() for name, types in self._fields.items()}
        self._write("documents", self._spools.rows("documents"), schemas["documents"])
        self._write("queries", self._spools.rows("queries"), schemas["queries"])
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
        for row in self._spools.rows("judgments"):
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
        splits: dict[str, Split] = {}
        for row in self._spools.rows("judgments"):
            if row["split"] is None and row["grade"] > 0:
                split = self._document_splits[row["document_id"]]
                known = splits.get(row["query_id"], split)
                splits[row["query_id"]] = split_of_query({known, split})
        return splits

    def _write(self, table: str, rows: Iterable[tables.Row], schema: pa.Schema) -> None:
        with pq.ParquetWriter(
            self.folder / f"{table}.parquet", schema, compression="zstd"
        ) as writer:
            for chunk in chunks(rows):
                for row in chunk:
                    self._digest.add([table, row])
                writer.write_table(tables.as_table(chunk, schema))
        self._spools.drop(table)

    def close(self) -> None:
        """Let go of the files, whether or not the dataset was finished."""
        self._spools.close()


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
        BadFile: the folder exists and `replace` is False; or what stands there is no dataset.
    """
    if replace:
        require_replaceable(folder)
    with whole_folder(folder, replace=replace) as part:
        writer = DatasetWriter(part, shares or Shares())
        try:
            yield writer
            writer.finish({"licence": licence, "parents": parents})
        finally:
            writer.close()


def require_replaceable(folder: Path) -> None:
    """Make sure that nothing but a dataset is ever replaced: a mistyped path costs no one a home.

    Raises:
        BadFile: something else stands at that path.
    """
    if not folder.exists() or _is_dataset(folder):
        return
    if not folder.is_dir() or any(folder.iterdir()):
        raise BadFile(
            f"{folder}: expected a dataset to replace, found something else, which is left as it "
            "is. Name another folder, or remove this one first."
        )


def _is_dataset(folder: Path) -> bool:
    """Tell whether a dataset of any version stands there: web pages have manifests too."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(manifest, dict) and {"format", "digest", "rows"} <= manifest.keys()


def _require_text(kind: str, text: Document | Query) -> None:
    if not text.id:
        raise BadRecord(f"{text.source}: the {kind} has an empty id. Give it one, or none at all.")
    if not text.content.strip():
        raise BadRecord(
            f"{text.source}: the {kind} {text.id!r} has no text. Fill it in or remove the line."
        )


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."
