"""What clients of text-embeddings-inference (TEI) send to /embed and /rerank and read back."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from nearfar.serve.shapes import Count, Shape, Texts

Side = Literal["left", "right", "Left", "Right"]


class EmbedRequest(Shape):
    """Texts to embed."""

    inputs: Texts
    normalize: bool = Field(
        True, description="true: vectors have length 1. false: they are as the model makes them."
    )
    truncate: bool | None = Field(None, description="false: a text that is too long is refused.")
    truncation_direction: Side = Field("right", description="The side that is cut.")
    prompt_name: str | None = Field(None, description="query or document, or as the card names it.")
    dimensions: Count | None = Field(None, description="Fewer numbers, where the model allows it.")
    model: str | None = Field(None, description="One of /v1/models; none: the default.")


EmbedAnswer = list[list[float]]


class TeiRerankRequest(Shape):
    """Texts to order by how well they answer a query."""

    query: Annotated[str, Field(min_length=1)]
    texts: Annotated[list[str], Field(min_length=1, fail_fast=True)]
    raw_scores: bool = Field(False, description="true: logits. false: probabilities, 0 to 1.")
    return_text: bool = Field(False, description="Whether each answer repeats its text.")
    truncate: bool | None = Field(None, description="false: a pair that is too long is refused.")
    truncation_direction: Literal["right", "Right"] = Field(
        "right", description="The end is cut; rerankers know no other side."
    )
    model: str | None = Field(None, description="One of /v1/models; none: the default.")


class TeiRank(BaseModel):
    """One text and its score."""

    index: int
    text: str | None = Field(None, description="Where return_text asks for it.")
    score: float


TeiRerankAnswer = list[TeiRank]
