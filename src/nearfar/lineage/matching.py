"""Which rows of a dataset hold something of a document, a query, a source, a person or a prompt."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from nearfar.data.dataset import Dataset
from nearfar.errors import BadSetting
from nearfar.fingerprint import fingerprint

Texts = Literal["documents", "queries"]
_TEXTS: tuple[Texts, ...] = ("documents", "queries")
_PEOPLE = ("user", "user_id", "session", "session_id", "author", "customer", "customer_id", "email")
# One text of the pair was written from the other, so that what goes takes the other with it.
_QUERY_MADE = ("synthetic", "augmented")
_BOTH_MADE = ("augmented",)
_PLACE = r"([:#](row )?\d+(-\d+)?| rank \d+)$"  # the line, span or rank at the end of a source
_EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked for; a row that agrees with any of it is meant."""

    ids: frozenset[str] = frozenset()  # of anything: texts, groups, people, annotators, prompts
    sources: frozenset[str] = frozenset()  # "file", or "file:line"
    where: tuple[tuple[str, str], ...] = ()  # field and value

    @property
    def request(self) -> str:
        """Return a name of what is looked for."""
        return fingerprint({"ids": sorted(self.ids), "sources": sorted(self.sources),
                            "where": sorted(map(list, self.where))})  # fmt: skip


def wanted(
    ids: Sequence[str] = (), *, sources: Sequence[str] = (), where: Sequence[str] = ()
) -> Wanted:
    """Return what is looked for, as it was typed.

    Raises:
        BadSetting: something is empty, or a clause is not FIELD=VALUE.
    """
    clauses = [clause.partition("=") for clause in where]
    if bad := [field for field, equals, value in clauses if not (field and equals and value)]:
        raise BadSetting(f"--where needs FIELD=VALUE such as user=u17, got {bad[0]!r}.")
    if not all(text.strip() for text in (*ids, *sources)):
        raise BadSetting("Expected an id or a source, found an empty one. Name what you look for.")
    if not (ids or sources or clauses):
        raise BadSetting("Expected an id, a source or FIELD=VALUE to look for, found none.")
    return Wanted(
        frozenset(ids),
        frozenset(name for source in sources for name in _names(source)),
        tuple((field, value) for field, _, value in clauses),
    )


def _names(source: str) -> list[str]:
    """Return how rows may name a source: by the name of its file alone, or as it was given."""
    return [source, Path(source).name] if "/" in source else [source]


def text_name(content: str) -> bytes:
    """Return 16 bytes that stand for a text while texts are compared in memory."""
    return hashlib.blake2b(content.encode(), digest_size=16).digest()


@dataclass(slots=True)
class Held:
    """What one dataset holds of what was looked for."""

    dataset: Dataset
    documents: set[str] = field(default_factory=set)
    queries: set[str] = field(default_factory=set)
    judgments: int = 0
    splits: Counter[str] = field(default_factory=Counter)  # of these judgments
    kinds: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)  # as what rows were found
    examples: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.documents or self.queries or self.judgments)

    def to_json(self) -> dict[str, Any]:
        """Return the counts."""
        return {
            "folder": str(self.dataset.folder),
            "digest": self.dataset.digest,
            "documents": len(self.documents),
            "queries": len(self.queries),
            "judgments": self.judgments,
            "splits": dict(self.splits),
            "kinds": dict(self.kinds),
            "found_as": dict(self.reasons),
            "examples": self.examples,
        }


class Matcher:
    """Tells rows that are meant from others; `same` says of a text that it is one that is meant."""

    def __init__(self, wanted: Wanted, same: Callable[[str], bool] | None = None) -> None:
        self._wanted = wanted
        self._ids = pa.array(sorted(wanted.ids), pa.string())
        self._sources = pa.array(sorted(wanted.ids | wanted.sources), pa.string())
        self._same = same

    def texts(self, batch: pa.RecordBatch, reasons: Counter[str]) -> pa.Array:
        """Return which texts of a batch of documents or queries are meant."""
        checks: list[tuple[str, pa.Array]] = [
            ("id", pc.is_in(batch["id"], self._ids)),
            ("group", pc.is_in(batch["group"], self._ids)),
            ("source", self._source(batch["source"])),
        ]
        for name in batch.schema.names:
            if name in _PEOPLE:
                checks.append((name, pc.is_in(pc.cast(batch[name], pa.string()), self._ids)))
        for name, value in self._wanted.where:
            if name in batch.schema.names and name != "content":
                same = pc.equal(pc.cast(batch[name], pa.string()), value)
                checks.append((f"{name}={value}", pc.fill_null(same, False)))
        if self._same is not None:
            twins = [self._same(text) for text in batch["content"].to_pylist()]
            checks.append(("same text", pa.array(twins, pa.bool_())))
        return _any(checks, reasons, batch.num_rows)

    def judgments(self, batch: pa.RecordBatch, reasons: Counter[str]) -> pa.Array:
        """Return which judgments of a batch are meant by their own origin."""
        facts = [self._facts(text) for text in batch["origin_facts"].to_pylist()]
        checks = [
            ("source", self._source(batch["origin_source"])),
            ("annotator, miner or model", pc.is_in(batch["origin_by"], self._ids)),
            ("fact of the origin", pa.array(facts, pa.bool_())),
        ]
        return _any(checks, reasons, batch.num_rows)

    def _source(self, column: pa.Array) -> pa.Array:
        file = pc.replace_substring_regex(column, _PLACE, "")
        return pc.or_(pc.is_in(column, self._sources), pc.is_in(file, self._sources))

    def _facts(self, text: str) -> bool:
        if not text:
            return False
        facts = json.loads(text)
        named = any(facts.get(name) == value for name, value in self._wanted.where)
        return named or any(leaf in self._wanted.ids for leaf in leaves(facts))


