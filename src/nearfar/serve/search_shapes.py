"""What clients send to /search and read back, and how much of it there may be."""

from dataclasses import dataclass, fields
from math import isfinite
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    PlainValidator,
    Tag,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from nearfar.errors import require
from nearfar.serve.errors import OpenAIError, declared
from nearfar.serve.shapes import Count
from nearfar.stores.filters import Sign

_WHOLE = 2**63  # the first whole number that no store holds


def _value(value: Any) -> Any:
    if isinstance(value, bool | str):
        return value
    if isinstance(value, int) and -_WHOLE <= value < _WHOLE:
        return value
    if isinstance(value, float) and isfinite(value):
        return value
    raise PydanticCustomError(
        "no_value", "expected a text, true or false, or a number (a whole one of at most 64 bits)"
    )


Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Truth = Annotated[bool, Field(strict=True)]
# JSON knows one kind of number: here 2020 is whole, 2020.0 is not, and a truth is neither.
Value = Annotated[
    bool | int | float | str,
    PlainValidator(_value),
    WithJsonSchema({
        "anyOf": [
            {"type": "string"}, {"type": "boolean"},
            {"type": "number", "minimum": -_WHOLE, "maximum": _WHOLE - 1_024},
        ],
    }),
]  # fmt: skip
Name = Annotated[str, Field(min_length=1, max_length=200)]
SearchId = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchBounds:
    """How much one request may ask of an index."""

    queries: int = 64  # in one search
    hits: int = 1_000  # of each query
    candidates: int = 2_000  # of each query
    documents: int = 1_000  # put in at once, so that one request is one commit
    ids: int = 10_000  # taken out at once

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            require(value > 0, f"search bounds: {one.name}", "above 0", value)


class Strict(BaseModel):
    """What a client sends to routes of our own: a field that is not known is a mistake."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())


class ConditionShape(Strict):
    """One thing that must hold of a field of a document."""

    field: Name
    sign: Sign = "="
    value: Value | Annotated[list[Value], Field(min_length=1, max_length=1_000)] = Field(
        description="Several: any of them with =, none of them with !=."
    )


# Told apart by what it is, so that a mistake in one is not explained as if it were the other.
ConditionText = Annotated[str, Field(strict=True, min_length=1, max_length=10_000)]
AnyCondition = Annotated[
    Annotated[ConditionText, Tag("text")] | Annotated[ConditionShape, Tag("object")],
    Discriminator(lambda said: "text" if isinstance(said, str) else "object"),
]


class SearchRequest(Strict):
    """What is searched, and how; either `query` or `queries`."""

    query: Annotated[str, Field(min_length=1)] | None = None
    queries: (
        Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1, fail_fast=True)]
        | None
    ) = None
    k: Count = Field(10, description="Hits of each query, at most.")
    where: Annotated[list[AnyCondition], Field(max_length=64)] = Field(
        [], description='Conditions that all must hold, such as "lang=de|en" or "year>=2020".'
    )
    index: Name | None = Field(None, description="None: the server's default.")
    words: Literal["none", "ranks"] | Annotated[Number, Field(ge=0, le=1)] | None = Field(
        None,
        description="How words join meaning: by their ranks (RRF), by how much they count, or not.",
    )
    rerank: Truth | Name = Field(False, description="true: by the default reranker.")
    candidates: Count | None = Field(
        None, description="Brought by meaning and by words each, k or more. Default: 100, or k."
    )
    budget_ms: Annotated[Number, Field(gt=0)] | None = Field(
        None, description="What a reranker could not read within it stands below what it read."
    )
    exact: Truth = Field(False, description="Whether every vector is looked at.")
    explain: Truth = Field(False, description="Whether each hit says why it was found.")
    content: Truth = Field(True, description="Whether each hit carries its text.")
    user: Name | None = Field(
        None, description="Who asks, as an opaque name; kept only in the log for later training."
    )


class Why(BaseModel):
    """Why a document was found."""

    vector_rank: int | None = Field(description="Among the nearest; null: words brought it.")
    cosine: float | None
    word_rank: int | None = Field(description="null: meaning brought it, or words were not asked.")
    word_score: float | None = Field(description="BM25, or what the store has.")
    terms: list[str] = Field(description="Words of the query that stand in it.")
    piece: int = Field(description="Which piece of the document counts, from 0.")
    pieces: int
    span: tuple[int, int] = Field(description="Of the piece, in characters of the content.")
    text: str | None = Field(description="Of the piece; null where content was not asked for.")
    source: str = Field(description="Where the document came from.")
    group: str


class HitShape(BaseModel):
    """A document that was found."""

    id: str
    rank: int = Field(description="From 1.")
    score: float = Field(description="Of retrieval: the cosine, or what is fused of both.")
    rerank_score: float | None = Field(description="The reranker's logit; null: it was not read.")
    fields: dict[str, Any]
    content: str | None = Field(None, description="Where it was asked for.")
    explain: Why | None = Field(None, description="Where it was asked for.")


class AnswerShape(BaseModel):
    """The answer to one query."""

    search_id: SearchId = Field(description="Names the answer in /feedback.")
    hits: list[HitShape] = Field(description="Best first.")
    candidates: int = Field(description="Brought by meaning and words.")
    reranked: int = Field(description="Of them read by the reranker.")
    stopped_by_budget: bool


class SearchAnswer(BaseModel):
    """The answers, in the order of the queries."""

    index: str
    version: str
    space: str = Field(description="The fingerprint of the space of its vectors.")
    answers: list[AnswerShape]


def refusals(**others: str) -> dict[int | str, dict[str, Any]]:
    """Return what a route of an index documents of its refusals.

    Args:
        others: by status with an "s" before it, when it is said: s409="...".
    """
    found = declared("openai")
    found[404]["description"] = "There is no index, reranker or document of that name."
    for name, said in others.items():
        found[int(name[1:])] = {"model": OpenAIError, "description": said}
    return found
