"""What clients of Cohere, Jina and Voyage send to /v2/rerank and /v1/rerank and read back."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from nearfar.serve.shapes import Count, Shape, Usage
from nearfar.serve.shapes_cohere import Meta

Query = Annotated[str, Field(min_length=1)]
# A text, or an object with texts: "text", unless rank_fields names others.
TextOrFields = str | dict[str, Any]


class RerankRequest(Shape):
    """What Cohere's second format asks."""

    query: Query
    documents: Annotated[list[TextOrFields], Field(min_length=1, fail_fast=True)]
    model: str | None = Field(None, description="One of /v1/models; none: the default reranker.")
    top_n: Count | None = Field(None, description="So many of the best; all unless said.")
    max_tokens_per_doc: Count | None = Field(None, description="More of a document is not read.")


class OldRerankRequest(RerankRequest):
    """What Cohere's first format asks, Jina's, and Voyage's (`top_k` or `truncation`)."""

    rank_fields: Annotated[list[str], Field(fail_fast=True)] | None = Field(
        None, description="Which texts of an object are read."
    )
    return_documents: bool | None = Field(None, description="Whether documents are repeated.")
    top_k: Count | None = Field(None, description="As top_n; the answer is then Voyage's.")
    truncation: bool | None = Field(
        None, description="false: a pair that is too long is refused; the answer is Voyage's."
    )

    @property
    def is_voyage(self) -> bool:
        """Whether a client of Voyage asks: it alone sends these fields, empty or not."""
        return bool(self.model_fields_set & {"top_k", "truncation"})


class Rank(BaseModel):
    """One document and its score."""

    index: int = Field(description="Its place in the request.")
    relevance_score: float = Field(description="The probability that it answers, 0 to 1.")


class RankWithDocument(Rank):
    """One document, repeated where that was asked for."""

    document: dict[str, Any] | None = None


class VoyageRank(Rank):
    """One document, repeated where that was asked for."""

    document: str | None = None


class RerankAnswer(BaseModel):
    """Cohere's second format."""

    id: str
    results: list[Rank]
    meta: Meta


class OldRerankAnswer(BaseModel):
    """Cohere's first format and Jina's in one."""

    id: str
    model: str
    results: list[RankWithDocument]
    usage: Usage
    meta: Meta


class TotalUsage(BaseModel):
    """How many tokens were read."""

    total_tokens: int


class VoyageRerankAnswer(BaseModel):
    """Voyage's format."""

    object: Literal["list"]
    data: list[VoyageRank]
    model: str
    usage: TotalUsage
