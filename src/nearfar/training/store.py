"""The token store: every text that training sees, tokenised once for ever, mapped from disk.

A row is one unique text as the model sees it, prompt included: two ids with the same text
share a row, so a duplicate can never be mistaken for a negative.

tokens.bin    int32, the ids of all rows, one after the other
rows.npz      where each row starts, whether it was cut, and what its text is called
edges.npz     what is known between rows
store.json    what it was made from, and how many texts of each role were cut
"""

import json
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from nearfar.data.dataset import Dataset, Table
from nearfar.errors import BadRecord
from nearfar.files import whole_folder
from nearfar.fingerprint import content_id, fingerprint
from nearfar.model.tokens import TextToTokens
from nearfar.progress import Progress, silent
from nearfar.records import Role
from nearfar.training.known import Known, settle

_FORMAT = 3
_JUDGED = ("query_id", "document_id", "grade", "split", "score", "origin_kind", "origin_facts")
ROLES: tuple[Role, ...] = ("query", "document")  # in whose order texts become rows
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TokenStore:
    """Texts as token ids, and what is known between them."""

    name: str  # of all that it was made from
    tokens: npt.NDArray[np.int32]  # mapped from disk
    starts: Ints  # row i is tokens[starts[i] : starts[i + 1]]
    content: npt.NDArray[np.uint64]  # what each row's text is called, without its prompt
    known: Known
    scored: bool  # whether a teacher has scored any pair
    truncated: dict[str, int]  # texts cut at the model's length, by role

    @property
    def lengths(self) -> Ints:
        """Tokens of each row."""
        return np.diff(self.starts)

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, row: int) -> npt.NDArray[np.int32]:
        return self.tokens[self.starts[row] : self.starts[row + 1]]


def open_store(
    folder: Path, dataset: Dataset, tokens: TextToTokens, *, progress: Progress = silent
) -> TokenStore:
    """Return the store of a dataset's training texts; make it unless it is there already.

    Raises:
        BadRecord: no judgment of the train split says that a document answers a query.
    """
    name = fingerprint(
        {
            "format": _FORMAT,
            "dataset": dataset.digest,
            "tokenizer": tokens.digest(),
            "prompts": [tokens.query_prompt, tokens.document_prompt],
            "max_tokens": tokens.max_tokens,
        }
    )
    place = folder / f"tokens-{name}"
    if not place.is_dir():
        with whole_folder(place) as part:
            _write(part, dataset, tokens, progress)
    return _read(place)


def contents_of(dataset: Dataset, tokens: TextToTokens) -> Iterator[tuple[Role, str]]:
    """Yield the text of each row of the store of a dataset, in order, and how it is first used."""
    judgments = dataset.table("judgments", ["query_id", "document_id", "split"])
    train = judgments.filter(pc.equal(judgments["split"], "train"))
    seen: set[str] = set()
    for role in ROLES:
        for _, contents in _contents(dataset, role, _ids(train, role)):
            for content in contents:
                name = content_id(tokens.prompted(content, role))
                if name not in seen:
                    seen.add(name)
                    yield role, content


def _read(folder: Path) -> TokenStore:
    facts = json.loads((folder / "store.json").read_text(encoding="utf-8"))
    with np.load(folder / "rows.npz") as rows, np.load(folder / "edges.npz") as edges:
        known = Known(**{name: edges[name] for name in edges.files})
        return TokenStore(
            name=folder.name,
            tokens=np.memmap(folder / "tokens.bin", dtype=np.int32, mode="r"),
            starts=rows["starts"],
            content=rows["content"],
            known=known,
            scored=not np.isnan(known.score).all(),
            truncated=facts["truncated"],
        )


