"""Datasets, indexes and reports written again without some of their rows, whole or not at all."""

import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nearfar.data import tables
from nearfar.data.rejects import REJECTS
from nearfar.data.writer import write_dataset
from nearfar.errors import BadRecord
from nearfar.files import whole_file, whole_folder
from nearfar.lineage.holdings import names_any, tables_of
from nearfar.lineage.matching import Held, Matcher, dropped, isin
from nearfar.lineage.needles import Needles
from nearfar.lineage.parents import FORGOTTEN, parents_of
from nearfar.lineage.workspace import Place
from nearfar.search.documents_file import write_documents
from nearfar.search.index import LEXICAL
from nearfar.search.lexical_file import write_lexical
from nearfar.search.vectors_file import open_vectors, write_vectors

_ROWS_PER_CHUNK = 2_048
_DATASET = ("documents.parquet", "queries.parquet", "judgments.parquet", "manifest.json")
_INDEX = ("documents.parquet", "vectors.safetensors", "index.json", LEXICAL)


def rewrite_dataset(
    held: Held,
    matcher: Matcher,
    request: str,
    *,
    clean: Callable[[Path], bool],
    texts: Collection[str] = (),
) -> bool:
    """Write a dataset again without what it holds of a request; splits and origins stay.

    If no judgment is left, the dataset goes. What else stands in its folder stays as it is, but
    for rejected rows that hold something of it.

    Args:
        held: the dataset, and what it holds.
        matcher: tells which judgments are meant by their own origin.
        request: its name, which is all that the manifest says of it.
        clean: tells of the file of rejected rows whether it may stay.
        texts: what may stand in the manifest too: prompts show examples.

    Returns:
        Whether a dataset is left.

    Raises:
        BadFile: a table is damaged, or there is no room.
    """
    dataset, folder = held.dataset, held.dataset.folder.resolve()
    if dataset.count("judgments") <= held.judgments:
        _take_out(folder, (*_DATASET, REJECTS))
        return False
    needles = Needles(texts)
    parents = [*(_blotted(p, texts, needles) for p in parents_of(dataset)), _parent(held, request)]
    licence = str(dataset.manifest.get("licence", "unknown"))
    with tempfile.TemporaryDirectory(
        prefix=f".{folder.name}.", suffix=".part", dir=folder.parent
    ) as staging:
        fresh = Path(staging) / "dataset"
        with write_dataset(fresh, licence=licence, parents=parents) as writer:
            for batch in dataset.batches("documents"):
                kept = batch.filter(pc.invert(isin(batch["id"], held.documents)))
                for document in tables.documents(kept):
                    writer.add(document)
            for batch in dataset.batches("queries"):
                kept = batch.filter(pc.invert(isin(batch["id"], held.queries)))
                for query in tables.queries(kept):
                    writer.add(query)
            for batch in dataset.batches("judgments"):
                gone = dropped(batch, matcher, held, Counter())
                for judgment in tables.judgments(batch.filter(pc.invert(gone))):
                    writer.add(judgment)
        with whole_folder(folder, replace=True) as part:
            for file in fresh.iterdir():
                file.rename(part / file.name)
            rejects = folder / REJECTS
            drop = rejects.is_file() and not clean(rejects)
            _carry(_others(folder, (*_DATASET, REJECTS) if drop else _DATASET), part)
    return True


def _contents(path: Path) -> Iterator[str]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(_ROWS_PER_CHUNK, columns=["content"]):
            yield from batch["content"].to_pylist()


def _blotted(value: Any, texts: Collection[str], needles: Needles) -> Any:
    """Return what a manifest says, without the strings that hold one of the texts."""
    if isinstance(value, dict):
        return {key: _blotted(one, texts, needles) for key, one in value.items()}
    if isinstance(value, list):
        return [_blotted(one, texts, needles) for one in value]
    if isinstance(value, str) and (value in texts or needles.found_in([value.encode()])):
        return "(forgotten)"
    return value


def _others(folder: Path, own: Collection[str]) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.name not in own)


def _take_out(folder: Path, own: Collection[str]) -> None:
    """Remove at once what is nearfar's in a folder, and the folder if nothing else is in it."""
    others = _others(folder, own)
    if not others:
        remove(folder)
        return
    with whole_folder(folder, replace=True) as part:
        _carry(others, part)


def _carry(others: Collection[Path], part: Path) -> None:
    """Put other people's files and folders into the folder that takes the place of theirs."""
    for other in others:
        if other.is_dir() and not other.is_symlink():
            shutil.copytree(other, part / other.name, symlinks=True, copy_function=_link)
        else:
            _link(other, part / other.name)


