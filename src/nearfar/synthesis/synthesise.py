"""Queries for documents that nobody has asked about yet, as a new dataset."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from nearfar.data.copying import copy_records
from nearfar.data.dataset import Dataset
from nearfar.data.spool import short_hash
from nearfar.data.writer import DatasetWriter, require_replaceable, write_dataset
from nearfar.errors import BadFile, BadRecord, BadSetting
from nearfar.fingerprint import content_id
from nearfar.llm.asking import Asked
from nearfar.llm.client import Client
from nearfar.llm.journal import Bill, Journal, open_journal
from nearfar.llm.limits import Clock, RealClock
from nearfar.llm.messages import Endpoint, NoAnswer
from nearfar.model.encoder import Encoder
from nearfar.progress import Progress, silent
from nearfar.records import Judgment, Origin, Query
from nearfar.synthesis.asking import ask_all
from nearfar.synthesis.candidates import Candidate, Tally, answered, plain
from nearfar.synthesis.filters import TextSieve, normal
from nearfar.synthesis.passages import Chosen, choose_documents
from nearfar.synthesis.plan import Plan, make_plan
from nearfar.synthesis.round_trip import vector_sieve
from nearfar.synthesis.settings import Synthesis


@dataclass(frozen=True, slots=True, kw_only=True)
class Paying:
    """Who is asked, and what it came to."""

    asked: Asked
    now: Bill  # of this run
    usd: float | None  # of the whole journal: this run and those before; None: prices unknown
    lost: int  # requests of this run that may be billed though no answer came
    lost_usd: float | None  # what those cost at most; None: prices unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class SynthesisSummary:
    """What was written, what was kept, and what it cost."""

    chosen: Chosen
    written: int  # queries, before the filters
    kept: int
    dropped: Mapping[str, int]  # queries, each by the first reason that held
    unwritten: Mapping[str, int]  # passages in a style that brought no queries, by the reason
    paying: Paying | None  # None: no language model was asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """How one synthesis is done; nothing of it changes what is written."""

    endpoint: Endpoint | None = None  # the language model; the other writers need none
    journal: Path | None = None  # the answers that were paid for; None: `journal_of` the folder
    encoder: Encoder | None = None  # judges the round trip and likeness; None: those are off
    clock: Clock = field(default_factory=RealClock)
    progress: Progress = silent
    stop: Callable[[], bool] = lambda: False
    replace: bool = False  # take the place of a dataset that stands there


def journal_of(folder: Path) -> Path:
    """Return where the answers for a dataset are kept unless a place is named: beside it."""
    return folder.with_name(f"{folder.name}.answers.jsonl")


def synthesise(
    dataset: Dataset, folder: Path, settings: Synthesis, run: Run | None = None
) -> SynthesisSummary:
    """Write the dataset again with queries for documents of its train side that have none.

    Each answer of the language model is in the journal, safe from a loss of power, before
    anything else is done with it. So a run that was killed, or stopped at its cost limit, goes on
    without paying twice, and other filters cost nothing. Never written for: a document whose
    group holds an answer of dev or test, or that shares its text with such a one.

    The result depends on the answers, not on the order in which they came.

    Args:
        dataset: stays as it is.
        folder: where the new dataset will stand.
        settings: who writes, how many, in which styles, and what is kept.
        run: the language model, the journal, the encoder and the like.

    Raises:
        BadFile: the folder exists and is not to be replaced; the journal is damaged or in use.
        BadRecord: there is no document to write for, or no query was kept.
        BadSetting: the key, the model or the address is wrong.
        NoAnswer: the language model does not answer; what it answered before is kept.
        Stopped: `run.stop` said so; every answer so far is kept.

    Source: few-shot prompt and round trip as in Dai et al. 2022, arXiv:2209.11755 (Promptagator),
        sec. 3; there a query is kept if its passage comes first, here within `filters.rank`.
    """
    run = run or Run()
    _require_free(folder, dataset, run.replace)
    tally = Tally()
    if settings.writer != "llm":
        chosen = choose_documents(dataset, settings)
        candidates: Iterable[Candidate] = plain(dataset, chosen.ids, settings, tally)
        return _Making(dataset, folder, settings, run, chosen, tally).make(candidates)
    assert settings.llm is not None
    if run.endpoint is None:
        raise ValueError("the writer 'llm' needs an endpoint.")
    plan = make_plan(dataset, settings)
    with open_journal(run.journal or journal_of(folder)) as journal:
        paying = _pay(plan, journal, run.endpoint, run)
        candidates = answered(plan.tasks(), journal, settings, tally)
        making = _Making(dataset, folder, settings, run, plan.chosen, tally, paying, plan)
        return making.make(candidates)


def _pay(plan: Plan, journal: Journal, endpoint: Endpoint, run: Run) -> Paying:
    llm = plan.settings.llm
    assert llm is not None
    spent = (journal.before.total_usd(llm) or 0.0) + (journal.lost_before.total_usd(llm) or 0.0)
    client = Client(endpoint, llm, run.clock, spent_usd=spent)
    asked = ask_all(
        plan.tasks(), plan.total, client, journal, plan.settings,
        progress=run.progress, stop=run.stop,
    )  # fmt: skip
    before, now = journal.before.total_usd(llm), journal.now.total_usd(llm)
    return Paying(
        asked=asked,
        now=journal.now,
        usd=None if before is None or now is None else before + now,
        lost=journal.lost_now.answers,
        lost_usd=journal.lost_now.total_usd(llm),
    )


@dataclass
class _Making:
    """Filters what was written, and writes the dataset."""

    dataset: Dataset
    folder: Path
    settings: Synthesis
    run: Run
    chosen: Chosen
    tally: Tally
    paying: Paying | None = None
    plan: Plan | None = None

    def make(self, candidates: Iterable[Candidate]) -> SynthesisSummary:
        asked = {short_hash(normal(query.content)) for query in self.dataset.queries()}
        by_text = TextSieve(self.settings.filters, asked, self.settings.writer != "llm")
        passed = by_text.sift(candidates)
        dropped = by_text.dropped
        ranked: Iterable[tuple[Candidate, int | None]] = ((one, None) for one in passed)
        if self.run.encoder is not None:
            by_vector = vector_sieve(
                self.run.encoder, self.dataset, self.settings.filters, self.chosen.ids,
                self.run.progress,
            )  # fmt: skip
            by_vector.dropped = dropped
            ranked = by_vector.sift(passed)
        licence = str(self.dataset.manifest.get("licence", "unknown"))
        kept = 0
        with write_dataset(
            self.folder, licence=licence, parents=self._parents(), replace=self.run.replace
        ) as writer:
            copy_records(self.dataset, writer)
            for candidate, rank in ranked:
                self._add(writer, candidate, rank)
                kept += 1
                self.run.progress("keep queries", kept, None)
            if kept == 0:
                raise self._nothing(dropped)
        return SynthesisSummary(
            chosen=self.chosen,
            written=self.tally.written,
            kept=kept,
            dropped=dict(dropped),
            unwritten=dict(self.tally.unwritten),
            paying=self.paying,
        )

    def _add(self, writer: DatasetWriter, candidate: Candidate, rank: int | None) -> None:
        document = candidate.passage.document
        source = candidate.passage.source
        id = content_id(candidate.text)
        facts = dict(candidate.facts) | ({} if rank is None else {"filter_rank": rank})
        group = document.group or document.id
        writer.add_query(Query(id=id, content=candidate.text, group=group, source=source))
        origin = Origin(
            kind="synthetic", source=source, by=candidate.by, at=candidate.at, facts=facts
        )
        writer.add_judgment(
            Judgment(
                query_id=id,
                document_id=document.id,
                grade=self.settings.grade,
                origin=origin,
                split="train",
            )
        )

    def _parents(self) -> list[dict[str, Any]]:
        facts = asdict(self.settings)
        if self.settings.llm is not None and self.settings.llm.base_url is not None:
            facts["llm"]["base_url"] = _without_secrets(self.settings.llm.base_url)
        if self.run.encoder is not None:
            facts["space"] = self.run.encoder.space.fingerprint
        parent = {
            "kind": "dataset",
            "path": str(self.dataset.folder),
            "digest": self.dataset.digest,
            "synthesised_with": facts,
        }
        prompts = [] if self.plan is None else self.plan.prompts
        return [parent] + [
            {"kind": "prompt", "path": one.hash, "style": one.style, "text": one.text}
            for one in prompts
        ]

    def _nothing(self, dropped: Mapping[str, int]) -> Exception:
        asked = None if self.paying is None else self.paying.asked
        if asked is not None and asked.failed and not self.tally.written:
            return NoAnswer(asked.last_failure)
        if asked is not None and asked.limit_reached and not self.tally.written:
            assert self.settings.llm is not None
            return BadSetting(
                f"The limit of {self.settings.llm.limit_usd} dollars does not allow for one more "
                "request, and no query is there yet. Raise it; the same command goes on."
            )
        found = [*self.tally.unwritten.items(), *dropped.items()]
        counts = [f"{count:,} {reason}" for reason, count in found]
        return BadRecord(
            f"{self.dataset.folder}: expected queries to keep, found none of "
            f"{self.tally.written:,} written ({', '.join(counts)}). Loosen the filters, or look at "
            "what was written."
        )


def _require_free(folder: Path, dataset: Dataset, replace: bool) -> None:
    """Find out before a cent is spent whether the result can stand there."""
    if folder.resolve() == dataset.folder.resolve():
        raise BadFile(
            f"{folder}: this is the dataset that is written for, and it stays as it is. "
            "Name another folder for the new one."
        )
    if folder.exists() and not replace:
        raise BadFile(
            f"{folder} exists already. Name another folder, or add --replace: answers that were "
            "paid for are not paid again."
        )
    if replace:
        require_replaceable(folder)


def _without_secrets(address: str) -> str:
    """Return an address without what may be a password or a key."""
    parts = urlsplit(address)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname}{port}{parts.path}"
