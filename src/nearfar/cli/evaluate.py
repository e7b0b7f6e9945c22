"""`nearfar evaluate`: how good is a model, and is it better than another?"""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
from nearfar.cli.options import Base, DatasetFolder, Lexical, LexicalWeight, MaxTokens

if TYPE_CHECKING:
    from nearfar.evaluation.report import Report


def evaluate(
    dataset: DatasetFolder,
    folder: Annotated[Path, typer.Argument(help="Where the report will stand.")],
    model: Base,
    against: Annotated[
        str | None, typer.Option(help="The base that the model is held against, query by query.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting such as evaluation.split=dev; repeatable."),
    ] = None,
    rerank: Annotated[
        str | None, typer.Option(help="A cross-encoder that reads what the model finds.")
    ] = None,
    candidates: Annotated[
        list[int] | None,
        typer.Option(help="How many the reranker reads; repeatable. Default: 50, 100, 200."),
    ] = None,
    lexical: Lexical = False,
    lexical_weight: LexicalWeight = None,
    budget_ms: Annotated[
        list[float] | None,
        typer.Option(
            help="Measure also what fits into so many milliseconds a query, as search "
            "--budget-ms would stop; repeatable."
        ),
    ] = None,
    task: Annotated[
        list[str] | None,
        typer.Option(
            help="retrieval, sts, pairs, similarity, triplets, labels, clustering, bitext, "
            "analogies or relevance; repeatable. Default: retrieval."
        ),
    ] = None,
    reranker: Annotated[
        str | None,
        typer.Option(help="With --task relevance: the cross-encoder that judges what is found."),
    ] = None,
    llm: Llm = None,
    depth: Annotated[
        int | None, typer.Option(min=1, help="Documents a query that are judged. Default: 10.")
    ] = None,
    repeats: Annotated[
        int | None, typer.Option(min=1, help="Times the LLM is asked the same. Default: 2.")
    ] = None,
    queries: Annotated[
        int | None, typer.Option(min=1, help="At most so many are judged. Default: all.")
    ] = None,
    base_url: BaseUrl = None,
    api: Api = None,
    max_answer_tokens: MaxAnswerTokens = 1_024,
    input_price: InputPrice = None,
    output_price: OutputPrice = None,
    limit_usd: LimitUsd = None,
    requests_per_minute: RequestsPerMinute = None,
    concurrency: Concurrency = 4,
    timeout_seconds: TimeoutSeconds = 120.0,
    retries: Retries = 5,
    journal: Annotated[
        Path | None, typer.Option(help="Paid answers. Default: beside FOLDER, .answers.jsonl.")
    ] = None,
    trained_on: Annotated[
        list[Path] | None,
        typer.Option(
            help="A dataset the model has learned from, for the cohort "
            "derived.new_since_training; repeatable."
        ),
    ] = None,
    max_tokens: MaxTokens = None,
) -> None:
    """Rank every document for each query of a split; write report.json and report.html.

    With --task relevance a judge reads what is found: --reranker, or --llm, whose key is read from
    ANTHROPIC_API_KEY or OPENAI_API_KEY, and whose answers are kept: none is paid for twice.
    """
    from nearfar.cli.list_judge import list_judge, require_judge
    from nearfar.cli.stages_report import show_stages
    from nearfar.cli.talking import bars
    from nearfar.cli.tasks_report import show_tasks
    from nearfar.data.dataset import Dataset
    from nearfar.errors import BadSetting, require
    from nearfar.evaluation.derived import trained_texts
    from nearfar.llm.settings import LlmSettings
    from nearfar.model.rerankers import load_reranker
    from nearfar.model.text import TextEncoder, TextSettings
    from nearfar.pipeline.evaluating import CANDIDATES, SecondStage, evaluate_into
    from nearfar.pipeline.recipe import free_settings
    from nearfar.pipeline.task_evaluating import RETRIEVAL, measure_tasks, require_tasks

    if rerank is None and (candidates or lexical or budget_ms):
        raise BadSetting(
            "--candidates, --lexical and --budget-ms are for a reranker. Name it with --rerank."
        )
    for budget in budget_ms or ():
        require(0 < budget < math.inf, "--budget-ms", "above 0", budget)
    if lexical_weight is not None:
        if not lexical:
            raise BadSetting("--lexical-weight is for words. Add --lexical.")
        require(0 <= lexical_weight <= 1, "--lexical-weight", "between 0 and 1", lexical_weight)
    chosen = free_settings(settings or ()).evaluation
    data, tasks = Dataset.open(dataset), tuple(task or (RETRIEVAL,))
    require_tasks(data, chosen.split, tasks)  # before any model is loaded
    asked = None
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
    amounts = {"depth": depth, "repeats": repeats, "queries": queries}
    require_judge(tasks, reranker, asked, amounts)
    if rerank is not None and RETRIEVAL not in tasks:
        raise BadSetting("--rerank is for retrieval. Add --task retrieval.")
    learned = [trained_texts(Dataset.open(one)) for one in trained_on or ()]
    text = TextSettings(max_tokens=max_tokens)
    measured = TextEncoder.load(model, text)
    base = TextEncoder.load(against, text) if against else None
    models = (base, measured) if base else (measured, None)
    second = None
    if rerank is not None:
        second = SecondStage(
            reranker=load_reranker(rerank),
            candidates=tuple(candidates or CANDIDATES),
            lexical=lexical,
            lexical_weight=lexical_weight,
            budgets=tuple(budget / 1e3 for budget in budget_ms or ()),
        )
    if RETRIEVAL in tasks:
        with bars() as progress:
            report = evaluate_into(
                folder, data, models, chosen, names=(against or model, model), second=second,
                trained=frozenset().union(*learned) if learned else None, progress=progress,
            )  # fmt: skip
        show_table(report)
        if report.reranking is not None:
            show_stages(report.reranking)
        print(f"report: {folder / 'report.html'}")
    if set(tasks) != {RETRIEVAL}:
        kept = journal or folder.with_name(f"{folder.name}.answers.jsonl")
        with bars() as progress, list_judge(
            data, chosen, reranker or asked, amounts, kept, progress
        ) as judging:  # fmt: skip
            reports = measure_tasks(
                folder / "tasks", data, models, chosen.split, tasks, judging=judging, replace=True,
                progress=progress,
            )  # fmt: skip
        show_tasks(reports, chosen.split)
        print(f"tasks: {folder / 'tasks' / 'tasks.json'}")


def show_table(report: "Report") -> None:
    """Print the measures of a report with their intervals."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from nearfar.evaluation.amounts import amount
    from nearfar.evaluation.measure import SHORT_NAMES, span
    from nearfar.evaluation.report import headline

    names = ("base", "tuned", "difference") if report.tuned else ("base",)
    table = Table("", box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for name in names:
        table.add_column(name if report.tuned else "", justify="right", no_wrap=True)
    colours = {"better": "green", "worse": "red", "unclear": ""}
    for measure in report.measures:
        cells = [escape(span(getattr(measure, name), sign=name == "difference")) for name in names]
        if colour := colours[measure.verdict]:
            cells[-1] = f"[{colour}]{cells[-1]}[/]"
        table.add_row(SHORT_NAMES.get(measure.name, measure.name), *cells)
    console = Console()
    console.print(f"\n{headline(report)}", highlight=False, markup=False)
    console.print(
        f"{amount(report.measures[0].base.n, 'query')} of the {report.split} split against "
        f"{amount(report.documents, 'document')}; brackets are 95 % intervals.",
        highlight=False,
    )
    console.print(table)
    for one in report.slices:
        if one["verdict"] == "confirmed":
            console.print(one["sentence"], highlight=False, markup=False)
