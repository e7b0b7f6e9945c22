"""Reads search and click logs: what many people clicked becomes judgments of single pairs."""

import datetime
import math
import tempfile
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nearfar.data.clicks.columns import ClickColumns, choose_click_columns
from nearfar.data.clicks.counts import Cells, Counts
from nearfar.data.clicks.documents import read_documents, require_documents
from nearfar.data.clicks.grades import OF_NO_ANSWER, PairGrades, graded
from nearfar.data.clicks.log import ClickLog
from nearfar.data.clicks.pages import habits_of, read_pages
from nearfar.data.clicks.people import rare, robots
from nearfar.data.clicks.propensity import (
    Propensities,
    estimated_propensities,
    power_propensities,
)
from nearfar.data.clicks.settings import Clicks
from nearfar.data.clicks.splits import (
    SPLIT_CODES,
    Codes,
    splits_by_time,
    undivided_sessions,
)
from nearfar.data.notes import Bundle, Notes, Record
from nearfar.data.rejects import Rejects
from nearfar.data.rows import Row, read_rows
from nearfar.data.splits import Shares, split_of_group
from nearfar.errors import BadRecord, BadSetting
from nearfar.records import Document, Judgment, Origin, Scalar

_ROWS_LOOKED_AT = 1_000  # for the names of the columns, and how clicks and positions are given
_RANKS_SAID = 10

Ints = NDArray[np.int64]


