"""What was written, query by query, before anything is filtered."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from nearfar.data.dataset import Dataset
from nearfar.llm.journal import Journal
from nearfar.records import Scalar
from nearfar.synthesis.asking import Task, look_up, unique
from nearfar.synthesis.passages import Passage
from nearfar.synthesis.plain import plain_queries
from nearfar.synthesis.settings import Synthesis


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A query that was written for a passage."""

    text: str
    passage: Passage
    by: str
    at: str = ""
    facts: Mapping[str, Scalar]


@dataclass(slots=True)
class Tally:
    """What came of the passages."""

    written: int = 0  # queries
    unwritten: Counter[str] = field(default_factory=Counter)  # passages in a style, by the reason


def answered(
    tasks: Iterable[Task], journal: Journal, settings: Synthesis, tally: Tally
) -> Iterator[Candidate]:
    """Yield the queries of all answers, in the order of the tasks, whenever they were paid."""
    assert settings.llm is not None
    for task in unique(tasks):
        found = look_up(task, journal, settings)
        if found.paid is None:
            tally.unwritten["not asked" if found.state == "open" else found.state] += 1
            continue
        paid = found.paid
        facts: dict[str, Scalar] = {
            "style": task.prompt.style,
            "prompt": task.prompt.hash,
            "input_tokens": paid.input_tokens,  # of the answer, as the next; it holds `queries`
            "output_tokens": paid.output_tokens,
            "queries": len(found.queries),
        }
        cost = paid.cost_usd
        if cost is None:
            cost = settings.llm.cost_usd(paid.input_tokens, paid.output_tokens)
        if cost is not None:
            facts["cost_usd"] = cost / len(found.queries)  # of this query: its share
        by = f"{paid.model or settings.llm.model}, prompt {task.prompt.hash}"
        for text in found.queries:
            tally.written += 1
            yield Candidate(text=text, passage=task.passage, by=by, at=paid.at, facts=facts)


def plain(
    dataset: Dataset, ids: AbstractSet[str], settings: Synthesis, tally: Tally
) -> Iterator[Candidate]:
    """Yield the queries that are written without a language model, and say so as their origin."""
    lacking = {"titles": "no title", "headings": "no heading", "keywords": "no telling word"}
    for passage, text in plain_queries(dataset, ids, settings):
        if text is None:
            tally.unwritten[lacking[settings.writer]] += 1
            continue
        tally.written += 1
        by = f"nearfar {settings.writer}, without a language model"
        yield Candidate(text=text, passage=passage, by=by, facts={"style": settings.writer})
