"""A dataset of ours as an offline retrieval task of `mteb`, with a subset for each cohort."""

import math
import re
import shutil
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import pyarrow as pa

from nearfar.data.dataset import Dataset
from nearfar.data.grades import whole_grade
from nearfar.errors import BadSetting, require
from nearfar.evaluation.cohorts import cohorts_in, cohorts_of
from nearfar.evaluation.embedded import Task, read_task
from nearfar.fingerprint import content_id
from nearfar.interop.mteb_models import require_mteb
from nearfar.records import Query, Split

if TYPE_CHECKING:
    from mteb.abstasks import AbsTaskRetrieval
    from mteb.abstasks.task_metadata import TaskMetadata

EVERYONE = "default"  # the subset of a task without cohorts, as `mteb` calls it
UNKNOWN = "und-Zyyy"  # ISO 639-3 and 15924: a language that nobody named, in any script


class Corpus:
    """All documents of a dataset as one 🤗 dataset, which lies on disk and goes with this."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset

    @cached_property
    def rows(self) -> Any:
        """Columns id and text, memory-mapped; written when they are first asked for."""
        import datasets

        folder = Path(tempfile.mkdtemp(prefix="nearfar-mteb-"))
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        path = folder / "corpus.arrow"
        schema = pa.schema([("id", pa.string()), ("text", pa.string())])
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, schema) as writer:
            for batch in self._dataset.batches("documents", ["id", "content"]):
                columns = [batch[name].cast(pa.string()) for name in ("id", "content")]
                writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))
        return datasets.Dataset.from_file(str(path))


def dataset_task(
    dataset: Dataset,
    *,
    split: Split = "test",
    cohort: str | None = None,
    name: str | None = None,
    language: str = UNKNOWN,
    corpus: Corpus | None = None,
) -> "AbsTaskRetrieval":
    """Return a split of a dataset as a task that `mteb.evaluate` runs without the network.

    Every document of the dataset is in the corpus. The queries are those with an answer. Grades
    become whole numbers, an answer no less than 1; a pair that is called neither is left out.
    `dataset_revision` of its results is the digest of the dataset.

    Args:
        dataset: where it comes from.
        split: whose judgments count.
        cohort: a field such as query.language or document.kind, a derived one, a crossing or an
            expression, as in evaluation.cohorts. Its values become subsets, those of fewer than 20
            queries together one, `other`. `mteb` sums a task up by the mean over its subsets, each
            counted alike. None: one subset with all queries.
        name: of the task and of the file of its results. Default: the folder's name; with a
            cohort, `-by-` and its name follow.
        language: of the texts, such as deu-Latn; `mteb` wants to be told.
        corpus: of the same dataset, shared with other tasks: our search embeds it for all of them
            once. None: one of its own.

    Raises:
        BadRecord: the split has no query with an answer.
        BadSetting: `mteb` is not installed or does not know the language, or there is no such
            cohort.
    """
    require_mteb()
    from mteb.abstasks import AbsTaskRetrieval

    task = read_task(dataset, split)
    members = {EVERYONE: task.queries}
    if cohort is not None:
        members = _members(dataset, task, cohort)
    title = safe_name(name or dataset.folder.resolve().name)
    if cohort is not None:
        title = f"{title}-by-{_cohort_name(cohort)}"
    described = _metadata(dataset, split, title, language, tuple(members) if cohort else None)
    shared = corpus or Corpus(dataset)

    class DatasetTask(AbsTaskRetrieval):
        """One dataset; made here since what it derives from is there only with `mteb`."""

        metadata = described  # of the class: `mteb` takes it from the task as it unloads the data
        data_loaded: bool

        def load_data(self, *_: Any, **__: Any) -> None:
            if self.data_loaded:
                return
            self.dataset = {
                subset: {split: _asked(shared.rows, queries, task)}
                for subset, queries in members.items()
            }
            self.data_loaded = True

    return DatasetTask()


def safe_name(name: str) -> str:
    """Return a name that can be a file's: letters, digits, dots, dashes and underscores stay."""
    return re.sub(r"[^\w.-]+", "_", name)


def _cohort_name(cohort: str) -> str:
    """Return a name for files; two expressions have two, though `<` and `>` cannot be in either."""
    fields = re.fullmatch(r"[\w.-]+( & [\w.-]+)*", cohort)
    return safe_name(cohort) if fields else f"{safe_name(cohort)}-{content_id(cohort)[:8]}"


def _metadata(
    dataset: Dataset, split: Split, name: str, language: str, subsets: Sequence[str] | None
) -> "TaskMetadata":
    from mteb.abstasks.task_metadata import TaskMetadata
    from mteb.languages import check_language_code
    from mteb.types import Licenses

    try:
        check_language_code(language)
    except ValueError as error:
        raise BadSetting(
            f"language: expected a code of ISO 639-3 and one of ISO 15924, such as deu-Latn or "
            f"{UNKNOWN} (not said), found {language!r}."
        ) from error
    known = {known for part in get_args(Licenses) for known in get_args(part) or (part,)}
    licence = str(dataset.manifest.get("licence", "")).lower()
    return TaskMetadata(
        name=name,
        description=f"The {split} split of {dataset.folder.resolve().name}, a nearfar dataset.",
        dataset={"path": str(dataset.folder.resolve()), "revision": dataset.digest},
        type="Retrieval",
        category="t2t",
        modalities=["text"],
        eval_splits=[split],
        eval_langs=[language] if subsets is None else {name: [language] for name in subsets},
        main_score="ndcg_at_10",
        license=licence if licence in known else None,
        is_public=False,
    )


def _members(dataset: Dataset, task: Task, cohort: str) -> dict[str, tuple[Query, ...]]:
    """Return the queries of each value of a field, the largest cohort first."""
    found = cohorts_of(dataset, task, (cohort,), key="cohort")
    require(len(found) == 1, "cohort", f"one field, not {len(found)}", cohort)
    return {
        value: tuple(task.queries[place] for place in places)
        for _, value, places in cohorts_in(found)
    }


def _asked(corpus: Any, queries: Sequence[Query], task: Task) -> Any:
    """Return what `mteb` asks for of a subset."""
    import datasets

    columns = {"id": [q.id for q in queries], "text": [q.content for q in queries]}
    return {
        "corpus": corpus,
        "queries": datasets.Dataset.from_dict(columns),
        "relevant_docs": {query.id: _grades(task.judged[query.id]) for query in queries},
        "top_ranked": None,
    }


def _grades(judged: Mapping[str, float]) -> dict[str, int]:
    """Return whole numbers, as trec_eval wants them and our metrics round them."""
    return {id_: whole_grade(grade) for id_, grade in judged.items() if not math.isnan(grade)}
