"""What a run learns from: one dataset or several, each with a loss, prompts and share of its own.

Every batch is of one dataset. Which one, and which of its batches, is a function of the seed and
the step, so a run can go on anywhere at once.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.data.dataset import Dataset
from nearfar.errors import BadSetting
from nearfar.files import whole_file
from nearfar.fingerprint import content_id, fingerprint
from nearfar.losses import LossSettings, RerankingLossSettings
from nearfar.losses.named import PAIRWISE, SCORED
from nearfar.model.encoder import Encoder
from nearfar.model.tokens import TextToTokens
from nearfar.progress import Progress, silent
from nearfar.training.batch import Batch
from nearfar.training.batches import Batches
from nearfar.training.order import Floats
from nearfar.training.settings import Training
from nearfar.training.store import ROLES, TokenStore, contents_of, open_store

Ints = npt.NDArray[np.int64]
Vectors = npt.NDArray[np.float32]
_NEGATIVES = 4  # that a reranker reads with a pair, unless said
_LIST = 8  # scored documents beside the best of a query, unless said


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One dataset, and how it is learned from."""

    dataset: Dataset
    loss: LossSettings | RerankingLossSettings = field(default_factory=LossSettings)
    weight: float = 1.0  # of its batches: 2 means twice as many passes as the settings say
    of_first: float | None = None  # else so many batches for one of the first task
    pairs_per_step: int | None = None  # None: as the settings say
    query_prompt: str | None = None  # None: the model's own
    document_prompt: str | None = None
    teacher: Encoder | None = None  # whose vectors of the same texts the loss looks at
    # A curriculum: how difficult each known pair of the store is, so that the first pass leans
    # to easy ones first; for example one minus the cosines of a base model.
    difficulty: Callable[[TokenStore], Floats] | None = None

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
        for place, one in enumerate(self.tasks):
            if one.of_first is not None:
                counts[place] = max(round(one.of_first * counts[0]), 1)
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
                **_drawing(task, store, settings),
                pairs_per_step=task.pairs_per_step,
                difficulty=None if task.difficulty is None else task.difficulty(store),
                groups=_groups(task.dataset, store, settings.together_by),
                teacher=teacher_vectors(folder, task, store, tokens, progress),
            )
        )
    if settings.together_by is not None and all(batches.groups is None for batches in found):
        raise BadSetting(
            f"training.together_by names the field {settings.together_by!r}, but no training "
            "query has it. `nearfar check` lists the fields there are."
        )
    return Course(tasks, found, settings)


def teacher_vectors(
    folder: Path, task: Task, store: TokenStore, tokens: TextToTokens, progress: Progress
) -> Vectors | None:
    """Return the teacher's vector of each row, mapped from disk; made unless it is there."""
    if task.teacher is None:
        return None
    name = fingerprint({"store": store.name, "space": task.teacher.space.fingerprint})
    path = folder / f"teacher-{name}.npy"
    if not path.is_file():
        texts = list(contents_of(task.dataset, task.tokens(tokens)))
        found = np.empty((len(texts), task.teacher.space.dim), dtype=np.float32)
        for role in ROLES:
            rows = [row for row, (theirs, _) in enumerate(texts) if theirs == role]
            contents = [texts[row][1] for row in rows]
            found[rows] = task.teacher.encode(contents, role, progress=progress).numpy()
        with whole_file(path) as part, part.open("wb") as file:
            np.save(file, found)
    vectors: Vectors = np.load(path, mmap_mode="r")
    return vectors


def _drawing(task: Task, store: TokenStore, settings: Training) -> dict[str, Any]:
    """Return which pairs batches draw, and what joins them, as the task's loss needs it."""
    if isinstance(task.loss, LossSettings):
        if task.loss.name in SCORED and store.scored:
            return {"scored": True, "negatives_unless_said": _LIST}
        # A loss of single pairs learns from a 0 as from any grade; others find answers.
        return {"every_judgment": task.loss.name in PAIRWISE}
    if task.loss.needs_teacher:
        return {"scored": True, "negatives_unless_said": _LIST}
    asked = settings.strangers_per_query
    return {
        "negatives_unless_said": _NEGATIVES,
        "strangers": _NEGATIVES if asked is None else asked,
        "fill_up": asked is None,
    }


def _groups(dataset: Dataset, store: TokenStore, field_name: str | None) -> Ints | None:
    """Return a number for the value of a field of each query's row; those without share one."""
    values = {"": 0}
    if field_name is None:
        return None
    row_of = {int(store.content[row]): row for row in np.unique(store.known.query)}
    groups = np.zeros(len(store), dtype=np.int64)
    for query in dataset.queries():
        row = row_of.get(int(content_id(query.content)[:16], 16))
        value = query.fields.get(field_name)
        if row is not None and value is not None:
            groups[row] = values.setdefault(str(value), len(values))
    return groups if len(values) > 1 else None
