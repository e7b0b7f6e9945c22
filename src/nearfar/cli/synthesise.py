"""`nearfar synthesise`: queries for documents that nobody has asked about yet."""

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

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
from nearfar.cli.options import DatasetFolder, MaxTokens, Replace

if TYPE_CHECKING:
    from nearfar.data.dataset import Dataset
    from nearfar.llm.messages import Endpoint
    from nearfar.model.encoder import Encoder
    from nearfar.progress import Progress
    from nearfar.synthesis.settings import Synthesis
    from nearfar.synthesis.synthesise import Paying, SynthesisSummary


def synthesise(
    dataset: DatasetFolder,
    folder: Annotated[Path, typer.Argument(help="Where the dataset with more queries will stand.")],
    llm: Llm = None,
    from_: Annotated[
        Literal["titles", "headings", "keywords"] | None,
        typer.Option("--from", help="Without a language model: take the queries from there."),
    ] = None,
    base_url: BaseUrl = None,
    api: Api = None,
    style: Annotated[
        list[str] | None,
        typer.Option(help="question, keyword, long, typo or language; repeatable."),
    ] = None,
    language: Annotated[str, typer.Option(help="Of the style language, such as German.")] = "",
    queries: Annotated[int, typer.Option(help="For each passage in each style.")] = 3,
    examples: Annotated[int, typer.Option(help="Train queries that the model is shown.")] = 5,
    documents: Annotated[
        int | None, typer.Option(help="At most so many, drawn by the seed. Default: all.")
    ] = None,
    fewer_than: Annotated[
        int, typer.Option(help="Write for documents with fewer train queries than that.")
    ] = 1,
    title_field: Annotated[str, typer.Option(help="The field for --from titles.")] = "title",
    max_answer_tokens: MaxAnswerTokens = 1_024,
    input_price: InputPrice = None,
    output_price: OutputPrice = None,
    limit_usd: LimitUsd = None,
    requests_per_minute: RequestsPerMinute = None,
    concurrency: Concurrency = 4,
    timeout_seconds: TimeoutSeconds = 120.0,
    retries: Retries = 5,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what it would cost at most, and stop.")
    ] = False,
    journal: Annotated[
        Path | None, typer.Option(help="Paid answers. Default: beside FOLDER, .answers.jsonl.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="The encoder of the round trip: a folder, package:NAME or id."),
    ] = None,
    rank: Annotated[
        int, typer.Option(help="A query's own document must be among so many nearest.")
    ] = 10,
    max_tokens: MaxTokens = None,
    seed: Annotated[int, typer.Option(help="Draws documents and examples.")] = 0,
    replace: Replace = False,
) -> None:
    """Let a language model write train queries for documents without any, and filter them.

    Every answer is kept before it is used: the same command goes on after a crash, a limit or
    Ctrl-C, and pays nothing twice. Keys are read from ANTHROPIC_API_KEY or OPENAI_API_KEY.
    """
    from nearfar.cli.language_model import endpoint, placed, reachable
    from nearfar.cli.talking import bars, say, stoppable
    from nearfar.data.dataset import Dataset
    from nearfar.errors import BadSetting
    from nearfar.llm.settings import LlmSettings
    from nearfar.synthesis.settings import Filters, Synthesis
    from nearfar.synthesis.synthesise import Run, journal_of
    from nearfar.synthesis.synthesise import synthesise as write

    if (llm is None) == (from_ is None):
        raise BadSetting(
            "Expected either --llm NAME, a language model, or --from titles, headings or "
            f"keywords; got {'neither' if llm is None else 'both'}."
        )
    asked = None
    if llm is not None:
        asked = placed(
            LlmSettings(
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
        )
    settings = Synthesis(
        writer=from_ or "llm",
        llm=asked,
        styles=tuple(style or ("question", "keyword")),
        language=language,
        queries=queries,
        examples=examples,
        documents=documents,
        fewer_than=fewer_than,
        title_field=title_field,
        seed=seed,
        filters=Filters(rank=rank),
    )
    taught = Dataset.open(dataset)
    with ExitStack() as stack:
        served = None
        if asked is not None and (reachable(asked) or not dry_run):
            served = stack.enter_context(endpoint(asked))
        progress = stack.enter_context(bars())
        if dry_run:
            _estimate(taught, settings, served, journal or journal_of(folder), progress)
            return
        encoder = None if model is None else _encoder(model, max_tokens)
        if encoder is None:
            say("Without --model there is no round trip: queries are judged by their text alone.")
        run = Run(
            endpoint=served,
            journal=journal,
            encoder=encoder,
            progress=progress,
            stop=stack.enter_context(stoppable()),
            replace=replace,
        )
        found = write(taught, folder, settings, run)
    _show(folder, found, settings)


def _encoder(name: str, max_tokens: int | None) -> "Encoder":
    from nearfar.model.text import TextEncoder, TextSettings

    return TextEncoder.load(name, TextSettings(max_tokens=max_tokens))


def _estimate(
    dataset: "Dataset",
    settings: "Synthesis",
    endpoint: "Endpoint | None",
    journal: Path,
    progress: "Progress",
) -> None:
    from nearfar.cli.talking import say
    from nearfar.errors import BadSetting
    from nearfar.llm.client import Client
    from nearfar.llm.journal import open_journal
    from nearfar.synthesis.estimate import estimate
    from nearfar.synthesis.plan import make_plan

    if settings.llm is None:
        raise BadSetting("--dry-run says what a language model costs; without one it is nothing.")
    plan = make_plan(dataset, settings)
    client = None if endpoint is None else Client(endpoint, settings.llm)
    with ExitStack() as stack:
        paid = stack.enter_context(open_journal(journal)) if journal.is_file() else None
        found = estimate(
            plan.tasks(), plan.total, settings, client=client, journal=paid, progress=progress
        )
    how = (
        "counted by the server of the model"
        if found.counted
        else "bounded by one for each byte; English has about a quarter of that"
    )
    say(f"documents: {len(plan.chosen.ids):,}, passages: {plan.passages:,}")
    say(f"answers paid for already: {found.answered:,}")
    say(f"input tokens: {found.input_tokens:,}, {how}")
    say(f"output tokens: at most {found.output_tokens:,}, {settings.llm.max_tokens:,} an answer")
    if found.cost_usd is None or found.cost_usd_most is None:
        print(f"{found.requests:,} requests; price unknown: give --input-price and --output-price.")
        return
    print(
        f"{found.requests:,} requests, at most {found.cost_usd:,.4f} dollars; "
        f"{found.cost_usd_most:,.4f} if every answer were malformed and asked for again."
    )


def _show(folder: Path, found: "SynthesisSummary", settings: "Synthesis") -> None:
    from nearfar.cli.talking import say

    chosen = found.chosen
    say(f"left out: {chosen.kept_back:,} documents of dev or test")
    say(f"left out: {chosen.asked_already:,} documents with queries enough")
    if chosen.not_drawn:
        say(f"left out: {chosen.not_drawn:,} documents not drawn")
    for reason, count in found.unwritten.items():
        say(f"without queries: {count:,} passages and styles {reason}")
    for reason, count in found.dropped.items():
        say(f"dropped: {count:,} {reason}")
    bill = "" if found.paying is None else f" {_bill(found.paying, settings)}"
    print(
        f"{folder}: {found.kept:,} of {found.written:,} queries kept, written for "
        f"{len(chosen.ids):,} documents.{bill}"
    )


def _bill(paying: "Paying", settings: "Synthesis") -> str:
    from nearfar.cli.language_model import troubles
    from nearfar.cli.talking import say
    from nearfar.llm.telling import bill

    assert settings.llm is not None
    lost = paying.lost, paying.lost_usd
    for sentence in troubles(
        paying.asked, "passages and styles", settings.llm, lost, paying.now.uncounted
    ):
        say(sentence)
    return bill(paying.now, paying.usd, settings.llm)
