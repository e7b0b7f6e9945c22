"""What a run learns from: one dataset or several, each with a loss, prompts and share of its own.

Every batch is of one dataset. Which one, and which of its batches, is a function of the seed and
the step, so a run can go on anywhere at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nearfar.data.dataset import Dataset
from nearfar.errors import BadSetting
from nearfar.fingerprint import content_id
from nearfar.losses import LossSettings
from nearfar.model.tokens import TextToTokens
from nearfar.progress import Progress, silent
from nearfar.training.batch import Batch
from nearfar.training.batches import Batches
from nearfar.training.settings import Training
from nearfar.training.store import TokenStore, open_store

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One dataset, and how it is learned from."""

    dataset: Dataset
    loss: LossSettings = field(default_factory=LossSettings)
    weight: float = 1.0  # of its batches: 2 means twice as many passes as the settings say
    pairs_per_step: int | None = None  # None: as the settings say
    query_prompt: str | None = None  # None: the model's own
    document_prompt: str | None = None
    together_by: str | None = None  # a field of queries of which a batch holds one value only

    def __post_init__(self) -> None:
        if not self.weight > 0:
            raise BadSetting(f"the weight of a task must be above 0, got {self.weight}.")

    def tokens(self, tokens: TextToTokens) -> TextToTokens:
        """Return the contract from text to tokens with the prompts of this task."""
        query, document = self.query_prompt, self.document_prompt
        return replace(
            tokens,
            query_prompt=tokens.query_prompt if query is None else query,
            document_prompt=tokens.document_prompt if document is None else document,
        )


@dataclass(slots=True)
class Course:
    """The batches of all tasks in one order."""

    tasks: Sequence[Task]
    batches: Sequence[Batches]
    settings: Training
    _task: Ints = field(init=False, repr=False)  # of each step
    _place: Ints = field(init=False, repr=False)  # of each step among those of its task

    def __post_init__(self) -> None:
        pairs = zip(self.tasks, self.batches, strict=True)
        counts = [max(round(task.weight * batches.steps), 1) for task, batches in pairs]
        order = np.repeat(np.arange(len(counts)), counts)
        np.random.default_rng([self.settings.seed, 2]).shuffle(order)
        order = order[: self.settings.max_steps]
        self._task = order
        self._place = np.empty_like(order)
        for task in range(len(counts)):
            mine = order == task
            self._place[mine] = np.arange(mine.sum())

    @property
    def steps(self) -> int:
        """How many batches the run has."""
        return len(self._task)

    @property
    def stores(self) -> list[TokenStore]:
        """The tokens of each task."""
        return [batches.store for batches in self.batches]

    def __getitem__(self, step: int) -> tuple[int, Batch]:
        task = int(self._task[step])
        return task, self.batches[task][int(self._place[step])]


def open_course(
    folder: Path,
    tasks: Sequence[Task],
    settings: Training,
    tokens: TextToTokens,
    progress: Progress = silent,
) -> Course:
    """Make or find the token stores of all tasks.

    Raises:
        BadRecord: a dataset has nothing to learn from.
        BadSetting: no query has the field that batches are to be held together by.
    """
    found = []
    for task in tasks:
        store = open_store(folder, task.dataset, task.tokens(tokens), progress=progress)
        found.append(
            Batches(
                store,
                settings,
                loss=task.loss.name,
                pairs_per_step=task.pairs_per_step,
                groups=None if task.together_by is None else _groups(task, store),
            )
        )
    return Course(tasks, found, settings)


def _groups(task: Task, store: TokenStore) -> Ints:
    """Return a number for the value of a field of each query's row; those without share one."""
    field_name, values = task.together_by, {"": 0}
    assert field_name is not None
    row_of = {int(store.content[row]): row for row in np.unique(store.known.query)}
    groups = np.zeros(len(store), dtype=np.int64)
    for query in task.dataset.queries():
        row = row_of.get(int(content_id(query.content)[:16], 16))
        value = query.fields.get(field_name)
        if row is not None and value is not None:
            groups[row] = values.setdefault(str(value), len(values))
    if len(values) == 1:
        raise BadSetting(
            f"together_by names the field {field_name!r}, but no training query of "
            f"{task.dataset.folder} has it. `nearfar check` lists the fields there are."
        )
    return groups
