"""What is asked of the language model for each passage and style, and what came of it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from nearfar.fingerprint import fingerprint
from nearfar.llm import asking
from nearfar.llm.asking import Asked
from nearfar.llm.client import Client
from nearfar.llm.journal import Journal, Paid
from nearfar.llm.messages import Message
from nearfar.progress import Progress, silent
from nearfar.synthesis.passages import Passage
from nearfar.synthesis.prompts import Prompt, parse
from nearfar.synthesis.settings import Synthesis

State = Literal["written", "refused", "malformed", "open"]  # open: not asked, or failed


@dataclass(frozen=True, slots=True)
class Task:
    """One passage in one style."""

    passage: Passage
    prompt: Prompt
    model: str
    seed: int

    def key(self, tried: int) -> str:
        """Return the name of the answer to the try of that number, from 0.

        Two documents of one text share an answer: it is paid once.
        """
        return fingerprint(
            {
                "model": self.model,
                "prompt": self.prompt.text,
                "passage": self.passage.text,
                "style": self.prompt.style,
                "seed": self.seed,
                "try": tried,
            }
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the journal says about a task."""

    state: State
    tried: int  # the try that settled it, or that comes next
    queries: tuple[str, ...] = ()
    paid: Paid | None = None


def look_up(task: Task, journal: Journal | None, settings: Synthesis) -> Outcome:
    """Return what is known about a task: what it brought, or which try comes next."""
    assert settings.llm is not None
    for tried in range(settings.malformed_retries + 1):
        paid = journal and journal.get(task.key(tried))
        if not paid:
            return Outcome("open", tried)
        if paid.stop == "refused":
            return Outcome("refused", tried)
        if paid.stop == "length" and paid.max_tokens < settings.llm.max_tokens:
            return Outcome("open", tried)  # cut off then, and given more room now
        queries = parse(paid.text, task.prompt.count) if paid.stop == "end" else None
        if queries is not None:
            return Outcome("written", tried, tuple(queries), paid)
    return Outcome("malformed", settings.malformed_retries)


def unique(tasks: Iterable[Task]) -> Iterator[Task]:
    """Yield each task once: documents of one text have the same answer coming."""
    seen: set[bytes] = set()
    for task in tasks:
        if (key := bytes.fromhex(task.key(0))) not in seen:
            seen.add(key)
            yield task


@dataclass(frozen=True, slots=True)
class _Job:
    """A task as the house's crew of askers takes it."""

    task: Task
    settings: Synthesis

    @property
    def messages(self) -> Sequence[Message]:
        return self.task.prompt.messages(self.task.passage.text)

    def next_key(self, journal: Journal) -> str | None:
        found = look_up(self.task, journal, self.settings)
        return self.task.key(found.tried) if found.state == "open" else None


def ask_all(
    tasks: Iterable[Task],
    total: int,
    client: Client,
    journal: Journal,
    settings: Synthesis,
    *,
    progress: Progress = silent,
    stop: Callable[[], bool] = lambda: False,
) -> Asked:
    """Ask for all tasks that the journal has no answer to; raises as `llm.asking.ask_all`.

    Kept in memory of each is only its key, to ask once where documents share a text: about 100
    bytes, so 100 MB for a million.
    """
    jobs = (_Job(task, settings) for task in unique(tasks))
    return asking.ask_all(
        jobs, total, client, journal,
        what="ask for queries", things="passages", progress=progress, stop=stop,
    )  # fmt: skip
