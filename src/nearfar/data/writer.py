"""Writes a Dataset: each record is checked as it comes, and the folder appears whole or not."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nearfar.data import tables
from nearfar.data.digest import RowsDigest, text_json
from nearfar.data.finishing import Ending
from nearfar.data.known import Key, KnownTexts, Table, key_of, print_of
from nearfar.data.rejects import BadRow, Rejects
from nearfar.data.requirements import hash_of, require_text, short, two_texts
from nearfar.data.splits import Shares, split_of_group
from nearfar.data.spool import Spools, packed
from nearfar.errors import BadFile, BadRecord
from nearfar.files import whole_folder
from nearfar.records import SPLITS, Document, Judgment, Query

FORMAT = 2

Record = Document | Query | Judgment
_Ready = tuple[Table, Key, bytes] | bytes  # a text with its id and its print; a judgment's hash


@dataclass
class DatasetWriter:
    """Takes records in any order; what it must remember of each is its id and a few bytes."""

    folder: Path
    shares: Shares
    rejects: Rejects = field(default_factory=Rejects)  # where judgments of unknown texts go
    documents: int = 0
    queries: int = 0
    judgments: int = 0
    merged: Counter[str] = field(default_factory=Counter)  # repeated rows, by kind
    _digest: RowsDigest = field(default_factory=RowsDigest)
    _known: dict[Table, KnownTexts] = field(default_factory=dict)
    _pairs: set[bytes] = field(default_factory=set)
    _fields: dict[Table, tables.FieldTypes] = field(default_factory=dict)
    _spools: Spools = field(init=False)

    def __post_init__(self) -> None:
        self._spools = Spools(self.folder)
        for table in ("documents", "queries"):
            self._known[table] = KnownTexts()
            self._fields[table] = tables.FieldTypes()

    def add(self, record: Record) -> None:
        """Add a record of any of the three kinds; raises what `add_together` raises."""
        self.add_together((record,))

    def add_document(self, document: Document) -> None:
        """Add a document; raises what `add_together` raises."""
        self.add_together((document,))

    def add_query(self, query: Query) -> None:
        """Add a query; raises what `add_together` raises."""
        self.add_together((query,))

    def add_judgment(self, judgment: Judgment) -> None:
        """Add a judgment; the texts it names may come before or after it.

        Raises:
            BadRecord: its grade is negative or not a number, or its score is not a number.
        """
        self.add_together((judgment,))

    def add_together(self, records: Sequence[Record]) -> bool:
        """Add all of some records, or none; what is there already is merged.

        Returns:
            Whether any of them was new.

        Raises:
            BadRecord: a text has no id or nothing to read, or its id already names another text;
                a grade is negative or not a number, or a score is not a number.
        """
        ready = [self._ready(record) for record in records]
        if len(records) > 1:
            self._require_agreement(records, ready)
        new = [self._keep(*each) for each in zip(records, ready, strict=True)]
        return any(new)

    def _ready(self, record: Record) -> _Ready:
        """Return what must be remembered of a record, once it is known to be good."""
        if isinstance(record, Judgment):
            return hash_of(record)
        table: Table = "documents" if isinstance(record, Document) else "queries"
        require_text(table, record)
        key, print_ = key_of(record.id), print_of(record.id, record.content)
        if self._known[table].same(key, print_) is False:
            raise self._taken(table, record)
        return table, key, print_

    def _require_agreement(self, records: Sequence[Record], ready: Sequence[_Ready]) -> None:
        """Make sure that records which come together do not contradict each other."""
        prints: dict[tuple[Table, Key], bytes] = {}
        for record, each in zip(records, ready, strict=True):
            if isinstance(each, tuple) and prints.setdefault(each[:2], each[2]) != each[2]:
                assert not isinstance(record, Judgment)
                raise two_texts(each[0], record, "")

    def _keep(self, record: Record, ready: _Ready) -> bool:
        """Keep a record if it is new; tell whether it was."""
        if isinstance(record, Judgment):
            assert isinstance(ready, bytes)
            return self._keep_judgment(record, ready)
        assert isinstance(ready, tuple)
        table, key, print_ = ready
        if key in self._known[table]:
            self.merged[table] += 1
            return False
        number = 0
        if table == "documents":
            number = SPLITS.index(split_of_group(record.group or record.id, self.shares))
            self.documents += 1
        else:
            self.queries += 1
        self._fields[table].see(record)
        self._known[table].keep(key, print_, number)
        self._digest.add_json(text_json(table, record))
        row = (record.id, record.content, record.group, record.source, packed(record.fields))
        self._spools.add(table, row, len(record.content))
        return True

    def _keep_judgment(self, judgment: Judgment, hash: bytes) -> bool:
        if hash in self._pairs:
            self.merged["judgments"] += 1
            return False
        self._pairs.add(hash)
        self._spools.add("judgments", tuple(tables.judgment_row(judgment).values()))
        self.judgments += 1
        return True

    def _taken(self, table: Table, text: Document | Query) -> BadRow:
        if not self.rejects.refusing:  # then there may be many, and each would be looked for
            return two_texts(table, text, "")
        for batch in self._spools.batches(table):
            for row in batch.select(["id", "content", "source"]).to_pylist():
                if row["id"] == text.id:
                    first = f": {short(row['content'])!r} at {row['source']}"
                    return two_texts(table, text, first)
        raise AssertionError(f"{text.id} is known, and not there")

    def finish(self, facts: Mapping[str, Any]) -> None:
        """Write the three tables and the manifest.

        Raises:
            BadRecord: there is nothing to write, or a judgment names a text that never came.
        """
        self._require_something()
        documents, queries = self._known["documents"], self._known["queries"]
        self._pairs.clear()
        end = Ending(self.folder, self._spools, documents, queries, self._digest, self.rejects)
        states = end.decide()
        self.judgments -= len(end.dropped)
        self._require_something()
        for table, types in self._fields.items():
            end.write_texts(table, types.schema())
        end.write_judgments(states)
        tally = self.rejects.tally
        manifest = {
            "format": FORMAT,
            "digest": self._digest.hex(),
            **facts,
            "rows": {
                "documents": self.documents,
                "queries": self.queries,
                "judgments": self.judgments,
            },
            "splits": {split: dict(found) for split, found in end.counts.items() if found},
            "merged": dict(self.merged),
            **({"source_rows": tally.facts()} if tally.read else {}),
        }
        text = json.dumps(manifest, indent=2, ensure_ascii=False)
        (self.folder / "manifest.json").write_text(text + "\n", encoding="utf-8")

    def _require_something(self) -> None:
        for what in ("documents", "queries", "judgments"):
            if not getattr(self, what):
                aside = self.rejects.tally.rejected.most_common()
                reasons = ", ".join(f"{count:,} {reason}" for reason, count in aside)
                raise BadRecord(
                    f"Expected at least one of each, found no {what} in the source."
                    + (f" Set aside were {reasons}; nothing is written." if aside else "")
                )

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
    rejects: Rejects | None = None,
) -> Iterator[DatasetWriter]:
    """Yield a writer; the dataset takes its place only if the block ends well.

    Args:
        folder: where it will stand.
        licence: SPDX name of the licence of the texts, or "unknown".
        parents: what it was made from, each with at least `kind` and `path`.
        shares: how groups are divided where the source gives no split.
        replace: take the place of a dataset that stands there.
        rejects: where judgments of unknown texts go; its counts are kept in the manifest.

    Raises:
        BadRecord: see the methods of the writer.
        BadFile: the folder exists and `replace` is False; or what stands there is no dataset.
    """
    if replace:
        require_replaceable(folder)
    with whole_folder(folder, replace=replace) as part:
        writer = DatasetWriter(part, shares or Shares(), rejects or Rejects())
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
