"""What clients send to /documents and read back."""

from typing import Annotated, Any

from pydantic import BaseModel, Field

from nearfar.serve.search_shapes import Name, Strict, Value

# As long as every store takes a key, in any script; PostgreSQL has room for 2,700 bytes.
DocumentId = Annotated[str, Field(min_length=1, max_length=512)]
_MOST_FIELDS = 256
_LONG = 2_000  # characters of what is not searched


class NewDocument(Strict):
    """A document without its id."""

    content: Annotated[str, Field(min_length=1)]
    fields: Annotated[dict[Name, Value], Field(max_length=_MOST_FIELDS)] = Field(
        {}, description="By those that the index was made with, searches can be narrowed."
    )
    group: Annotated[str, Field(max_length=_LONG)] = Field(
        "", description="Page, article or module that it is a part of."
    )
    source: Annotated[str, Field(max_length=_LONG)] = Field(
        "", description="Enough to find it again where it came from."
    )


class DocumentShape(NewDocument):
    """A document."""

    id: DocumentId


class UpsertRequest(Strict):
    """Documents to put in, each in place of the one with its id; of one id the last counts."""

    documents: Annotated[list[DocumentShape], Field(min_length=1, fail_fast=True)]
    index: Name | None = Field(None, description="None: the server's default.")


class PutRequest(NewDocument):
    """One document to put in, in place of the one with its id."""

    index: Name | None = Field(None, description="None: the server's default.")


class UpsertAnswer(BaseModel):
    """They are in the index, and will be after a crash, as far as its store promises."""

    index: str
    version: str
    embedded: int = Field(description="New or changed.")
    unchanged: int = Field(description="Stood there already, or again in the same request.")


class DeleteRequest(Strict):
    """Documents to take out."""

    ids: Annotated[list[DocumentId], Field(min_length=1, fail_fast=True)]
    index: Name | None = Field(None, description="None: the server's default.")


class DeleteAnswer(BaseModel):
    """They are gone."""

    index: str
    version: str
    deleted: int = Field(description="How many of them were there.")


class FetchAnswer(BaseModel):
    """A document as it was put in."""

    index: str
    version: str
    id: str
    content: str
    fields: dict[str, Any]
    group: str
    source: str
