"""A Dataset: a folder of three Parquet tables and a manifest, read without holding it all."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nearfar.data import tables
from nearfar.data.writer import FORMAT
from nearfar.errors import BadFile
from nearfar.records import Document, Judgment, Query, Split

Table = Literal["documents", "queries", "judgments"]
_ROWS_PER_BATCH = 4_096


@dataclass(frozen=True, slots=True)
class Dataset:
    """Documents, queries and judgments on disk."""

    folder: Path
    manifest: dict[str, Any]

    @classmethod
    def open(cls, folder: Path) -> "Dataset":
        """Open the dataset in a folder.

        Raises:
            BadFile: the folder is missing, is not a dataset, or was written by a newer nearfar.
        """
        if not folder.is_dir():
            raise BadFile(
                f"{folder}: no such dataset folder. Make one with `nearfar import SOURCE {folder}`."
            )
        try:
            manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise BadFile(
                f"{folder}: not a dataset, since its manifest.json cannot be read ({error}). "
                f"Make one with `nearfar import SOURCE {folder}`."
            ) from error
        if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
            found = manifest.get("format") if isinstance(manifest, dict) else manifest
            raise BadFile(
                f"{folder}/manifest.json: expected format {FORMAT}, found {found!r}. "
                "Import the source again with this version of nearfar."
            )
        return cls(folder, manifest)

    @property
    def digest(self) -> str:
        """64 hex digits that name the content, whatever the order of its rows."""
        return str(self.manifest["digest"])

    def count(self, table: Table) -> int:
        """Return how many rows a table has."""
        return int(self.manifest["rows"][table])

    def documents(self) -> Iterator[Document]:
        """Yield every document, in the order of the file."""
        for batch in self.batches("documents"):
            yield from tables.documents(batch)

    def queries(self) -> Iterator[Query]:
        """Yield every query, in the order of the file."""
        for batch in self.batches("queries"):
            yield from tables.queries(batch)

    def judgments(self, split: Split | None = None) -> Iterator[Judgment]:
        """Yield the judgments of one split, or of all, in the order of the file."""
        for batch in self.batches("judgments"):
            if split is not None:
                batch = batch.filter(pc.equal(batch["split"], split))
            yield from tables.judgments(batch)

    def batches(
        self, table: Table, columns: Sequence[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Yield a table in pieces of a few thousand rows.

        Raises:
            BadFile: the table is missing or damaged.
        """
        path = self.folder / f"{table}.parquet"
        try:
            with pq.ParquetFile(path) as file:
                yield from file.iter_batches(
                    _ROWS_PER_BATCH, columns=None if columns is None else list(columns)
                )
        except (OSError, pa.ArrowInvalid) as error:
            raise BadFile(
                f"{path}: cannot be read as Parquet ({error}). Import the source again."
            ) from error

    def table(self, table: Table, columns: Sequence[str]) -> pa.Table:
        """Return some columns of a whole table, in memory: for ids and numbers, not for texts."""
        return pa.Table.from_batches(list(self.batches(table, columns)))
