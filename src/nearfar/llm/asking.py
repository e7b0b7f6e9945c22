"""Asks many requests at once, and keeps each answer before it is looked at."""

import datetime
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from nearfar.errors import Stopped
from nearfar.llm.client import Client
from nearfar.llm.journal import Journal, Paid
from nearfar.llm.limits import LimitReached
from nearfar.llm.messages import Answer, Message, NoAnswer, Usage
from nearfar.progress import Progress, silent

_FAILURES_IN_A_ROW = 8  # after so many the trouble is not with what is asked


class Job(Protocol):
    """Something that wants an answer, perhaps after a malformed one another."""

    @property
    def messages(self) -> Sequence[Message]:
        """What is sent, at every try."""
        ...

    def next_key(self, journal: Journal) -> str | None:
        """Return the key of the try that comes next; None: the journal settles it."""
        ...


@dataclass
class Asked:
    """How asking ended."""

    limit_reached: bool = False
    failed: int = 0  # jobs that got no answer; the same command asks again
    last_failure: str = ""


def ask_all(
    jobs: Iterable[Job],
    total: int,
    client: Client,
    journal: Journal,
    *,
    what: str,
    things: str,
    progress: Progress = silent,
    stop: Callable[[], bool] = lambda: False,
) -> Asked:
    """Ask for all jobs that the journal has no answer to.

    Jobs are taken one by one as threads get free.

    Args:
        jobs: each of them once, or it may be paid twice.
        total: how many there are, for the progress.
        client: who is asked.
        journal: where the answers are kept.
        what: the work, for the progress.
        things: what the jobs are about, for messages.
        progress: told how many are settled.
        stop: asked now and then; true ends the work.

    Raises:
        NoAnswer: request after request fails, so that going on makes no sense.
        BadSetting: the key, the model or the address is wrong.
        Stopped: `stop` said so; what was under way has been kept.
    """
    return _Crew(client, journal, total, what, things, progress, stop).work(jobs)


@dataclass
class _Crew:
    """A few threads and what they have come to."""

    client: Client
    journal: Journal
    total: int
    what: str
    things: str
    progress: Progress
    stop: Callable[[], bool]

    def __post_init__(self) -> None:
        self._asked = Asked()
        self._done = 0
        self._in_a_row = 0

    def work(self, jobs: Iterable[Job]) -> Asked:
        places = self.client.settings.concurrency
        under_way: set[Future[None]] = set()
        with ThreadPoolExecutor(places, thread_name_prefix="ask") as pool:
            try:
                for job in jobs:
                    if job.next_key(self.journal) is None:
                        self._count()
                        continue
                    while len(under_way) >= places:
                        under_way = self._collect(under_way)
                    if self._asked.limit_reached:
                        break
                    under_way.add(pool.submit(self._settle, job))
                while under_way:
                    under_way = self._collect(under_way)
            except BaseException:
                self.client.end()  # nobody waits for a next try that will not come
                raise
        return self._asked

    def _settle(self, job: Job) -> None:
        """Ask until the journal has what settles the job. Runs in a thread."""
        while (key := job.next_key(self.journal)) is not None:
            messages = job.messages
            keep = partial(self._keep, key)
            answer = self.client.ask(messages, keep)
            keep(self.client.usage(messages, answer), answer)

    def _keep(self, key: str, usage: Usage, answer: Answer | None = None) -> None:
        """Put an answer in the journal; without one, a request that got lost."""
        settings = self.client.settings
        self.journal.add(
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
        if self.stop():
            raise Stopped("Stopped. Every answer so far is kept; the same command goes on.")
        return rest

    def _fail(self, problem: NoAnswer) -> None:
        self._asked.failed += 1
        self._asked.last_failure = str(problem)
        self._in_a_row += 1
        if self._in_a_row >= _FAILURES_IN_A_ROW:
            raise NoAnswer(
                f"{self._in_a_row} {self.things} in a row got no answer. {problem} What was paid "
                "for is kept; the same command goes on from there."
            )

    def _count(self) -> None:
        self._done += 1
        cost = self.journal.before.cost_usd + self.journal.now.cost_usd
        note = f"{cost:,.4f} dollars" if self.client.settings.priced else ""
        self.progress(self.what, self._done, self.total, note)
