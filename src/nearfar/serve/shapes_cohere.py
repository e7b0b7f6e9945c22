"""What clients of Cohere send to /v2/embed and read back."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from nearfar.serve.shapes import Count, Shape, Texts

EmbeddingType = Literal["float", "base64", "binary", "ubinary"]


class TextContent(Shape):
    """A part of an input: text alone."""

    type: Literal["text"]
    text: Annotated[str, Field(min_length=1)]


class EmbedInput(Shape):
    """One input in parts, which are joined by a line break."""

    content: Annotated[list[TextContent], Field(min_length=1, fail_fast=True)]


class CohereEmbedRequest(Shape):
    """Texts to embed."""

    model: str | None = Field(None, description="One of /v1/models; none: the default.")
    input_type: str = Field(description="search_query or search_document, or as the card names it.")
    texts: Texts | None = None
    inputs: Annotated[list[EmbedInput], Field(min_length=1, fail_fast=True)] | None = Field(
        None, description="In place of texts."
    )
    embedding_types: Annotated[list[EmbeddingType], Field(fail_fast=True)] | None = Field(
        None, description="float unless said."
    )
    output_dimension: Count | None = Field(
        None, description="Fewer numbers, where the model allows it."
    )
    max_tokens: Count | None = Field(None, description="Of each text, where the model reads more.")
    truncate: Literal["NONE", "START", "END"] | None = Field(
        None, description="What a text that is too long loses; NONE: it is refused."
    )


class Version(BaseModel):
    """Which of Cohere's formats an answer has."""

    version: str
    is_experimental: bool


class Meta(BaseModel):
    """What was counted."""

    api_version: Version
    billed_units: dict[str, int]


class Embeddings(BaseModel):
    """The vectors in each kind of number that was asked for."""

    float: list[list[Any]] | None = None
    base64: list[str] | None = None
    binary: list[list[int]] | None = None
    ubinary: list[list[int]] | None = None


class CohereEmbedAnswer(BaseModel):
    """The vectors of all texts, in their order."""

    id: str
    response_type: Literal["embeddings_by_type"]
    embeddings: Embeddings
    texts: list[str]
    meta: Meta
