"""The training run: batches in order, one step each, checks on dev, the best weights kept.

folder/tokens-.../           the token store
folder/log.jsonl             a line a step, a line a check
folder/checkpoint-000120/    where the run goes on after a stop or a crash
folder/best-000120.safetensors
folder/model/                the result: a sentence-transformers folder
"""

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from nearfar.errors import BadFile, Diverged, RankLost, Stopped
from nearfar.files import whole_folder
from nearfar.fingerprint import fingerprint
from nearfar.memory import give_back_memory, keep_memory
from nearfar.progress import Progress, silent
from nearfar.training import checkpoint, ranks
from nearfar.training.checkpoint import Progressed
from nearfar.training.course import Course, Task, open_course
from nearfar.training.diary import Diary, note_of, row_of
from nearfar.training.learner import Learner
from nearfar.training.lesson import Learned
from nearfar.training.settings import Training, learning_rate_at
from nearfar.training.trainee import Trainee, described, name_of

_STEPS_BETWEEN_TRIMS = 8  # every step would cost several percent of its time
_MOVE_NOTHING = ("memory_mb", "trackers")  # settings that a run may be gone on with changed

Check = Callable[[Any], Mapping[str, float]]  # of the model; its first score picks the best


@dataclass(frozen=True, slots=True)
class Hooks:
    """What a run calls: all of it may be left out."""

    check: Check | None = None
    progress: Progress = silent
    stop: Callable[[], bool] = field(default=lambda: False)  # asked after each step
    say: Callable[[str], None] = field(default=lambda sentence: None)  # told what goes wrong
    base_counts: bool = True  # whether the weights before the first step may be the best
    base: str = ""  # what people call the model that is trained


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """What came out."""

    model: Path
    steps: int
    best_step: int  # 0: the base was never beaten
    truncated: Mapping[str, int]  # training texts cut at the model's length, by role


def train(
    model: Trainee,
    tasks: Task | Sequence[Task],
    folder: Path,
    settings: Training,
    hooks: Hooks | None = None,
) -> TrainingResult:
    """Fine-tune a model on the train split of one dataset or several, into `folder/model`.

    The run is a function of the model, the tasks and the settings: stopped at any step and
    called again, it ends with the same weights (same machine, same number of threads). Started
    by torchrun or `accelerate launch`, the processes train one model together: with any number
    of them it is the same run, but for rounding.

    Raises:
        BadRecord: a train split has nothing to learn from.
        BadFile: the folder holds another run, or a damaged one.
        Diverged: the loss or the gradient is no longer a number.
        RankLost: another process of the run ended.
        Stopped: `hooks.stop` said so; a checkpoint was taken.
    """
    tasks = [tasks] if isinstance(tasks, Task) else list(tasks)
    hooks = hooks or Hooks()
    with ranks.together(model.device), ranks.said_if_one_is_lost():
        if ranks.rank() > 0:
            hooks = replace(hooks, progress=silent, say=lambda sentence: None)
        with ranks.first_one_first():  # which writes what the others then find
            folder.mkdir(parents=True, exist_ok=True)
            course = open_course(folder, tasks, settings, model.tokens, hooks.progress)
        keep_memory()
        run = _Run(model, course, folder, hooks)
        try:
            run.begin()
            while run.state.step < run.steps:
                run.step()
            return run.end()
        finally:
            run.diary.close()