def _link(path: str | Path, place: str | Path) -> None:
    """Give a file a second name: a copy of the weights of a run would take long, and room."""
    try:
        os.link(path, place, follow_symlinks=False)
    # OSError: not every file system can. NotImplementedError: nor every system, for a link itself.
    except (OSError, NotImplementedError):
        shutil.copy2(path, place, follow_symlinks=False)


def _parent(held: Held, request: str) -> dict[str, Any]:
    removed = {"documents": len(held.documents), "queries": len(held.queries),
               "judgments": held.judgments,
               "train_judgments": held.splits["train"]}  # fmt: skip
    return {
        "kind": FORGOTTEN,
        "path": str(held.dataset.folder),
        "digest": held.dataset.digest,
        "request": request,
        "removed": removed,
    }


def rewrite_index(index: Place, ids: Collection[str]) -> bool:
    """Write an index again without some documents; the other vectors are copied, not computed.

    What else stands in its folder stays as it is.

    Returns:
        Whether an index is left.

    Raises:
        BadFile: the index is damaged, or there is no room.
    """
    folder = index.folder.resolve()
    vectors = open_vectors(folder / "vectors.safetensors")
    with pq.ParquetFile(folder / "documents.parquet") as file:
        masks = [
            pc.invert(isin(batch["id"], set(ids)))
            for batch in file.iter_batches(_ROWS_PER_CHUNK, columns=["id"])
        ]
        count = sum(mask.sum().as_py() or 0 for mask in masks)
        if not count:
            _take_out(folder, _INDEX)
            return False
        with whole_folder(folder, replace=True) as part:
            storage = index.facts["storage"]
            with (
                write_vectors(part / "vectors.safetensors", (count, vectors.shape[1]), storage)
                as add_vectors,
                write_documents(part / "documents.parquet") as add_documents,
            ):  # fmt: skip
                start = 0
                for batch in file.iter_batches(_ROWS_PER_CHUNK):
                    keep = pc.invert(isin(batch["id"], set(ids)))
                    rows = pc.indices_nonzero(keep).to_numpy().astype("int64") + start
                    if len(rows):
                        add_vectors(vectors[rows])
                        add_documents(batch.filter(keep))
                    start += batch.num_rows
            facts = {**index.facts, "count": count}
            text = json.dumps(facts, indent=2, ensure_ascii=False)
            (part / "index.json").write_text(text + "\n", encoding="utf-8")
            if (folder / LEXICAL).is_dir():
                with suppress(BadRecord):  # where no word is left, the index of words goes
                    write_lexical(part / LEXICAL, lambda: _contents(part / "documents.parquet"))
            _carry(_others(folder, _INDEX), part)
    return True


def rewrite_report(report: Place, ids: Collection[str]) -> None:
    """Take queries, hits and cohorts out of a report; its page, which shows texts, goes.

    The means stay as they were measured: they hold no row.
    """
    folder, ids = report.folder, set(ids)
    cohorts = report.facts.get("cohorts")
    if isinstance(cohorts, list) and any(_named(c, ids) for c in cohorts):
        facts = {**report.facts, "cohorts": [c for c in cohorts if not _named(c, ids)]}
        with whole_file(folder / "report.json") as part:
            text = json.dumps(facts, indent=1, ensure_ascii=False)
            part.write_text(text + "\n", encoding="utf-8")
    (folder / "report.html").unlink(missing_ok=True)
    for path in tables_of(report):
        with (
            pq.ParquetFile(path) as file,
            whole_file(path) as part,
            pq.ParquetWriter(part, file.schema_arrow) as writer,
        ):
            for batch in file.iter_batches(_ROWS_PER_CHUNK):
                kept = batch.filter(pc.invert(isin(batch["query_id"], ids)))
                writer.write_batch(_without_names(kept, ids))


def _named(cohort: Any, ids: Collection[str]) -> bool:
    return isinstance(cohort, dict) and cohort.get("value") in ids


def _without_names(batch: pa.RecordBatch, ids: Collection[str]) -> pa.RecordBatch:
    if not any(names_any(batch, ids)):
        return batch

    def cleaned(name: str, column: pa.Array) -> pa.Array:
        values = column.to_pylist()
        if name.endswith("hits"):
            return pa.array([[one for one in hits if one not in ids] for hits in values],
                            column.type)  # fmt: skip
        if name == "cluster":  # a kept query hung together with what is gone
            return pa.array(["forgotten" if one in ids else one for one in values], column.type)
        return column

    columns = map(cleaned, batch.schema.names, batch.columns)
    return pa.RecordBatch.from_arrays(list(columns), schema=batch.schema)


def remove(path: Path) -> None:
    """Take a file or a folder away at once: a folder loses its name before its files."""
    if not path.is_dir():
        path.unlink(missing_ok=True)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".old", dir=path.parent))
    path.rename(old / ".gone")
    shutil.rmtree(old)
