"""A language model that judges, behind a server of this process."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from llm_server import FakeClock, JudgeServer, llm
from school import number

from nearfar.llm.client import Client
from nearfar.llm.journal import open_journal
from nearfar.teaching.llm_judge import LlmJudge, judge_of
from nearfar.teaching.questions import Judging, Questioner


def grade(query: str, document: str) -> int:
    return max(0, 3 - round(abs(number(query) - number(document))))


@contextmanager
def judge(
    server: JudgeServer,
    path: Path,
    *,
    limit: dict[str, object] | None = None,
    **facts: object,
) -> Iterator[LlmJudge]:
    settings = llm(server.address, **(limit or {}))
    judging = Judging(llm=settings, **facts)  # type: ignore[arg-type]
    with open_journal(path) as journal:
        spent = journal.before.total_usd(settings) or 0.0
        client = Client(server.endpoint(settings), settings, FakeClock(), spent_usd=spent)
        yield judge_of(Questioner(judging, client, journal))