class _Run:
    """The state of a run, and what is done with it step by step."""

    def __init__(self, model: Trainee, course: Course, folder: Path, hooks: Hooks) -> None:
        self.model, self.course, self.folder = model, course, folder
        self.settings, self.hooks = course.settings, hooks
        self.steps = -(-course.steps // self.settings.batches_per_update)
        self.diary = Diary(folder, hooks.say)
        self.base = name_of(model)
        self.first = ranks.rank() == 0
        self.learner = Learner(
            model, [task.loss for task in course.tasks], self.settings, self.steps
        )
        self.state = Progressed(run="", step=0)

    def begin(self) -> None:
        """Go on from the last checkpoint, or measure the base and take the first one."""
        run = self._name()
        self.state = Progressed(run=run, step=0)
        found = checkpoint.last_checkpoint(self.folder)
        if found is not None and found.run != run:
            raise BadFile(
                f"{self.folder}: expected the checkpoint of this run ({run}), found one of "
                f"{found.run}: its data, base model or settings were others. Name another "
                "folder, or remove this one."
            )
        ranks.wait()  # nobody may look for a checkpoint that another one takes already
        facts = {"training": asdict(self.settings), "tasks": self._tasks()}
        self.diary.begin(self.settings.trackers, facts, step=None if found is None else found.step)
        if found is None:
            self._tell_of_data()
            self.check()
            return
        self.state = found
        checkpoint.load_checkpoint(self.folder, found, self.learner.all, self.learner.optimiser)

    def step(self) -> None:
        """Take one step; check, keep and stop where it is time to."""
        try:
            with ranks.said_if_one_is_lost():
                self._step()
        except RankLost:
            if not self.settings.sharded:
                self.keep()  # the weights are those after the last whole step
            raise

    def _step(self) -> None:
        self._move()
        if self.state.step % _STEPS_BETWEEN_TRIMS == 0:
            give_back_memory()
        step = self.state.step
        stop = ranks.any_of(self.hooks.stop() or ranks.told_to_end())
        if step % self.settings.check_every(self.steps) == 0 or step == self.steps:
            self.check()
        elif stop:
            self.keep()
        if stop and step < self.steps:
            raise Stopped(
                f"Stopped after step {step} of {self.steps}; everything is kept in "
                f"{self.folder}. The same command goes on from there."
            )

    def _move(self) -> None:
        began = time.perf_counter()
        step = self.state.step
        for bits in self.learner.scale.tries:
            self.learner.scale.begin(bits)
            shown = list(self._learned(step))
            length = self.learner.update(step)
            if math.isfinite(length):
                break
        self._require_number(step, length)
        clamped = self.learner.clamp()
        self.state = replace(self.state, step=step + 1)
        row = {
            "kind": "step",
            "step": step + 1,
            **row_of(shown, self.model, time.perf_counter() - began),
            "learning_rate": learning_rate_at(step, self.steps, self.settings),
            "gradient_length": length,
            **({} if clamped is None else {"temperature_clamped": clamped}),
        }
        self.diary.write(row)
        self.hooks.progress("training", step + 1, self.steps, note_of(row))

    def _learned(self, step: int) -> Iterator[Learned]:
        """Add up the gradients of the batches of a step."""
        each = self.settings.batches_per_update
        places = range(step * each, min((step + 1) * each, self.course.steps))
        for part, at in enumerate(places):
            task, batch = self.course[at]
            store = self.course.stores[task]
            learned = self.learner.learn(step, (task, part, len(places)), batch, store)
            self._require_number(step, learned.loss)
            yield learned

    def check(self) -> None:
        """Measure dev, remember the best weights, take a checkpoint."""
        if self.hooks.check is not None:
            scores = dict(self.hooks.check(self.model))
            scores = dict(zip(scores, ranks.first_ones(list(scores.values())), strict=True))
            self.diary.write({"kind": "dev", "step": self.state.step, **scores})
            score = next(iter(scores.values()))
            counts = self.state.step > 0 or self.hooks.base_counts
            if counts and (self.state.best_score is None or score > self.state.best_score):
                self.state = replace(self.state, best_step=self.state.step, best_score=score)
                best = checkpoint.best_path(self.folder, self.state.step)
                assert best is not None
                checkpoint.save_weights(self.model.network, best)
        self.keep()

    def keep(self) -> None:
        """Take a checkpoint."""
        checkpoint.save_checkpoint(
            self.folder, self.state, self.learner.all, self.learner.optimiser
        )

    def end(self) -> TrainingResult:
        """Save the best weights as a model; the encoder holds them too."""
        ranks.wait()
        best = checkpoint.best_path(self.folder, self.state.best_step)
        if best is not None:
            checkpoint.load_weights(self.model.network, best)
        self.learner.finish(self.folder / "adapters")
        model = self.folder / "model"
        if self.first:
            with (
                checkpoint.said_if_it_cannot_be_written(model),
                whole_folder(model, replace=True) as part,
            ):
                self.model.save(part)
                (part / "nearfar.json").write_text(json.dumps(self._lineage(), indent=2) + "\n")
        checkpoint.forget(self.folder)
        ranks.wait()
        step = self.state.best_step
        truncated: dict[str, int] = {}
        for store in {id(store): store for store in self.course.stores}.values():
            for role, count in store.truncated.items():
                truncated[role] = truncated.get(role, 0) + count
        return TrainingResult(model, self.steps, self.steps if step is None else step, truncated)

    def _name(self) -> str:
        """Return the fingerprint of all that the weights at the end depend on."""
        settings = asdict(self.settings)
        facts = {
            "tasks": self._tasks(),
            "space": self.base,
            "training": {k: v for k, v in settings.items() if k not in _MOVE_NOTHING},
            "precision": str(self.model.precision),
        }
        return fingerprint(facts)

    def _tasks(self) -> list[dict[str, Any]]:
        return [
            {
                "dataset": task.dataset.digest,
                "loss": asdict(task.loss),
                "weight": task.weight,
                "of_first": task.of_first,
                "pairs_per_step": task.pairs_per_step,
                "prompts": [task.query_prompt, task.document_prompt],
                "teacher": None if task.teacher is None else task.teacher.space.fingerprint,
                "difficulty": batches.difficulty_digest,
            }
            for task, batches in zip(self.course.tasks, self.course.batches, strict=True)
        ]

    def _lineage(self) -> dict[str, Any]:
        """Say in the model's own folder where it came from."""
        return {
            **described(self.model),
            "base_space": self.base,
            "base": self.hooks.base,
            "tasks": self._tasks(),
            "training": asdict(self.settings),
            "steps": self.steps,
            "best_step": self.state.best_step,
            "best_score_on_dev": self.state.best_score,
        }

    def _tell_of_data(self) -> None:
        stores = {id(store): store for store in self.course.stores}.values()
        cut = sum(sum(store.truncated.values()) for store in stores)
        texts = sum(len(store) for store in stores)
        row = {"kind": "data", "step": 0, "texts": texts, "truncated_share": cut / texts}
        self.diary.write(row)

    def _require_number(self, step: int, number: float) -> None:
        if math.isfinite(number):
            return
        rate = learning_rate_at(step, self.steps, self.settings)
        raise Diverged(
            f"Expected a loss and a gradient that are numbers, found {number} at step {step + 1} "
            f"of {self.steps} with learning rate {rate:.2g}. Lower training.learning_rate, or "
            f"raise loss.temperature; the weights before this step are kept in {self.folder}."
        )