@dataclass
class ClickReader:
    """Yields the documents, queries and judgments of a search log.

    A row is one shown page or one event on it (see `ClickColumns`). Queries alike up to case
    and spaces are one. Robots, personal data and what has too little support are left out and
    counted in the notes. Grades are free of the bias of position as far as the propensities
    tell (`clicks/propensity.py`, `clicks/grades.py`), and each judgment says on what it rests.
    The split belongs to the query, and no session counts for two splits (`clicks/splits.py`).
    Users and sessions are compared by salted hashes while the log is read; none is written.
    """

    source: Path
    notes: Notes = field(default_factory=Notes)
    documents: Path | None = None  # the texts; None: the log holds them
    wanted: ClickColumns = field(default_factory=ClickColumns)
    settings: Clicks = field(default_factory=Clicks)
    shares: Shares = field(default_factory=Shares)
    kind: str = "click"
    rejects: Rejects = field(default_factory=Rejects)  # where broken rows go

    def bundles(self) -> Iterator[Bundle]:
        """Yield each record alone, since it rests on many rows; raises what `records` raises.

        The rows of the log are counted here, as they are read: none stands for a record. A
        row of `documents` is a document, and whoever takes it counts it.
        """
        for record in self.records():
            if isinstance(record, Document) and self.documents:
                raw = {"id": record.id, "text": record.content}
                yield Bundle(record.source, (record,), raw)
            else:
                where = record.origin.source if isinstance(record, Judgment) else record.source
                yield Bundle(where, (record,), again=True)

    def records(self) -> Iterator[Record]:
        """Yield documents, then queries, then judgments.

        Raises:
            BadFile: the log or the documents are missing, damaged, or of a kind that is not read.
            BadRecord: a column is not there, a row lacks what it needs, or no pair is judged.
            BadSetting: the log is too small for the propensities to be estimated.
        """
        if self.documents:  # a wrong path is said now, not after the log was read
            require_documents(self.documents, self.rejects)
        columns, tally = self._columns(), self.rejects.tally
        with (
            tempfile.TemporaryDirectory(prefix="nearfar-clicks-") as folder,
            closing(ClickLog(Path(folder), self.settings.satisfied_seconds, self.notes)) as log,
        ):
            habits = habits_of(self._first_rows(), columns, self.notes)
            for page in read_pages(self.source, columns, habits, self.notes, self.rejects):
                left_out = log.add(page)
                tally.accepted += 0 if left_out else page.rows
                if left_out:  # the notes count pages
                    rows = left_out if columns.shown else f"rows of {left_out}"
                    tally.left_out[rows] += page.rows
            self._require_texts(log)
            cells, splits = self._counted(log)
            propensities = self._propensities(cells)
            pairs, unjudged = graded(cells, propensities, self.settings)
            self.notes.left_out.update(unjudged)
            has_text = yield from self._documents(log)
            judged = self._judged(pairs, has_text)
            yield from log.queries(_first_pages(pairs, judged))
            yield from self._judgments(log, pairs, judged, splits)

    def _columns(self) -> ClickColumns:
        first = self._first_rows()
        if not first:
            raise BadRecord(f"{self.source}:1: expected at least one row, found none.")
        found = list(dict.fromkeys(name for row in first for name in row.values))
        columns, sentence = choose_click_columns(found, self.wanted, first[0].where)
        if sentence:
            self.notes.say(sentence)
        return columns

    def _first_rows(self) -> list[Row]:
        return list(islice(read_rows(self.source, self.rejects), _ROWS_LOOKED_AT))

    def _require_texts(self, log: ClickLog) -> None:
        if self.documents is None and not log.has_texts:
            raise BadSetting(
                f"{self.source}: the log names {len(log.document_numbers):,} documents and holds "
                "the text of none. Say where their texts are with documents=..."
            )

    def _counted(self, log: ClickLog) -> tuple[Cells, Codes]:
        """Return the counts of what people saw, and the split of each query."""
        if log.clicks == log.results:
            raise BadRecord(
                f"{self.source}: every one of {log.results:,} shown documents was clicked, or "
                "none is left. A log of clicks alone does not say what was passed over; export "
                "what was shown as well."
            )
        pages = log.spool.pages()
        is_out, left = robots(log.spool, len(log.people), self.settings)
        self.notes.left_out.update(left)
        queries = len(log.query_numbers)
        few = rare(pages, ~is_out, queries, self.settings.least_people)[pages["query"]] & ~is_out
        if few.any():
            reason = f"pages of queries of fewer than {self.settings.least_people} people"
            self.notes.left_out[reason] += int(few.sum())
        kept = ~is_out & ~few
        if self.settings.split_by_time and kept.any():
            splits, kept, left = splits_by_time(pages, kept, queries, self.shares)
            self.notes.left_out.update(left)
            if not splits[pages["query"][kept]].any():
                self.notes.say(
                    "Every query was asked in the oldest period already: dev and test are empty. "
                    "Split by the hash of the queries instead, or give a longer log."
                )
        else:
            names = [split_of_group(id, self.shares) for id in log.query_numbers]
            splits = np.array([SPLIT_CODES.index(name) for name in names], dtype=np.uint8)
        kept, left = undivided_sessions(pages, kept, splits, len(log.sessions))
        self.notes.left_out.update(left)
        if not kept.any():
            raise BadRecord(
                f"{self.source}: all of {len(kept):,} shown pages were left out: "
                f"{', '.join(self.notes.left_out)}. Raise the limits, or give another log."
            )
        return _counts(log, kept), splits

    def _propensities(self, cells: Cells) -> Propensities:
        if self.settings.propensity == "power":
            return power_propensities(self.settings.eta)
        found = estimated_propensities(cells)
        shares = ", ".join(
            f"{rank}: {found.by_rank[rank]:.2f}" for rank in found.estimated[:_RANKS_SAID]
        )
        self.notes.say(f"How often a rank is looked at, against the best one: {shares}.")
        return found

    def _documents(self, log: ClickLog) -> Generator[Document, None, NDArray[np.bool_]]:
        """Yield all documents; return which of the shown ones have a text."""
        has_text = np.zeros(len(log.document_numbers), dtype=bool)
        texts = (
            read_documents(self.documents, self.notes, self.rejects)
            if self.documents
            else log.documents()
        )
        for document in texts:
            number = log.document_numbers.get(document.id)
            if number is not None:
                has_text[number] = True
            yield document
        return has_text

    def _judged(self, pairs: PairGrades, has_text: NDArray[np.bool_]) -> Ints:
        """Return the pairs that are judged and have texts, of queries with an answer."""
        graded = np.isfinite(pairs.grade)
        judged = graded & has_text[pairs.document]
        if (missing := int((graded & ~judged).sum())) > 0:
            self.notes.left_out["judgments of documents without a text"] += missing
        answered = np.isin(pairs.query, pairs.query[judged & (pairs.grade > 0)])
        if (alone := int((judged & ~answered).sum())) > 0:
            self.notes.left_out[OF_NO_ANSWER] += alone
        judged &= answered
        if not judged.any():
            raise BadRecord(
                f"{self.source}: no query has an answer with at least "
                f"{self.settings.least_impressions} impressions, {self.settings.least_clicks} "
                f"clicks and a text, in {len(pairs.query):,} pairs of a query and a document "
                f"({missing:,} lack the text alone). Give a longer log or ask for less support."
            )
        found: Ints = np.flatnonzero(judged)
        return found

    def _judgments(
        self, log: ClickLog, pairs: PairGrades, judged: Ints, splits: Codes
    ) -> Iterator[Judgment]:
        query_ids, document_ids = list(log.query_numbers), list(log.document_numbers)
        pages = log.spool.pages()
        by = f"position-based model, {self.settings.propensity} propensities"
        for row in judged.tolist():
            page = pages[pairs.first_page[row]]
            grade = float(pairs.grade[row])
            yield Judgment(
                query_id=query_ids[pairs.query[row]],
                document_id=document_ids[pairs.document[row]],
                grade=round(grade, 4),
                origin=Origin(
                    kind=self.kind,
                    source=log.where(int(page["file"]), int(page["line"])),
                    by=by,
                    at=_iso(float(page["time"])),
                    facts=_facts(pairs, row),
                ),
                split=SPLIT_CODES[splits[pairs.query[row]]],
            )