def leaves(value: Any) -> Iterator[str]:
    """Yield every string within a value of JSON, keys left out."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from leaves(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from leaves(one)


def _any(checks: list[tuple[str, pa.Array]], reasons: Counter[str], rows: int) -> pa.Array:
    """Join the checks; a row counts under the first that holds."""
    found = pa.array([False] * rows, pa.bool_())
    for reason, mask in checks:
        new = pc.and_not(pc.fill_null(mask, False), found)
        if count := pc.sum(new).as_py():
            reasons[reason] += count
        found = pc.or_(found, new)
    return found


def match(dataset: Dataset, matcher: Matcher) -> tuple[Held, set[str]]:
    """Find all that a dataset holds of what is meant; return it, and the texts, as they stand.

    A judgment is meant if its own origin is, or if it names a text that is. A text that was
    written from one that is meant (by a language model, or as a view of it) is meant too.

    Memory: the ids and the texts of what is found.

    Raises:
        BadFile: a table is missing or damaged.
    """
    held, found = Held(dataset), set[str]()
    ids: dict[Texts, set[str]] = {"documents": held.documents, "queries": held.queries}
    for table in _TEXTS:
        for batch in dataset.batches(table):
            some = batch.filter(matcher.texts(batch, held.reasons))
            _keep(held, some, ids[table])
            found.update(some["content"].to_pylist())
    made: dict[Texts, set[str]] = {"documents": set(), "queries": set()}
    for batch in dataset.batches("judgments"):
        some = batch.filter(dropped(batch, matcher, held, Counter()))
        for query, document, kind in _named(some):
            if kind in _QUERY_MADE and query not in held.queries:
                made["queries"].add(query)
            if kind in _BOTH_MADE and document not in held.documents:
                made["documents"].add(document)
    for table in _TEXTS:
        if made[table]:
            held.reasons["written from what was found"] += len(made[table])
            ids[table] |= made[table]
            found |= _contents(dataset, table, made[table])
    for batch in dataset.batches("judgments"):
        some = batch.filter(dropped(batch, matcher, held, held.reasons))
        held.judgments += some.num_rows
        held.splits.update(some["split"].to_pylist())
        held.kinds.update(some["origin_kind"].to_pylist())
        if not (held.documents or held.queries):
            held.examples += [f"{j['query_id']} · {j['document_id']} ({j['origin_source']})"
                              for j in some.slice(0, _EXAMPLES - len(held.examples)).to_pylist()
                              if len(held.examples) < _EXAMPLES]  # fmt: skip
    return held, found


def dropped(batch: pa.RecordBatch, matcher: Matcher, held: Held, reasons: Counter[str]) -> pa.Array:
    """Return which judgments of a batch are meant, by their origin or by the texts they name."""
    return pc.or_(
        matcher.judgments(batch, reasons),
        pc.or_(isin(batch["query_id"], held.queries), isin(batch["document_id"], held.documents)),
    )


def isin(column: pa.Array, ids: AbstractSet[str]) -> pa.Array:
    """Return which values of a column are among some."""
    return pc.is_in(column, pa.array(sorted(ids), pa.string()))


def _named(judgments: pa.RecordBatch) -> Iterator[tuple[str, str, str]]:
    columns = ("query_id", "document_id", "origin_kind")
    yield from zip(*(judgments[name].to_pylist() for name in columns), strict=True)


def _keep(held: Held, some: pa.RecordBatch, ids: set[str]) -> None:
    ids.update(some["id"].to_pylist())
    for row in some.slice(0, _EXAMPLES).to_pylist():
        if len(held.examples) < _EXAMPLES:
            text = " ".join(row["content"].split())
            text = text if len(text) <= 60 else f"{text[:57]}..."
            held.examples.append(f"{row['id']} ({row['source']}): {text}")


def _contents(dataset: Dataset, table: Texts, ids: Collection[str]) -> set[str]:
    found: set[str] = set()
    for batch in dataset.batches(table, ["id", "content"]):
        found.update(batch.filter(isin(batch["id"], set(ids)))["content"].to_pylist())
    return found
