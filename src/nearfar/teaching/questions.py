"""Questions to a language model that judges: asked once, kept for ever, read strictly."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from nearfar.errors import require
from nearfar.fingerprint import fingerprint
from nearfar.llm.asking import ask_all
from nearfar.llm.client import Client
from nearfar.llm.journal import Journal
from nearfar.llm.messages import Message, most_tokens
from nearfar.llm.settings import LlmSettings
from nearfar.progress import Progress, silent
from nearfar.teaching.prompts import Prompt

State = Literal["answered", "refused", "malformed", "open"]  # open: not asked, or failed


@dataclass(frozen=True, slots=True, kw_only=True)
class Judging:
    """How a language model is asked to judge."""

    llm: LlmSettings
    repeats: int = 2  # times each question is put, in another order of the documents
    documents_per_request: int = 1  # graded together; a comparison always has two
    cycles: int = 3  # pairwise: rounds in which each document meets two others
    malformed_retries: int = 2  # an answer that is no list of grades is asked for again
    characters_per_document: int = 8_000  # longer ones are cut there
    seed: int = 0  # of the orders

    def __post_init__(self) -> None:
        for name in ("repeats", "documents_per_request", "cycles", "characters_per_document"):
            require(getattr(self, name) >= 1, f"judging.{name}", "1 or more", getattr(self, name))
        for name in ("malformed_retries", "seed"):
            require(getattr(self, name) >= 0, f"judging.{name}", "0 or more", getattr(self, name))


@dataclass(frozen=True, slots=True)
class Question:
    """A query with some documents, put for the nth time."""

    prompt: Prompt
    query: str
    documents: tuple[str, ...]
    repeat: int
    judging: Judging

    @property
    def messages(self) -> Sequence[Message]:
        """What is sent."""
        return self.prompt.messages(self.query, self.documents)

    def key(self, tried: int) -> str:
        """Return the name of the answer to the try of that number, from 0."""
        return fingerprint(
            {
                "model": self.judging.llm.model,
                "prompt": self.prompt.text,
                "query": self.query,
                "documents": self.documents,
                "repeat": self.repeat,
                "seed": self.judging.seed,
                "try": tried,
            }
        )

    def look_up(self, journal: Journal | None) -> tuple[State, int, list[int] | None]:
        """Return what is known: the state, the try that settled it or comes next, the answer."""
        for tried in range(self.judging.malformed_retries + 1):
            paid = journal and journal.get(self.key(tried))
            if not paid:
                return "open", tried, None
            if paid.stop == "refused":
                return "refused", tried, None
            if paid.stop == "length" and paid.max_tokens < self.judging.llm.max_tokens:
                return "open", tried, None  # cut off then, and given more room now
            whole = paid.stop == "end"
            found = self.prompt.parse(paid.text, len(self.documents)) if whole else None
            if found is not None:
                return "answered", tried, found
        return "malformed", self.judging.malformed_retries, None

    def next_key(self, journal: Journal) -> str | None:
        """Return the key of the try that comes next; None: the journal settles it."""
        state, tried, _ = self.look_up(journal)
        return self.key(tried) if state == "open" else None


@dataclass(slots=True)
class Estimate:
    """Bounds of what is still to pay. Requests that are billed yet never answered come on top."""

    counted: bool = True  # input tokens by the server's own counter; otherwise one a byte
    answered: int = 0  # questions that the journal settles; they cost nothing
    requests: int = 0  # if no answer is malformed
    input_tokens: int = 0
    output_tokens: int = 0  # max_tokens for each request
    most_input_tokens: int = 0  # if every answer is malformed, and asked for again
    most_output_tokens: int = 0


@dataclass
class Questioner:
    """Puts questions to one language model, and remembers what came of them."""

    judging: Judging
    client: Client | None  # None: nothing may be asked, as in a dry run
    journal: Journal | None
    progress: Progress = silent
    stop: Callable[[], bool] = lambda: False
    states: Counter[State] = field(default_factory=Counter)  # of all questions so far
    limit_reached: bool = False
    failed: int = 0
    last_failure: str = ""

    @property
    def paid(self) -> bool:
        """Whether this run has paid for anything, or may have."""
        kept = self.journal
        return kept is not None and kept.now.answers + kept.lost_now.answers > 0

    def answers(self, questions: Sequence[Question]) -> list[list[int] | None]:
        """Return the answer to each question, None where there is none; ask what is open.

        Raises:
            NoAnswer: request after request fails, so that going on makes no sense.
            BadSetting: the key, the model or the address is wrong.
            Stopped: `stop` said so; what was under way has been kept.
        """
        if self.client is not None and self.journal is not None and not self.limit_reached:
            jobs = list(_once(questions))
            asked = ask_all(
                jobs, len(jobs), self.client, self.journal,
                what="ask for judgments", things="questions", progress=self.progress,
                stop=self.stop,
            )  # fmt: skip
            self.limit_reached |= asked.limit_reached
            self.failed += asked.failed
            self.last_failure = asked.last_failure or self.last_failure
        found = [question.look_up(self.journal) for question in questions]
        self.states.update(state for state, _, _ in found)
        return [answer for _, _, answer in found]

    def estimate(self, questions: Sequence[Question], found: Estimate) -> None:
        """Add to an estimate what these questions would use; nothing is generated."""
        most = self.judging.llm.max_tokens
        states = [(question, question.look_up(self.journal)) for question in _once(questions)]
        open_ = [(question, tried) for question, (state, tried, _) in states if state == "open"]
        found.answered += len(states) - len(open_)
        with ThreadPoolExecutor(self.judging.llm.concurrency) as pool:
            counts = list(pool.map(self._count, (question for question, _ in open_)))
        for (question, tried), tokens in zip(open_, counts, strict=True):
            if tokens is None:
                found.counted, tokens = False, most_tokens(question.messages)
            tries = self.judging.malformed_retries + 1 - tried
            found.requests += 1
            found.input_tokens += tokens
            found.output_tokens += most
            found.most_input_tokens += tokens * tries
            found.most_output_tokens += most * tries

    def _count(self, question: Question) -> int | None:
        return None if self.client is None else self.client.count(question.messages)

    def dice(self, query: str, repeat: int) -> np.random.Generator:
        """Return dice of one query alone: what is drawn for it depends on no other query."""
        name = fingerprint({"query": query})
        return np.random.default_rng([self.judging.seed, repeat, int(name, 16)])

    def cut(self, document: str) -> str:
        """Return as much of a document as the model is shown."""
        return document[: self.judging.characters_per_document]


def _once(questions: Iterable[Question]) -> Iterable[Question]:
    """Return each question once: pairs of equal texts have the same answer coming."""
    return {question.key(0): question for question in questions}.values()
