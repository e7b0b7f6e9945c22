"""Questions to a language model that judges: asked once, kept for ever, read strictly."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from nearfar.data.spool import short_hash
from nearfar.errors import require
from nearfar.fingerprint import fingerprint
from nearfar.llm.asking import ask_all
from nearfar.llm.client import Client
from nearfar.llm.journal import Journal
from nearfar.llm.messages import Message
from nearfar.llm.settings import LlmSettings
from nearfar.progress import Progress, silent
from nearfar.teaching.prompts import Prompt, without_tags

State = Literal["answered", "refused", "malformed", "open"]  # open: not asked, or failed


@dataclass(frozen=True, slots=True, kw_only=True)
class Judging:
    """How a language model is asked to judge."""

    llm: LlmSettings
    pairwise: bool = False  # it compares two documents rather than grade one
    repeats: int = 2  # times each question is put, in another order of the documents
    documents_per_request: int = 1  # graded together; a comparison always has two
    cycles: int = 3  # pairwise: rounds in which each document meets two others
    malformed_retries: int = 2  # an answer that is no list of grades is asked for again
    characters_per_document: int = 8_000  # longer ones are cut there
    seed: int = 0  # of the orders

    def __post_init__(self) -> None:
        for name in ("repeats", "documents_per_request", "cycles", "characters_per_document"):
            require(getattr(self, name) >= 1, f"judge.{name}", "1 or more", getattr(self, name))
        for name in ("malformed_retries", "seed"):
            require(getattr(self, name) >= 0, f"judge.{name}", "0 or more", getattr(self, name))


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
                "query": without_tags(self.query),  # what is sent
                "documents": [without_tags(text) for text in self.documents],
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
    shortened: set[bytes] = field(default_factory=set)  # hashes of documents that were cut

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
            jobs = list(each_once(questions))
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

    def dice(self, query: str, repeat: int) -> np.random.Generator:
        """Return dice of one query alone: what is drawn for it depends on no other query."""
        name = fingerprint({"query": query})
        return np.random.default_rng([self.judging.seed, repeat, int(name, 16)])

    def cut(self, document: str) -> str:
        """Return as much of a document as the model is shown; remember which were cut."""
        if len(document) > self.judging.characters_per_document:
            self.shortened.add(short_hash(document))
        return document[: self.judging.characters_per_document]


def each_once(questions: Iterable[Question]) -> Iterable[Question]:
    """Return each question once: pairs of equal texts have the same answer coming."""
    return {question.key(0): question for question in questions}.values()
