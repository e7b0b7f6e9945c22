"""`nearfar teach`: another model's scores of queries and documents, for the encoder to learn."""

from contextlib import ExitStack
from dataclasses import replace as replaced
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nearfar.cli.language_model import (
    Api,
    BaseUrl,
    Concurrency,
    InputPrice,
    LimitUsd,
    Llm,
    MaxAnswerTokens,
    OutputPrice,
    RequestsPerMinute,
    Retries,
    TimeoutSeconds,
)
from nearfar.cli.options import DatasetFolder, Replace

if TYPE_CHECKING:
    from nearfar.teaching.settings import Teaching


def teach(
    dataset: DatasetFolder,
    folder: Annotated[Path, typer.Argument(help="Where the dataset with scores will stand.")],
    reranker: Annotated[
        list[str] | None,
        typer.Option(help="A cross-encoder: a folder, package:NAME or id; repeatable, fused."),
    ] = None,
    llm: Llm = None,
    pairwise: Annotated[
        bool, typer.Option("--pairwise", help="It compares two documents rather than grade one.")
    ] = False,
    model: Annotated[
        str | None,
        typer.Option(help="An encoder: its nearest documents are scored too, as new candidates."),
    ] = None,
    depth: Annotated[int, typer.Option(help="How many of the nearest, with --model.")] = 50,
    base_url: BaseUrl = None,
    api: Api = None,
    repeats: Annotated[int, typer.Option(help="Times each question is put to the LLM.")] = 2,
    documents_per_request: Annotated[
        int, typer.Option(help="That the LLM grades together, in another order each time.")
    ] = 1,
    cycles: Annotated[
        int, typer.Option(help="With --pairwise: each document meets twice so many others.")
    ] = 3,
    least_agreement: Annotated[
        float,
        typer.Option(help="Of the LLM with people: kappa, or what stands for it."),
    ] = 0.4,
    allow_disagreement: Annotated[
        bool, typer.Option("--allow-disagreement", help="Go on even if surely below that.")
    ] = False,
    max_answer_tokens: MaxAnswerTokens = 1_024,
    input_price: InputPrice = None,
    output_price: OutputPrice = None,
    limit_usd: LimitUsd = None,
    requests_per_minute: RequestsPerMinute = None,
    concurrency: Concurrency = 4,
    timeout_seconds: TimeoutSeconds = 120.0,
    retries: Retries = 5,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be scored and paid, and stop.")
    ] = False,
    journal: Annotated[
        Path | None, typer.Option(help="Paid answers. Default: beside FOLDER, .answers.jsonl.")
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Scores and vectors. Default: beside FOLDER, .scores.")
    ] = None,
    change: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any other setting, such as teaching.fusion=ranks; repeatable."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the orders in which an LLM sees documents.")] = 0,
    replace: Replace = False,
) -> None:
    """Score the judged pairs of the train split, and new candidates, in a new dataset.

    Every score is kept before it is used: the same command goes on after a crash, a limit or
    Ctrl-C, and scores at most the block again that was under way. Keys are read from
    ANTHROPIC_API_KEY or OPENAI_API_KEY.
    """
    from nearfar.cli.language_model import endpoint, reachable
    from nearfar.cli.talking import bars, say, stoppable
    from nearfar.cli.teaching_report import say_bill, say_estimate, say_summary
    from nearfar.data.dataset import Dataset
    from nearfar.errors import BadSetting, NearfarError
    from nearfar.llm.settings import LlmSettings
    from nearfar.model.locate import locate
    from nearfar.model.text import TextEncoder
    from nearfar.pipeline.teachers import load_teachers
    from nearfar.teaching.llm_judge import open_judge
    from nearfar.teaching.questions import Judging
    from nearfar.teaching.teach import Run
    from nearfar.teaching.teach import teach as score

    if not reranker and llm is None:
        raise BadSetting(
            "Expected a teacher, got none: give --reranker MODEL, --llm MODEL, or both."
        )
    if pairwise and llm is None:
        raise BadSetting("--pairwise is a way to ask a language model: give one with --llm.")
    settings = _settings([f"teaching.depth={depth}", *(change or [])])
    judging = None
    if llm is not None:
        asked = LlmSettings(
            model=llm,
            api=api,
            base_url=base_url,
            max_tokens=max_answer_tokens,
            concurrency=concurrency,
            requests_per_minute=requests_per_minute,
            timeout_seconds=timeout_seconds,
            retries=retries,
            input_usd_per_million_tokens=input_price,
            output_usd_per_million_tokens=output_price,
            limit_usd=limit_usd,
        )
        judging = Judging(
            llm=asked,
            pairwise=pairwise,
            repeats=repeats,
            documents_per_request=documents_per_request,
            cycles=cycles,
            seed=seed,
        )
    taught = Dataset.open(dataset)
    for name in reranker or []:
        locate(name)  # a dry run too says which is not there
    with ExitStack() as stack:
        progress = stack.enter_context(bars())
        run = Run(
            cache=cache,
            encoder=None if model is None else TextEncoder.load(model),
            least_agreement=None if judging is None or allow_disagreement else least_agreement,
            progress=progress,
            stop=stack.enter_context(stoppable()),
            replace=replace,
        )
        judge = None
        if judging is not None:
            served = None
            if reachable(judging.llm) or not dry_run:
                served = stack.enter_context(endpoint(judging.llm))
            path = journal or folder.with_name(f"{folder.name}.answers.jsonl")
            judge = stack.enter_context(
                open_judge(judging, served, path, dry_run=dry_run, progress=progress, stop=run.stop)
            )
        if dry_run:
            say_estimate(taught, folder, settings, run, judge)
            return
        own = load_teachers([(name, None) for name in reranker or []], judging, say)
        run = replaced(run, names=own.names, calibration=own.calibration)
        teachers = [*own.rerankers, *([judge] if judge else [])]
        try:
            found = score(teachers, taught, folder, settings, run)
        except NearfarError:
            if judge is not None and judge.questioner.paid:
                say(say_bill(judge))  # whatever went wrong, what it cost is said
            raise
        progress.close()
        say_summary(found, run.least_agreement)
        bill = "" if judge is None else f" {say_bill(judge)}"
    print(
        f"{folder}: {found.pairs - found.unscored:,} of {found.pairs:,} pairs scored, "
        f"{found.queries:,} queries.{bill}"
    )


def _settings(changes: list[str]) -> "Teaching":
    from nearfar.errors import BadSetting
    from nearfar.pipeline.settings import apply_change, settings_from
    from nearfar.teaching.settings import Teaching

    table: dict[str, Any] = {}
    for one in changes:
        apply_change(table, one)
    if set(table) != {"teaching"}:
        other = next(key for key in table if key != "teaching")
        raise BadSetting(f"--set: {other} is not a table of settings here. There is: teaching.")
    return settings_from(Teaching, table["teaching"], where="--set", key="teaching")
