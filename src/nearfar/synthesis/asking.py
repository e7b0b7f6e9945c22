"""Asks for every passage and style, many at once, and keeps each answer before it is looked at."""

import datetime
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from typing import Literal

from nearfar.errors import Stopped
from nearfar.fingerprint import fingerprint
from nearfar.llm.client import Client
from nearfar.llm.limits import LimitReached
from nearfar.llm.messages import Answer, NoAnswer, Usage
from nearfar.progress import Progress, silent
from nearfar.synthesis.journal import Journal, Paid
from nearfar.synthesis.passages import Passage
from nearfar.synthesis.prompts import Prompt, parse
from nearfar.synthesis.settings import Synthesis

_FAILURES_IN_A_ROW = 8  # after so many the trouble is not with the passages

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


@dataclass
class Asked:
    """How asking ended."""

    limit_reached: bool = False
    failed: int = 0  # tasks that got no answer; the same command asks again
    last_failure: str = ""


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
    """Ask for all tasks that the journal has no answer to.

    Tasks are taken one by one as threads get free. Kept in memory of each is only its key, to ask
    once where documents share a text: about 100 bytes, so 100 MB for a million.

    Raises:
        NoAnswer: request after request fails, so that going on makes no sense.
        BadSetting: the key, the model or the address is wrong.
        Stopped: `stop` said so; what was under way has been kept.
    """
    return _Crew(client, journal, settings, total, progress, stop).work(tasks)


class _Crew:
    """A few threads and what they have come to."""

    def __init__(
        self,
        client: Client,
        journal: Journal,
        settings: Synthesis,
        total: int,
        progress: Progress,
        stop: Callable[[], bool],
    ) -> None:
        self._client, self._journal, self._settings = client, journal, settings
        self._total, self._progress, self._stop = total, progress, stop
        self._asked = Asked()
        self._done = 0
        self._in_a_row = 0

    def work(self, tasks: Iterable[Task]) -> Asked:
        assert self._settings.llm is not None
        places = self._settings.llm.concurrency
        under_way: set[Future[None]] = set()
        with ThreadPoolExecutor(places, thread_name_prefix="ask") as pool:
            try:
                for task in unique(tasks):
                    if look_up(task, self._journal, self._settings).state != "open":
                        self._count()
                        continue
                    while len(under_way) >= places:
                        under_way = self._collect(under_way)
                    if self._asked.limit_reached:
                        break
                    under_way.add(pool.submit(self._settle, task))
                while under_way:
                    under_way = self._collect(under_way)
            except BaseException:
                self._client.end()  # nobody waits for a next try that will not come
                raise
        return self._asked

    def _settle(self, task: Task) -> None:
        """Ask until the journal has what settles the task. Runs in a thread."""
        while (found := look_up(task, self._journal, self._settings)).state == "open":
            messages = task.prompt.messages(task.passage.text)
            keep = partial(self._keep, task.key(found.tried))
            answer = self._client.ask(messages, keep)
            keep(self._client.usage(messages, answer), answer)

    def _keep(self, key: str, usage: Usage, answer: Answer | None = None) -> None:
        """Put an answer in the journal; without one, a request that got lost."""
        settings = self._client.settings
        self._journal.add(
            Paid(
                key=key,
                text=answer.text if answer else "",
                stop=answer.stop if answer else "lost",
                input_tokens=usage.input_tokens,
                output_tokens=usage.output_tokens,
                counted=answer is not None and answer.usage is not None,
                cost_usd=settings.cost_usd(usage.input_tokens, usage.output_tokens),
                max_tokens=settings.max_tokens,
                model=answer.model if answer else settings.model,
                at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            )
        )

    def _collect(self, under_way: set[Future[None]]) -> set[Future[None]]:
        """Wait for a thread to get done, and take note of what came of it."""
        done, rest = wait(under_way, timeout=0.2, return_when=FIRST_COMPLETED)
        for future in done:
            try:
                future.result()
            except LimitReached:
                self._asked.limit_reached = True
                continue
            except NoAnswer as problem:
                self._fail(problem)
            else:
                self._in_a_row = 0
            self._count()
        if self._stop():
            raise Stopped("Stopped. Every answer so far is kept; the same command goes on.")
        return rest

    def _fail(self, problem: NoAnswer) -> None:
        self._asked.failed += 1
        self._asked.last_failure = str(problem)
        self._in_a_row += 1
        if self._in_a_row >= _FAILURES_IN_A_ROW:
            raise NoAnswer(
                f"{self._in_a_row} passages in a row got no answer. {problem} What was paid for "
                "is kept; the same command goes on from there."
            )

    def _count(self) -> None:
        self._done += 1
        cost = self._journal.before.cost_usd + self._journal.now.cost_usd
        note = f"{cost:,.4f} dollars" if self._client.settings.priced else ""
        self._progress("ask for queries", self._done, self._total, note)