def _counts(log: ClickLog, kept: NDArray[np.bool_]) -> Cells:
    counts = Counts()
    query = log.spool.pages()["query"]
    for chunk in log.spool.event_chunks():
        events = chunk[kept[chunk["page"]]]
        page = events["page"]
        counts.add(
            query[page].astype(np.int64),
            events["document"].astype(np.int64),
            events["rank"].astype(np.int64),
            (
                events["clicked"].astype(np.int64),
                events["satisfied"].astype(np.int64),
                events["skipped"].astype(np.int64),
                page.astype(np.int64),
            ),
        )
    return counts.cells()


def _first_pages(pairs: PairGrades, judged: Ints) -> dict[int, int]:
    """Return the first page that counts of each judged query: the query by its page.

    Not simply its first page: that may have been a robot's.
    """
    first = np.full(int(pairs.query.max()) + 1, np.iinfo(np.int64).max)
    np.minimum.at(first, pairs.query, pairs.first_page)
    queries = np.unique(pairs.query[judged])
    return dict(zip(first[queries].tolist(), queries.tolist(), strict=True))


def _facts(pairs: PairGrades, row: int) -> dict[str, Scalar]:
    """Return on what a judgment rests; the first impression alone is its source."""
    impressions, clicks = int(pairs.impressions[row]), int(pairs.clicks[row])
    facts: dict[str, Scalar] = {
        "rule": "clicked" if clicks else "skip-above",
        "position": round(float(pairs.position[row]), 2),
        "impressions": impressions,
        "clicks": clicks,
    }
    if not clicks:
        return facts | {"skips": int(pairs.skips[row])}
    return facts | {
        "satisfied": int(pairs.satisfied[row]),
        "ctr": round(clicks / impressions, 4),
        "weighted_ctr": round(float(pairs.satisfied[row] / pairs.examined[row]), 4),
        "satisfaction": round(float(pairs.satisfaction[row]), 4),
    }


def _iso(seconds: float) -> str:
    if math.isnan(seconds):
        return ""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="seconds")
