"""The end of writing a dataset: what could only be known once every record was there."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from nearfar.data import tables
from nearfar.data.digest import RowsDigest, judgment_json
from nearfar.data.known import KnownTexts, QueryStates, key_of
from nearfar.data.rejects import BadRow, Rejects
from nearfar.data.spool import Spools, unpacked
from nearfar.records import SPLITS

_ORIGIN = ("origin_kind", "origin_source", "origin_by", "origin_at", "origin_facts")


@dataclass
class Ending:
    """The tables of a writer on their way to Parquet."""

    folder: Path
    spools: Spools
    documents: KnownTexts
    queries: KnownTexts
    digest: RowsDigest
    rejects: Rejects
    counts: dict[str, Counter[str]] = field(default_factory=lambda: {s: Counter() for s in SPLITS})
    dropped: set[int] = field(default_factory=set)  # places of judgments that were set aside

    def decide(self) -> QueryStates:
        """Look at every judgment once: are its texts there, and where does its query belong?

        Raises:
            BadRecord: a judgment names a text that never came, and is not set aside.
        """
        states = QueryStates(self.queries)
        place = 0
        for batch in self.spools.batches("judgments"):
            columns = (batch[name].to_pylist() for name in
                       ("query_id", "document_id", "grade", "split", "origin_source"))  # fmt: skip
            for query_id, document_id, grade, split, where in zip(*columns, strict=True):
                query, document = key_of(query_id), key_of(document_id)
                if query not in self.queries:
                    self._drop(place, where, "query_id", query_id, "queries", len(self.queries))
                elif document not in self.documents:
                    self._drop(
                        place, where, "document_id", document_id, "documents", len(self.documents)
                    )
                elif split is None and grade is not None and grade > 0:
                    states.answered(query, SPLITS[self.documents.number(document)])
                place += 1
        return states

    def _drop(self, place: int, where: str, column: str, id: str, table: str, known: int) -> None:
        problem = BadRow(
            "unknown id",
            f"{where}: the judgment names {column} {id!r}, which is not among the {known:,} "
            f"{table}. Add the missing text, or remove the judgment.",
        )
        before = where in self.rejects
        self.rejects.take(problem, where, {column: id})
        self.dropped.add(place)
        self.rejects.tally.accepted -= not before

    def write_judgments(self, states: QueryStates) -> None:
        """Write the judgments that were not dropped, each with its split."""
        place = 0
        with self._parquet("judgments", tables.JUDGMENTS) as writer:
            for batch in self.spools.batches("judgments"):
                if self.dropped:
                    kept = [place + i not in self.dropped for i in range(batch.num_rows)]
                    place += batch.num_rows
                    batch = batch.filter(pa.array(kept))
                at = batch.schema.get_field_index("split")
                splits = pa.array(self._splits(batch, states), pa.string())
                batch = batch.set_column(at, batch.schema.field(at), splits)
                writer.write_batch(batch)
        self.spools.drop("judgments")

    def _splits(self, batch: pa.RecordBatch, states: QueryStates) -> list[str]:
        """Return the split of each judgment, and count and digest it on the way."""
        columns = (batch[name].to_pylist()
                   for name in ("query_id", "document_id", "grade", "split", "score"))  # fmt: skip
        origins = zip(*(batch[name].to_pylist() for name in _ORIGIN), strict=True)
        splits = []
        rows = zip(*columns, origins, strict=True)
        for query_id, document_id, grade, given, score, origin in rows:
            key = key_of(query_id)
            split = given or states.split(key)
            splits.append(split)
            self.digest.add_json(judgment_json(query_id, document_id, grade, split, origin, score))
            self.counts[split]["judgments"] += 1
            self.counts[split]["queries"] += states.first(key, split)
        return splits

    def write_texts(self, table: str, schema: pa.Schema) -> None:
        """Write documents or queries, their fields spread over columns."""
        fields = pa.schema(list(schema)[len(tables.TEXT_COLUMNS) :])
        with self._parquet(table, schema) as writer:
            for batch in self.spools.batches(table):
                own = [batch[name] for name in tables.TEXT_COLUMNS]
                more = tables.as_table(unpacked(batch["fields"].to_pylist()), fields)
                columns = own + [column.combine_chunks() for column in more.columns]
                writer.write_table(pa.table(columns, schema=schema))
        self.spools.drop(table)

    def _parquet(self, table: str, schema: pa.Schema) -> Any:
        return pq.ParquetWriter(self.folder / f"{table}.parquet", schema, compression="zstd")
