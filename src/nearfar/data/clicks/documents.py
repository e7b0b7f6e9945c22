"""Where the texts of a log's documents come from: a file, a BEIR corpus, a dataset, or the log."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nearfar.data.dataset import Dataset
from nearfar.data.fields import scalar_fields
from nearfar.data.notes import Notes
from nearfar.data.rejects import REFUSE, BadRow, Rejects
from nearfar.data.rows import Row, kind_of_rows, read_rows
from nearfar.errors import BadFile
from nearfar.records import Document

_IDS = ("_id", "id", "document_id", "doc_id", "docid", "corpus_id", "url")
_TEXTS = ("text", "content", "document", "passage", "body", "contents")


def read_documents(source: Path, notes: Notes, rejects: Rejects = REFUSE) -> Iterator[Document]:
    """Yield the documents of a source; a title goes before its text, as BEIR and MTEB join them.

    Args:
        source: a file of rows with an id and a text; a folder with corpus.jsonl; a dataset.
        notes: told which fields are not kept.
        rejects: where bad rows go; counts the rows.

    Raises:
        BadFile: it is missing, damaged, or nothing of the kind.
        BadRecord: a row has no id or no text, and is not set aside.
    """
    if _is_dataset(source):
        for document in Dataset.open(source).documents():
            rejects.tally.read += 1
            yield document
        return
    for row in read_rows(documents_file(source), rejects):
        rejects.tally.read += 1
        try:
            yield _document(row, notes)
        except BadRow as error:
            rejects.take(error, row.where, row.values)


def require_documents(source: Path, rejects: Rejects) -> None:
    """Make sure, by a first look, that a source holds documents; nothing is counted.

    Raises:
        BadFile: see `read_documents`.
        BadRecord: the first row has no id or no text, and rows are not set aside.
    """
    if rejects.refusing:
        next(read_documents(source, Notes(), Rejects()), None)
    elif not _is_dataset(source):
        next(read_rows(documents_file(source), rejects), None)


def _is_dataset(source: Path) -> bool:
    return (source / "manifest.json").is_file() and not kind_of_rows(source)


def documents_file(source: Path) -> Path:
    """Return the file to read: the source, or the corpus of a BEIR folder.

    Raises:
        BadFile: the folder has no corpus.
    """
    if not source.is_dir() or kind_of_rows(source):
        return source
    for name in ("corpus.jsonl", "corpus.jsonl.gz", "corpus.parquet", "documents.parquet"):
        if (source / name).is_file():
            return source / name
    raise BadFile(
        f"{source}: expected documents, found a folder without corpus.jsonl. Name a file of rows "
        "with an id and a text, a BEIR folder or a dataset."
    )


def _document(row: Row, notes: Notes) -> Document:
    id, id_name = _first(row.values, _IDS)
    text, text_name = _first(row.values, _TEXTS)
    title = row.values.get("title")
    for what, value, names in (("id", id, _IDS), ("text", text or title, _TEXTS)):
        if not isinstance(value, str | int) or isinstance(value, bool) or not str(value).strip():
            raise BadRow(
                f"no {what}",
                f"{row.where}: expected a document with its {what} in one of {', '.join(names)}, "
                f"found {', '.join(row.values) or 'nothing'}. Rename the column or fill it in.",
            )
    content = " ".join(str(part).strip() for part in (title, text) if part)
    if "\0" in content:
        raise BadRow(
            "NUL byte",
            f"{row.where}: the document holds a NUL character, which is no text. Remove the "
            "character or the row.",
        )
    metadata = row.values.get("metadata")
    rest = {**metadata, **row.values} if isinstance(metadata, dict) else dict(row.values)
    fields = scalar_fields(rest, without={id_name, text_name, "metadata"}, notes=notes)
    return Document(id=str(id).strip(), content=content.strip(), source=row.where, fields=fields)


def _first(values: dict[str, Any], names: tuple[str, ...]) -> tuple[Any, str]:
    return next(((values[n], n) for n in names if values.get(n) not in (None, "")), (None, ""))
