"""What clients of OpenAI and Voyage send to /v1/embeddings and read back."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

_TEXTS_SCHEMA = {
    "anyOf": [
        {"type": "string", "minLength": 1},
        {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1},
    ],
}


def _texts(value: Any) -> list[str]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not texts:
        raise PydanticCustomError("no_texts", "expected a text, or a list of 1 text or more")
    for place, text in enumerate(texts):
        if isinstance(text, int | list):
            raise PydanticCustomError(
                "token_ids_not_supported",
                "expected texts, found token ids. They are of another model's vocabulary, and "
                "would be embedded as nonsense. Send texts: with langchain, "
                "OpenAIEmbeddings(check_embedding_ctx_length=False)",
            )
        if not isinstance(text, str) or not text:
            kind = "an empty text" if text == "" else "something else"
            raise PydanticCustomError(
                "no_text", "expected a text, found {kind} at place {place}",
                {"kind": kind, "place": place},
            )  # fmt: skip
    return texts


# Texts, one alone or several; each with at least one character.
Texts = Annotated[list[str], PlainValidator(_texts), WithJsonSchema(_TEXTS_SCHEMA)]
# A whole number above 0, never a text or a truth that looks like one.
Count = Annotated[int, Field(gt=0, strict=True, le=2**31 - 1)]


class Shape(BaseModel):
    """What a client sends; fields that we do not know are let be."""

    model_config = ConfigDict(extra="ignore", protected_namespaces=())


class EmbeddingRequest(Shape):
    """What OpenAI's clients send, and Voyage's; other fields are tolerated."""

    input: Texts = Field(description="Texts. Token ids are refused: they mean other words here.")
    model: str | None = Field(None, description="One of /v1/models; none: the default.")
    encoding_format: Literal["float", "base64"] | None = Field(
        None, description="base64: little-endian float32, or the bytes of output_dtype."
    )
    dimensions: Count | None = Field(None, description="Fewer numbers, where the model allows it.")
    output_dimension: Count | None = Field(None, description="As dimensions, in Voyage's words.")
    output_dtype: Literal["float", "binary", "ubinary"] | None = Field(
        None, description="binary: the signs, eight to a byte, less 128; ubinary: not less."
    )
    input_type: str | None = Field(None, description="query or document, or as the card names it.")
    prompt_name: str | None = Field(None, description="As input_type, in TEI's words.")
    task: str | None = Field(None, description="As input_type, in Jina's words.")
    truncation: bool | None = Field(None, description="false: a text that is too long is refused.")
    user: str | None = Field(None, description="Not used.")


class Usage(BaseModel):
    """How many tokens were read."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingRow(BaseModel):
    """One vector."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str = Field(description="Numbers, or base64 where that was asked.")


class EmbeddingAnswer(BaseModel):
    """The vectors of all texts, in their order."""

    object: Literal["list"]
    model: str
    data: list[EmbeddingRow]
    usage: Usage


class ModelRow(BaseModel):
    """One model that can be asked for."""

    id: str
    object: Literal["model"]
    created: int = Field(description="Seconds since 1970, when the server began to offer it.")
    owned_by: str
    kind: Literal["embedding", "rerank"]
    space: str | None = Field(description="The fingerprint of the space of its vectors.")
    dimensions: list[int] = Field(description="How many numbers its vectors may have.")
    max_tokens: int | None = Field(description="It reads so many tokens of a text, or a pair.")


class ModelsAnswer(BaseModel):
    """All models that can be asked for."""

    object: Literal["list"]
    data: list[ModelRow]
