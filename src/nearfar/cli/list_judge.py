"""Who judges what is found, for `nearfar evaluate --task relevance`: opened, asked and paid."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nearfar.cli.talking import Bars
    from nearfar.data.dataset import Dataset
    from nearfar.evaluation.relevance_task import ListJudging
    from nearfar.evaluation.settings import Evaluation
    from nearfar.llm.settings import LlmSettings
    from nearfar.teaching.llm_judge import LlmJudge

_REPEATS = 2  # of a language model: the fewest that show a spread


def require_judge(
    tasks: Sequence[str], reranker: str | None, llm: "LlmSettings | None",
    amounts: Mapping[str, int | None],
) -> None:  # fmt: skip
    """Make sure that there is one judge where one is needed, before any model is loaded.

    Raises:
        BadSetting: there is none, or two; or nothing to be judged.
    """
    from nearfar.cli.language_model import endpoint
    from nearfar.errors import BadSetting
    from nearfar.evaluation.relevance_task import RELEVANCE
    from nearfar.model.locate import locate

    given = [name for name, one in (("--reranker", reranker), ("--llm", llm)) if one is not None]
    if RELEVANCE not in tasks:
        given += [f"--{name}" for name, amount in amounts.items() if amount is not None]
        if given:
            verb = "goes" if len(given) == 1 else "go"
            raise BadSetting(f"{' and '.join(given)} {verb} with --task relevance. Add it.")
        return
    if len(given) != 1:
        raise BadSetting(
            "--task relevance needs one judge, --reranker MODEL or --llm MODEL; found "
            f"{'both' if given else 'none'}."
        )
    if reranker is not None:
        if amounts["repeats"] is not None:
            raise BadSetting(
                "--repeats is for --llm: a reranker says the same each time. Leave it out."
            )
        locate(reranker)
    if llm is not None:
        with endpoint(llm):
            pass


@contextmanager
def list_judge(
    dataset: "Dataset",
    evaluation: "Evaluation",
    judge: "str | LlmSettings | None",
    amounts: Mapping[str, int | None],
    journal: Path,
    progress: "Bars",
) -> Iterator["ListJudging | None"]:
    """Yield who judges; at the end, whatever that is, say what a language model cost."""
    from dataclasses import replace

    from nearfar.cli.language_model import endpoint
    from nearfar.cli.talking import stoppable
    from nearfar.pipeline.list_judges import judging_llm, judging_reranker
    from nearfar.teaching.llm_judge import open_judge
    from nearfar.teaching.questions import Judging

    some: dict[str, Any] = {name: amount for name, amount in amounts.items() if amount is not None}
    if judge is None:
        yield None
    elif isinstance(judge, str):
        yield replace(judging_reranker(judge, dataset, evaluation, progress.say), **some)
    else:
        asked = Judging(llm=judge)
        with (
            stoppable() as stop,
            endpoint(judge) as served,
            open_judge(asked, served, journal, stop=stop) as opened,
        ):
            try:
                yield replace(judging_llm(opened.questioner), **({"repeats": _REPEATS} | some))
            finally:
                for sentence in _told(opened):
                    progress.say(sentence)


def _told(judge: "LlmJudge") -> Iterator[str]:
    """Yield what is to be known of a language model's part, a sentence each."""
    from nearfar.evaluation.amounts import amount
    from nearfar.llm.telling import bill

    asked, llm = judge.questioner, judge.questioner.judging.llm
    for state in ("refused", "malformed"):
        if count := asked.states[state]:
            yield f"passed over: {amount(count, 'answer')} {state}"
    if asked.shortened:
        yield f"cut at their limit of characters: {len(asked.shortened):,} documents"
    if asked.failed:
        yield (
            f"{asked.failed:,} questions got no answer; the same command asks again. The last "
            f"problem: {asked.last_failure}"
        )
    if (kept := asked.journal) is not None:
        now, before = kept.now.total_usd(llm), kept.before.total_usd(llm)
        yield bill(kept.now, None if now is None or before is None else now + before, llm)
