"""The words the whole house speaks. Frozen, small, and free of behaviour."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

Role = Literal["query", "document"]
Scalar = str | int | float | bool
Split = Literal["train", "dev", "test", "aside"]  # aside: known, but neither learned nor measured

SPLITS: tuple[Split, ...] = ("train", "dev", "test", "aside")
_NO_FIELDS: Mapping[str, Scalar] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A text that can be found."""

    id: str
    content: str
    group: str = ""  # page, article, module: never divided between two splits
    source: str = ""  # file and line, enough to find the row again
    fields: Mapping[str, Scalar] = field(default_factory=lambda: _NO_FIELDS)  # the cohorts


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A text that asks."""

    id: str
    content: str
    group: str = ""  # session or source document: queries of one group are not independent
    source: str = ""
    fields: Mapping[str, Scalar] = field(default_factory=lambda: _NO_FIELDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """How a judgment came to be: enough to find it again, explain it, and remove it."""

    kind: str  # human, click, nli, sts, paraphrase, translation, synthetic, mined, trace, ...
    source: str  # file and line; document and span; trace id
    by: str = ""  # annotator, model and prompt, miner and its space
    at: str = ""  # when it was judged, ISO 8601; empty where the source does not say
    facts: Mapping[str, Scalar] = field(default_factory=lambda: _NO_FIELDS)  # rank, cost, ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgment:
    """What is known about one query and one document."""

    query_id: str
    document_id: str
    # Above 0: an answer, the higher the better. 0: judged, and no answer. NaN: a teacher scored it,
    # and it is called neither: not to be pulled, nor pushed, nor measured.
    grade: float
    origin: Origin
    split: Split | None = None  # None: the writer decides by the hash of the groups
    score: float | None = None  # a teacher's, on its own scale; only gaps within a query count
