"""What is kept of a search log while it is read: numbers on disk, each text once."""

import hashlib
import math
from collections.abc import Iterator, Mapping
from pathlib import Path

from nearfar.data.clicks.pages import Page, Result
from nearfar.data.clicks.people import is_robot, session_of
from nearfar.data.clicks.private import personal
from nearfar.data.clicks.spool import DEEPEST, ClickSpool, Numbers, TextSpool
from nearfar.data.notes import Notes
from nearfar.fingerprint import content_id
from nearfar.records import Document, Query


class ClickLog:
    """Takes pages; gives queries and documents back, and the pages as numbers."""

    def __init__(self, folder: Path, satisfied_seconds: float, notes: Notes) -> None:
        self.spool = ClickSpool(folder)
        self.sessions, self.people = Numbers(), Numbers()
        self.query_numbers: dict[str, int] = {}  # by id; in order
        self.document_numbers: dict[str, int] = {}  # by id; in order
        self.results = self.clicks = 0
        # A row for each page: which one counts is only known at the end.
        self._queries = TextSpool(folder / "queries.jsonl")
        self._documents = TextSpool(folder / "documents.jsonl")
        self._text_hashes: dict[str, bytes] = {}
        self._files: dict[str, int] = {}
        self._satisfied_seconds = satisfied_seconds
        self._notes = notes

    def add(self, page: Page) -> str:
        """Keep a page, unless its query is empty or holds personal data, or it shows nothing.

        Returns:
            Why it was left out; "" if it was kept.
        """
        reason = "without a query" if not page.query else ""
        if not reason and not page.results:
            reason = "that showed nothing"
        if not reason and (found := personal(page.query)):
            reason = f"whose query holds {found}"
        if reason:
            self._notes.left_out[f"pages {reason}"] += 1
            return f"pages {reason}"
        file, _, line = page.where.rpartition(":")
        if line.startswith("row "):
            file, line = f"{file}:row ", line.removeprefix("row ")
        else:
            file = f"{file}:"
        row = (
            self._query(page),
            self.sessions.number(session_of(page.session, page.user, page.time)),
            self.people.number(page.user or page.session),
            is_robot(page.agent),
            math.nan if page.time is None else page.time,
            self._files.setdefault(file, len(self._files)),
            int(line),
        )
        last_click = max((r.rank for r in page.results if r.clicked), default=0)
        self.spool.add(row, [self._event(result, last_click, page) for result in page.results])
        return ""

    def _event(self, result: Result, last_click: int, page: Page) -> tuple[object, ...]:
        self.results += 1
        self.clicks += result.clicked
        if result.text:
            self._keep_text(result, page.where)
        long_enough = result.dwell is None or result.dwell >= self._satisfied_seconds
        return (
            self.document_numbers.setdefault(result.id, len(self.document_numbers)),
            min(result.rank, DEEPEST),
            result.clicked,
            result.clicked and long_enough,
            not result.clicked and result.rank < last_click,
        )

    def _query(self, page: Page) -> int:
        content = " ".join(page.query.split())
        id = content_id(content.casefold())
        self._queries.add({"content": content, "source": page.where, "fields": page.fields})
        return self.query_numbers.setdefault(id, len(self.query_numbers))

    def _keep_text(self, result: Result, where: str) -> None:
        hash = hashlib.blake2b(result.text.encode(), digest_size=16).digest()
        known = self._text_hashes.setdefault(result.id, hash)
        if known is hash:
            row = {"id": result.id, "content": result.text, "source": where}
            self._documents.add(row)
        elif known != hash:
            self._notes.left_out["later texts of documents (the first is kept)"] += 1

    @property
    def has_texts(self) -> bool:
        """Tell whether the log holds texts of documents."""
        return bool(self._text_hashes)

    def documents(self) -> Iterator[Document]:
        """Yield the documents whose texts the log holds."""
        for _, row in self._documents.rows():
            yield Document(**row)

    def queries(self, pages: Mapping[int, int]) -> Iterator[Query]:
        """Yield some of the queries, as some pages asked them.

        Args:
            pages: the number of the query by that of the page which gives it its wording, its
                source and its cohorts.
        """
        ids = list(self.query_numbers)
        for page, row in self._queries.rows(pages):
            yield Query(id=ids[pages[page]], **row)

    def where(self, file: int, line: int) -> str:
        """Return where a page stands in the log."""
        return f"{list(self._files)[file]}{line}"

    def close(self) -> None:
        """Let go of the files."""
        for file in (self.spool, self._queries, self._documents):
            file.close()
