"""The card of a release: what people and the 🤗 hub are told about a model.

It says what was measured and what was not. It names no folder, user or annotator: a card travels
further than the data behind it.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nearfar
from nearfar.errors import require
from nearfar.evaluation.measure import SHORT_NAMES
from nearfar.evaluation.report import Report
from nearfar.lineage.things import Lineage
from nearfar.model.space import EmbeddingSpace
from nearfar.release.admission import measured_side
from nearfar.release.card_results import limits, results, verdict_words
from nearfar.release.card_sources import hub_datasets, recipe, sources
from nearfar.release.markdown import code, line, plain
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
_TAGS = ("sentence-transformers", "sentence-similarity", "feature-extraction",
         "information-retrieval", "nearfar")  # fmt: skip


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
    space: EmbeddingSpace
    verdict: Verdict
    report: Report | None = None
    lineage: Lineage | None = None


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
            metric_value=round(mean, 6),
        )
        for name, mean in _means(shown)
    ]
    data = ModelCardData(
        language=list(about.languages or _languages(shown)) or None,
        license=licence if known else "other",
        library_name="sentence-transformers",
        pipeline_tag="sentence-similarity",
        tags=[*_TAGS],
        base_model=about.base_model or None,
        datasets=hub_datasets(shown.lineage) or None,
        model_name=about.name if found else None,
        eval_results=found or None,
        **named,
    )
    return str(data.to_yaml()).rstrip("\n") + "\n"


def _means(shown: Shown) -> Iterator[tuple[str, float]]:
    if shown.report is None:
        return
    side = measured_side(shown.report, shown.verdict)
    for one in shown.report.measures:
        estimate = getattr(one, side)
        if estimate is not None:
            yield one.name, estimate.mean


def _languages(shown: Shown) -> list[str]:
    cohorts = shown.report.cohorts if shown.report else ()
    values = {one.value for one in cohorts if one.field in ("query.language", "document.language")}
    return sorted(value for value in values if _LANGUAGE.fullmatch(value))


def _body(about: About, shown: Shown) -> Iterator[str]:
    space, verdict = shown.space, shown.verdict
    yield f"# {plain(about.name)}"
    yield ""
    normal = "of length 1" if space.normalised else "whose length is not fixed"
    yield (
        f"An embedding model: texts become vectors of {space.dim} numbers, {normal}, and the "
        "cosine of two vectors says how well a document answers a query. It reads the first "
        f"{space.max_tokens} tokens of a text. It was released because it passed the gate below."
        if verdict.outcome == "PASS"
        else f"An embedding model of {space.dim} numbers a text, for a part of the traffic: the "
        "evidence below was not enough for a release."
    )
    yield ""
    yield "## How to use it"
    yield ""
    yield f"`nearfar fetch REGISTRY {about.name}@ALIAS {about.name}` takes a checked copy. Then:"
    yield ""
    yield from _code_block("python", (
        "from nearfar.model.text import TextEncoder\n"
        "from nearfar.vectors.similarity import cosine\n\n"
        f'encoder = TextEncoder.load("{about.name}")\n'
        'queries = encoder.encode(["how do I open it?"], "query")\n'
        'documents = encoder.encode(["Turn the key."], "document")\n'
        "print(cosine(queries, documents))"
    ))  # fmt: skip
    yield "or, with the same vectors:"
    yield ""
    yield from _code_block("python", (
        "from sentence_transformers import SentenceTransformer\n\n"
        f'model = SentenceTransformer("{about.name}")\n'
        'queries = model.encode_query(["how do I open it?"])\n'
        'documents = model.encode_document(["Turn the key."])\n'
        "print(model.similarity(queries, documents))"
    ))  # fmt: skip
    for role, prompt in (("queries", space.query_prompt), ("documents", space.document_prompt)):
        if prompt:
            yield f"Both put a prompt before {role}: {plain(json.dumps(prompt))}"
            yield ""
    yield from _section("Data", sources(shown.lineage))
    yield from _section("Recipe", recipe(shown.folder))
    yield from _section("Results", results(shown.report, verdict))
    yield from _section("Verdict", verdict_words(verdict))
    yield from _section("Limits", limits(shown.report, verdict, space))
    yield from _section("Digests", _digests(shown))


def _digests(shown: Shown) -> Iterator[str]:
    verdict = shown.verdict
    yield "The SHA-256 of every file stands in `release.json`, and names the version."
    yield ""
    for what, value in (
        ("space", shown.space.fingerprint),
        ("weights", shown.space.weights),
        ("test set", verdict.dataset),
        ("policy", verdict.policy_digest),
        ("scores behind the verdict", verdict.candidate.scores),
        ("made by", f"nearfar {nearfar.__version__}"),
    ):
        yield f"- {what}: {code(value)}"


def _section(title: str, lines: Iterator[str]) -> Iterator[str]:
    yield f"## {title}"
    yield ""
    yield from lines
    yield ""


def _code_block(language: str, text: str) -> Iterator[str]:
    yield from (f"```{language}", text, "```", "")
