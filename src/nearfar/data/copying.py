"""Writes the records of a dataset again, for one that is to have more of them."""

from collections.abc import Callable

from nearfar.data.dataset import Dataset
from nearfar.data.writer import DatasetWriter
from nearfar.records import Judgment


def copy_records(
    dataset: Dataset,
    writer: DatasetWriter,
    *,
    keep: Callable[[Judgment], bool] = lambda judgment: True,
) -> None:
    """Add all documents and queries of a dataset to a writer, and the judgments that are kept."""
    for document in dataset.documents():
        writer.add_document(document)
    for query in dataset.queries():
        writer.add_query(query)
    for judgment in dataset.judgments():
        if keep(judgment):
            writer.add_judgment(judgment)
