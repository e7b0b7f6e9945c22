"""The card of a release: what people and the 🤗 hub are told about a model.

It says what was measured and what was not. It names no folder, user or annotator: a card travels
further than the data behind it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nearfar
from nearfar.errors import require
from nearfar.evaluation.intervals import Estimate
from nearfar.evaluation.measure import SHORT_NAMES
from nearfar.evaluation.report import Report
from nearfar.lineage.things import Lineage
from nearfar.release.admission import measured_depth, measured_side
from nearfar.release.card_results import limits, results, verdict_words
from nearfar.release.card_sources import hub_datasets, recipe, sources
from nearfar.release.card_stages import stages_limits, stages_results
from nearfar.release.card_words import encoder_usage, encoder_words, reranker_usage, reranker_words
from nearfar.release.markdown import code, line, plain
from nearfar.release.subject import Subject
from nearfar.release.verdict import Verdict

# Of the licences that the hub has an id for, those that models have; others are "other".
_LICENCES = (
    "afl-3.0", "agpl-3.0", "apache-2.0", "artistic-2.0", "bigscience-openrail-m", "bsd",
    "bsd-2-clause", "bsd-3-clause", "bsl-1.0", "cc", "cc-by-2.0", "cc-by-3.0", "cc-by-4.0",
    "cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-3.0",
    "cc-by-nc-sa-4.0", "cc-by-nd-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc0-1.0", "ecl-2.0",
    "epl-2.0", "eupl-1.1", "eupl-1.2", "gemma", "gpl", "gpl-2.0", "gpl-3.0", "isc", "lgpl",
    "lgpl-2.1", "lgpl-3.0", "llama2", "llama3", "mit", "mpl-2.0", "openrail", "unknown",
    "unlicense", "wtfpl", "zlib",
)  # fmt: skip
_LANGUAGE = re.compile(r"[a-z]{2,3}")
Lines = Iterator[str]

# What the hub files a model under, the task first.
_ENCODER = ("sentence-similarity", "feature-extraction", "information-retrieval")
_RERANKER = ("text-ranking", "cross-encoder", "reranker", "information-retrieval")


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a card says that no file knows.

    Args:
        name: of the model.
        licence: SPDX name, or "unknown".
        languages: codes such as "de"; none: those of the cohorts by language.
        base_model: id on the hub of the model that training began with; empty: unknown.
    """

    name: str
    licence: str = "unknown"
    languages: tuple[str, ...] = ()
    base_model: str = ""

    def __post_init__(self) -> None:
        for one in self.languages:
            holds = _LANGUAGE.fullmatch(one) is not None
            require(holds, "language", "a code such as de", one)
        require(bool(self.licence.strip()), "licence", "given", self.licence)
        holds = re.fullmatch(r"([\w.-]+(/[\w.-]+)?)?", self.base_model) is not None
        require(holds, "base-model", "the id of a model on the hub", self.base_model)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What files say, and a card shows."""

    folder: Path  # of the model
    subject: Subject
    verdict: Verdict
    report: Report | None = None
    lineage: Lineage | None = None

    def measured(self) -> Iterator[tuple[str, Estimate]]:
        """Yield what the report says the model reaches; of a reranker, with its encoder.

        Raises:
            DataMismatch: the report is about something else than the verdict.
        """
        if self.report is None:
            return
        stages = self.subject.stages
        if stages is not None:
            measures = measured_depth(self.report, self.verdict, stages).measures
            found = [(one.name, one.tuned) for one in measures]
        else:
            side = measured_side(self.report, self.verdict)
            found = [(one.name, getattr(one, side)) for one in self.report.measures]
        yield from ((name, estimate) for name, estimate in found if estimate is not None)


def card(about: About, shown: Shown) -> str:
    """Return the card as Markdown with 🤗 front matter; equal inputs, equal cards.

    Raises:
        DataMismatch: the report is about something else than the verdict.
    """
    return f"---\n{_front(about, shown)}---\n\n" + "\n".join(_body(about, shown)) + "\n"


def _front(about: About, shown: Shown) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    licence = about.licence.strip().lower()
    known = licence in _LICENCES
    named: dict[str, Any] = {} if known else {"license_name": line(about.licence)}
    verdict = shown.verdict
    found = [
        EvalResult(
            task_type="information-retrieval",
            task_name="Information retrieval",
            dataset_type="unknown",
            dataset_name=line(f"{verdict.split} split"),
            dataset_split=line(verdict.split),
            dataset_revision=line(verdict.dataset),
            metric_type=line(name),
            metric_name=line(SHORT_NAMES.get(name, name)),
            metric_value=round(estimate.mean, 6),
        )
        for name, estimate in shown.measured()
    ]
    kinds = _RERANKER if shown.subject.stages else _ENCODER
    data = ModelCardData(
        language=list(about.languages or _languages(shown)) or None,
        license=licence if known else "other",
        library_name="sentence-transformers",
        pipeline_tag=kinds[0],
        tags=["sentence-transformers", *kinds, "nearfar"],
        base_model=about.base_model or None,
        datasets=hub_datasets(shown.lineage) or None,
        model_name=about.name if found else None,
        eval_results=found or None,
        **named,
    )
    return str(data.to_yaml()).rstrip("\n") + "\n"


def _languages(shown: Shown) -> list[str]:
    cohorts = shown.report.cohorts if shown.report else ()
    values = {one.value for one in cohorts if one.field in ("query.language", "document.language")}
    return sorted(value for value in values if _LANGUAGE.fullmatch(value))


def _body(about: About, shown: Shown) -> Iterator[str]:
    words, usage, shows, ends = _of_its_kind(about, shown)
    yield f"# {plain(about.name)}"
    yield ""
    yield words
    yield ""
    yield "## How to use it"
    yield ""
    yield from usage
    yield from _section("Data", sources(shown.lineage))
    yield from _section("Recipe", recipe(shown.folder))
    yield from _section("Results", shows)
    yield from _section("Verdict", verdict_words(shown.verdict))
    yield from _section("Limits", ends)
    yield from _section("Digests", _digests(shown))


def _of_its_kind(about: About, shown: Shown) -> tuple[str, Lines, Lines, Lines]:
    """Return what is said of encoders and rerankers in words of their own.

    That is what it is, how it is used, what it reaches, and where that ends.
    """
    space, reads = shown.subject.space, shown.subject.reads
    verdict, report = shown.verdict, shown.report
    if reads is None:
        return (
            encoder_words(space, verdict),
            encoder_usage(about.name, space),
            results(report, verdict),
            limits(report, verdict, space),
        )
    return (
        reranker_words(reads, verdict),
        reranker_usage(about.name, reads),
        stages_results(report, verdict, reads.stages),
        stages_limits(report, verdict, reads),
    )


def _digests(shown: Shown) -> Iterator[str]:
    verdict, stages = shown.verdict, shown.subject.stages
    yield "The SHA-256 of every file stands in `release.json`, and names the version."
    yield ""
    own = [("space", shown.subject.space.fingerprint), ("weights", shown.subject.space.weights)]
    if stages is not None:
        own = [("reranker", stages.reranker),
               ("space of the candidates", stages.encoder.fingerprint)]  # fmt: skip
    for what, value in (
        *own,
        ("test set", verdict.dataset),
        ("policy", verdict.policy_digest),
        ("scores behind the verdict", verdict.candidate.scores),
        ("made by", f"nearfar {nearfar.__version__}"),
    ):
        yield f"- {what}: {code(value)}"


def _section(title: str, lines: Lines) -> Lines:
    yield f"## {title}"
    yield ""
    yield from lines
    yield ""