def _write(folder: Path, dataset: Dataset, tokens: TextToTokens, progress: Progress) -> None:
    judgments = dataset.table("judgments", list(_JUDGED))
    train = judgments.filter(pc.equal(judgments["split"], "train"))
    if not pc.any(pc.greater(train["grade"], 0)).as_py():
        raise BadRecord(
            f"{dataset.folder}: expected judgments above 0 in the train split, found "
            f"{dataset.manifest['splits']}. Import more, or with smaller shares of dev and test."
        )
    writer = _RowWriter(folder, tokens)
    row_of: dict[Role, dict[str, int]] = {role: {} for role in ROLES}
    wanted = {role: _ids(train, role) for role in row_of}
    total = sum(map(len, wanted.values()))
    for role, found in row_of.items():
        for ids, contents in _contents(dataset, role, wanted[role]):
            found.update(zip(ids, writer.add(contents, role), strict=True))
            progress("tokenising", sum(map(len, row_of.values())), total)
    writer.finish()
    # A text that is not of the train split may still be, to the letter, one that is: what is
    # known of it must hold for its twin.
    for role, found in row_of.items():
        for ids, contents in _contents(dataset, role, _ids(judgments, role) - wanted[role]):
            found.update(zip(ids, writer.find(contents, role), strict=True))
    queries = _rows(judgments["query_id"], row_of["query"])
    documents = _rows(judgments["document_id"], row_of["document"])
    here = (queries >= 0) & (documents >= 0)
    known = settle(
        queries[here],
        documents[here],
        judgments["grade"].to_numpy()[here],
        pc.equal(judgments["split"], "train").to_numpy()[here],
        rows=writer.count,
        scores=pc.fill_null(judgments["score"], math.nan).to_numpy()[here],
        hardness=_hardness(judgments)[here],
    )
    edges: dict[str, Any] = asdict(known)
    np.savez(folder / "edges.npz", **edges)


def _hardness(judgments: pa.Table) -> npt.NDArray[np.float64]:
    """Return the score that its miner gave each mined judgment; NaN for all others."""
    found = np.full(len(judgments), math.nan)
    for row in np.flatnonzero(pc.equal(judgments["origin_kind"], "mined").to_numpy()):
        facts = json.loads(judgments["origin_facts"][int(row)].as_py() or "{}")
        found[row] = facts.get("score", math.nan)
    return found


def _contents(
    dataset: Dataset, role: Role, wanted: set[str]
) -> Iterator[tuple[list[str], list[str]]]:
    """Yield ids and contents of the wanted queries or documents, some thousand at a time."""
    table: Table = "queries" if role == "query" else "documents"
    for batch in dataset.batches(table, ["id", "content"]):
        pairs = zip(batch["id"].to_pylist(), batch["content"].to_pylist(), strict=True)
        kept = [pair for pair in pairs if pair[0] in wanted]
        if kept:
            ids, contents = zip(*kept, strict=True)
            yield list(ids), list(contents)


def _ids(judgments: pa.Table, role: Role) -> set[str]:
    return set(judgments[f"{role}_id"].unique().to_pylist())


def _rows(ids: pa.ChunkedArray, row_of: dict[str, int]) -> Ints:
    return np.array([row_of.get(id_, -1) for id_ in ids.to_pylist()], dtype=np.int64)


class _RowWriter:
    """Appends the tokens of each new text, and remembers which texts it has seen."""

    def __init__(self, folder: Path, tokens: TextToTokens) -> None:
        self._folder = folder
        self._tokens = tokens
        self._row_of: dict[str, int] = {}
        self._starts: list[int] = [0]
        self._content: list[int] = []
        self._truncated: Counter[str] = Counter()
        self._file = (folder / "tokens.bin").open("wb")

    @property
    def count(self) -> int:
        return len(self._content)

    def add(self, contents: list[str], role: Role) -> list[int]:
        """Return the row of each content, after adding those that are new."""
        names = self._names(contents, role)
        new = {
            name: content
            for name, content in zip(names, contents, strict=True)
            if name not in self._row_of
        }
        found = self._tokens(list(new.values()), role)
        for (name, content), row in zip(new.items(), found.rows, strict=True):
            self._row_of[name] = self.count
            self._content.append(int(content_id(content)[:16], 16))
            self._starts.append(self._starts[-1] + len(row))
            self._file.write(np.asarray(row, dtype=np.int32).tobytes())
        self._truncated[role] += sum(found.truncated)
        return [self._row_of[name] for name in names]

    def find(self, contents: list[str], role: Role) -> list[int]:
        """Return the row of each content, -1 where no text that was added is the same."""
        return [self._row_of.get(name, -1) for name in self._names(contents, role)]

    def _names(self, contents: list[str], role: Role) -> list[str]:
        return [content_id(self._tokens.prompted(content, role)) for content in contents]

    def finish(self) -> None:
        self._file.close()
        np.savez(
            self._folder / "rows.npz",
            starts=np.array(self._starts, dtype=np.int64),
            content=np.array(self._content, dtype=np.uint64),
        )
        facts = {"rows": self.count, "tokens": self._starts[-1], "truncated": self._truncated}
        (self._folder / "store.json").write_text(json.dumps(facts, indent=2) + "\n")
