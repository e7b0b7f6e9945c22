"""An Index: documents, their vectors, and the space the vectors live in, in one folder.

Shapes: C documents, D dimensions.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from jaxtyping import Float
from torch import Tensor

import nearfar
from nearfar.data.dataset import Dataset
from nearfar.errors import BadFile, BadSetting
from nearfar.files import whole_folder
from nearfar.model.encoder import Encoder
from nearfar.model.space import EmbeddingSpace
from nearfar.progress import Progress, silent
from nearfar.search.documents_file import StoredDocuments, write_documents
from nearfar.search.lexical_file import LexicalIndex, write_lexical
from nearfar.search.vectors_file import STORAGES, Storage, open_vectors, write_vectors
from nearfar.vectors.similarity import unit

FORMAT = 1
LEXICAL = "lexical"  # the folder beside the vectors, of an index that knows words too
_ROWS_PER_CHUNK = 2_048  # texts embedded at once: what stands in memory while an index is built
_AGAIN = "Build the index again with `nearfar index`."


@dataclass(frozen=True, slots=True)
class Index:
    """Row i of `vectors` is document i, scaled to length 1: a dot product is a cosine.

    That holds also for a space whose vectors are not normalised: lengths are not kept.
    """

    folder: Path
    space: EmbeddingSpace
    vectors: Float[Tensor, "C D"]  # memory-mapped; float32, or float16 rounded from it
    documents: StoredDocuments
    facts: Mapping[str, Any]  # index.json as it stands

    def __len__(self) -> int:
        return len(self.vectors)


def build_index(
    encoder: Encoder,
    dataset: Dataset,
    folder: Path,
    *,
    storage: Storage = "float32",
    lexical: bool = False,
    progress: Progress = silent,
    replace: bool = False,
) -> Index:
    """Embed every document of a dataset and write the index; it appears whole or not at all.

    Args:
        encoder: what turns the documents, and later the queries, into vectors.
        dataset: its documents are embedded in the order of its table.
        folder: where the index will stand.
        storage: float16 takes half the room, moves a cosine by less than 0.001, and is
            slower to search on a CPU, which computes in float32.
        lexical: whether words can be searched too (BM25), for candidates that meaning misses.
        progress: told after every chunk of documents.
        replace: take the place of an index that stands there.

    Raises:
        BadFile: the folder exists and `replace` is False, or the dataset is damaged.
        BadModel: the encoder returned a vector that cannot be stored.
        BadRecord: words are to be searched, and no document holds one.
        BadSetting: the storage is unknown.
    """
    if storage not in STORAGES:
        raise BadSetting(f"storage must be one of {', '.join(STORAGES)}, got {storage!r}.")
    _require_index_or_nothing(folder)
    shape = (dataset.count("documents"), encoder.space.dim)
    with whole_folder(folder, replace=replace) as part:
        with (
            write_vectors(part / "vectors.safetensors", shape, storage) as add_vectors,
            write_documents(part / "documents.parquet") as add_documents,
        ):
            done = 0
            for batch in dataset.batches("documents"):
                for start in range(0, len(batch), _ROWS_PER_CHUNK):
                    chunk = batch.slice(start, _ROWS_PER_CHUNK)
                    add_vectors(_vectors(encoder, chunk))
                    add_documents(chunk)
                    done += len(chunk)
                    progress("embed documents", done, shape[0])
        if lexical:
            write_lexical(part / LEXICAL, lambda: contents(dataset), progress=progress)
        facts = _facts(encoder, dataset, storage)
        text = json.dumps(facts, indent=2, ensure_ascii=False)
        (part / "index.json").write_text(text + "\n", encoding="utf-8")
    return open_index(folder)


def _require_index_or_nothing(folder: Path) -> None:
    # `replace` removes what stands there: never a folder that is something else.
    if folder.exists() and not (folder / "index.json").is_file():
        raise BadFile(
            f"{folder}: expected an index or nothing, found something else. "
            "Name another folder for the index."
        )


def _vectors(encoder: Encoder, chunk: pa.RecordBatch) -> Float[Tensor, "C D"]:
    return unit(encoder.encode(chunk["content"].to_pylist(), "document"))


def contents(dataset: Dataset) -> Iterator[str]:
    """Yield the texts of all documents, in the order of the rows of an index."""
    for batch in dataset.batches("documents", ["content"]):
        yield from batch["content"].to_pylist()


def _facts(encoder: Encoder, dataset: Dataset, storage: Storage) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "nearfar": nearfar.__version__,
        "similarity": "cosine",
        "storage": storage,
        # Not part of the promise of an Encoder; kept where one says how it computed.
        "precision": str(getattr(encoder, "precision", "")).removeprefix("torch."),
        "count": dataset.count("documents"),
        "dataset": {"path": str(dataset.folder), "digest": dataset.digest},
        "space": encoder.space.to_json(),
    }


def open_index(folder: Path) -> Index:
    """Open an index; its vectors and documents stay on disk until they are looked at.

    Raises:
        BadFile: the folder is missing or not an index, a file of it is missing, damaged or
            cut short, or its files do not belong together.
    """
    facts = _read_facts(folder)
    space = EmbeddingSpace.from_json(facts["space"], where=f"{folder}/index.json")
    vectors = open_vectors(folder / "vectors.safetensors")
    documents = StoredDocuments(folder / "documents.parquet")
    for what, expected, found in (
        ("vectors", facts["count"], len(vectors)),
        ("documents", facts["count"], len(documents)),
        ("dimensions", space.dim, vectors.shape[1]),
        ("storage", STORAGES.get(facts["storage"]), vectors.dtype),
    ):
        if expected != found:
            raise BadFile(
                f"{folder}: the index says {what}: {expected}, and its files hold {found}. "
                f"They do not belong together. {_AGAIN}"
            )
    return Index(folder, space, vectors, documents, facts)


def open_lexical(index: Index) -> LexicalIndex:
    """Open the words of an index; its vectors need them only for a search that fuses both.

    Raises:
        BadFile: it was built without, or they are damaged, or of other documents.
    """
    return LexicalIndex(index.folder / LEXICAL, len(index))


def _read_facts(folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        raise BadFile(f"{folder}: no such index folder. Build one with `nearfar index`.")
    path = folder / "index.json"
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadFile(
            f"{folder}: not an index, since its index.json cannot be read ({error}). {_AGAIN}"
        ) from error
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        found = facts.get("format") if isinstance(facts, dict) else facts
        raise BadFile(f"{path}: expected format {FORMAT}, found {found!r}. {_AGAIN}")
    missing = [name for name in ("count", "storage", "space") if name not in facts]
    if missing or not isinstance(facts["space"], dict):
        raise BadFile(f"{path}: {', '.join(missing) or 'space'} is missing. {_AGAIN}")
    return facts
