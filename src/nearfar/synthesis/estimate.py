"""What a synthesis will cost at most, before a cent is spent."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

from nearfar.llm.client import Client
from nearfar.llm.journal import Journal
from nearfar.llm.messages import most_tokens
from nearfar.progress import Progress, silent
from nearfar.synthesis.asking import Task, look_up, unique
from nearfar.synthesis.settings import Synthesis

_TASKS_AT_ONCE = 256


@dataclass(slots=True)
class Estimate:
    """Bounds of what is still to pay. Requests that are billed yet never answered come on top."""

    counted: bool  # input tokens by the server's own counter; otherwise one a byte, a bound
    answered: int = 0  # tasks that the journal settles; they cost nothing
    requests: int = 0  # if no answer is malformed
    input_tokens: int = 0
    output_tokens: int = 0  # max_tokens for each request
    cost_usd: float | None = None  # of these; None if the prices are unknown
    cost_usd_most: float | None = None  # if every answer is malformed, and asked for again


def estimate(
    tasks: Iterable[Task],
    total: int,
    settings: Synthesis,
    *,
    client: Client | None,
    journal: Journal | None,
    progress: Progress = silent,
) -> Estimate:
    """Count what asking for all tasks would use; nothing is generated.

    Args:
        tasks: as `ask_all` takes them.
        total: how many there are, for the progress.
        settings: what the answers are bounded by, and what they cost.
        client: whose server counts the tokens, if it can; None: they are bounded by the bytes.
        journal: what is paid for already.
        progress: told how many tasks are counted.

    Raises:
        NoAnswer: the server does not count.
        BadSetting: the key, the model or the address is wrong.
    """
    llm = settings.llm
    assert llm is not None
    found = Estimate(counted=True)
    tokens_most = [0, 0]  # with every retry
    for task, tried, tokens in _counted(tasks, settings, client, journal, found):
        tries = settings.malformed_retries + 1 - tried
        found.requests += 1
        found.input_tokens += tokens
        found.output_tokens += llm.max_tokens
        tokens_most[0] += tokens * tries
        tokens_most[1] += llm.max_tokens * tries
        progress("count tokens", found.answered + found.requests, total, task.prompt.style)
    found.cost_usd = llm.cost_usd(found.input_tokens, found.output_tokens)
    found.cost_usd_most = llm.cost_usd(*tokens_most)
    return found


def _counted(
    tasks: Iterable[Task],
    settings: Synthesis,
    client: Client | None,
    journal: Journal | None,
    found: Estimate,
) -> Iterator[tuple[Task, int, int]]:
    """Yield the open tasks with the try that comes next and their input tokens."""
    assert settings.llm is not None
    waiting = unique(tasks)
    with ThreadPoolExecutor(settings.llm.concurrency) as pool:
        while some := list(islice(waiting, _TASKS_AT_ONCE)):
            states = [look_up(task, journal, settings) for task in some]
            open_ = [(t, s.tried) for t, s in zip(some, states, strict=True) if s.state == "open"]
            found.answered += len(some) - len(open_)
            counts = pool.map(lambda pair: _count(pair[0], client), open_)
            for (task, tried), count in zip(open_, counts, strict=True):
                if count is None:
                    found.counted = False
                bound = most_tokens(task.prompt.messages(task.passage.text))
                yield task, tried, bound if count is None else count


def _count(task: Task, client: Client | None) -> int | None:
    return None if client is None else client.count(task.prompt.messages(task.passage.text))
