"""Systems of every kind measured on one dataset and compared: `nearfar compare`."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from nearfar.data.dataset import Dataset
from nearfar.errors import BadFile, BadSetting, require
from nearfar.evaluation.cohorts import cohorts_of
from nearfar.evaluation.compared_page import write_comparison
from nearfar.evaluation.comparing import SHOWN, Comparison, compare
from nearfar.evaluation.embedded import Task, read_task
from nearfar.evaluation.evaluate import clusters_of
from nearfar.evaluation.metrics import metric
from nearfar.evaluation.qrels import write_qrels
from nearfar.evaluation.runs import write_run
from nearfar.evaluation.scores import Scores, read_scores, write_scores
from nearfar.evaluation.scoring import RETRIEVAL, scored, with_price
from nearfar.evaluation.settings import Evaluation
from nearfar.evaluation.systems import System
from nearfar.files import whole_file
from nearfar.fingerprint import fingerprint
from nearfar.pipeline.systems import OpenEndpoint, Prompts, is_model, opened, require_system
from nearfar.pipeline.talk import without_key
from nearfar.progress import Progress, silent

_FACTS = "system.json"  # beside the scores: what they were measured of, and how

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is compared, and how.

    Args:
        systems: of each name what it is: a model folder, package:NAME or hub id, "bm25",
            "run:FILE", or "http://host/v1#model".
        reference: the name that the others are held against; empty: the first.
        prices: dollars for a million tokens, by name.
        prompts: what models read before a text, by name.
        runs: whether rankings are written as TREC runs, and the judgments as qrels.
        again: whether what was measured already is measured anew.
        evaluation: the split, and how many documents are ranked.
        metrics: which are shown and tested, the first above all; measured beside `RETRIEVAL`.
    """

    systems: Mapping[str, str]
    reference: str = ""
    prices: Mapping[str, float] = field(default_factory=dict)
    prompts: Mapping[str, Prompts] = field(default_factory=dict)
    runs: bool = False
    again: bool = False
    evaluation: Evaluation = field(default_factory=Evaluation)
    metrics: tuple[str, ...] = SHOWN

    def __post_init__(self) -> None:
        require(bool(self.systems), "--system", "given once or more", dict(self.systems))
        for name, what in self.systems.items():
            require_system(name, what)
        for name in self.metrics:
            metric(name)
        expected = f"the name of a system ({', '.join(self.systems)})"
        if self.reference:
            require(self.reference in self.systems, "--reference", expected, self.reference)
        for option, of in (("--price", self.prices), ("a prompt", self.prompts)):
            for name in of:
                require(name in self.systems, option, expected, name)
                if not is_model(self.systems[name]):
                    raise BadSetting(
                        f"{name}: {option} is for a model, and {self.systems[name]} is none. "
                        "Leave it out."
                    )
        for name, price in self.prices.items():
            require(0 <= price < math.inf, f"--price of {name}", "0 or more", price)

    @property
    def measured(self) -> tuple[str, ...]:
        """Metrics that are kept of each query."""
        return tuple(dict.fromkeys((*RETRIEVAL, *self.metrics)))


@dataclass(frozen=True, slots=True)
class Compared:
    """What was found, and what a person should know beside it."""

    comparison: Comparison
    notes: tuple[str, ...]


def compare_into(
    folder: Path,
    dataset: Dataset,
    asked: Asked,
    *,
    endpoint: OpenEndpoint = without_key,
    say: Say = lambda sentence: None,
    progress: Progress = silent,
) -> Compared:
    """Measure each system on a split of a dataset, and hold them against each other.

    Each is written as soon as it is measured, to FOLDER/systems/NAME; what stands there already,
    of the same system and data, is not measured again.

    Args:
        folder: of everything that is written.
        dataset: whose split is asked.
        asked: the systems, and how they are compared.
        endpoint: opens the way to a server: whoever calls has the keys.
        say: told what is not measured again.
        progress: told while systems work.

    Raises:
        BadFile: the folder holds something else.
        BadRecord: the split has no query with an answer, or a run has a bad line.
        BadModel: a model cannot be loaded.
        NoAnswer: a server gives none.
    """
    task = read_task(dataset, asked.evaluation.split)
    work = _Work(folder, dataset, task, asked, say, progress)
    cohorts = cohorts_of(dataset, task, asked.evaluation.cohorts)
    clusters = tuple(clusters_of(dataset, task))
    if asked.runs:
        write_qrels(folder / "runs" / "qrels.trec", task.judged)
    found: dict[str, Scores] = {}
    notes: list[str] = []
    for name, what in asked.systems.items():
        with opened(name, what, endpoint, progress, asked.prompts.get(name, Prompts())) as system:
            found[name], told = work.scores_of(system, clusters, cohorts)
        notes += told
    reference = asked.reference or next(iter(asked.systems))
    comparison = compare(
        found, reference=reference, metrics=asked.metrics, seed=asked.evaluation.seed
    )
    write_comparison(comparison, folder, notes)
    return Compared(comparison, tuple(notes))


def _priced(costs: Mapping[str, float], asked: Asked, name: str) -> Mapping[str, float]:
    """Return the costs at the price of today, if there is one and tokens were counted."""
    price = asked.prices.get(name)
    own = {key: cost for key, cost in costs.items() if not key.startswith("usd_")}
    return own if price is None or "tokens_per_query" not in own else with_price(own, price)


def _require_tokens(costs: Mapping[str, float], asked: Asked, name: str) -> None:
    """Raise BadSetting where there is a price, and nothing that could be paid for."""
    price = asked.prices.get(name)
    if price is not None and "tokens_per_query" not in costs:
        raise BadSetting(
            f"--price {name}={price:g}: its server does not say how many tokens it read, so they "
            "cannot be paid for. Leave its price out; what was measured is kept."
        )


@dataclass(frozen=True, slots=True)
class _Work:
    """What all systems of a comparison share."""

    folder: Path
    dataset: Dataset
    task: Task
    asked: Asked
    say: Say
    progress: Progress

    def scores_of(
        self, system: System, clusters: tuple[str, ...], cohorts: Mapping[str, tuple[str, ...]]
    ) -> tuple[Scores, list[str]]:
        """Return the scores of a system and what is to be said of them; measure it if need be."""
        place, asked = self.folder / "systems" / system.name, self.asked
        run = self.folder / "runs" / f"{system.name}.trec"
        kept = self._kept_notes(system, place)
        if kept is not None and not asked.again and (run.is_file() or not asked.runs):
            self.say(f"{system.name} was measured before on this data; it is not measured again.")
            scores = replace(read_scores(place), clusters=clusters, cohorts=cohorts)
            return self._written(system, scores, kept), kept
        depth, progress = asked.evaluation.depth, self.progress
        found = system.find(self.dataset, self.task, depth, progress=progress)
        scores = scored(
            system, found, self.dataset, self.task, split=asked.evaluation.split, depth=depth,
            clusters=clusters, cohorts=cohorts, metrics=asked.measured, progress=progress,
        )  # fmt: skip
        run.unlink(missing_ok=True)  # of what was called so before
        scores = self._written(system, scores, found.notes)
        if asked.runs:
            ids = [query.id for query in self.task.queries]
            ranked = {id_: found.rankings.get(id_, ())[:depth] for id_ in ids}
            write_run(run, ranked, tag=system.name)
        return scores, list(found.notes)

    def _written(self, system: System, scores: Scores, notes: Sequence[str]) -> Scores:
        """Write the scores with the costs of today, and what they were measured of."""
        place = self.folder / "systems" / system.name
        scores = replace(scores, costs=_priced(scores.costs, self.asked, system.name))
        write_scores(scores, place, replace=True)
        facts = {
            "key": self._key(system),
            "kind": system.kind,
            "fingerprint": system.fingerprint,
            "facts": dict(system.facts),
            "depth": self.asked.evaluation.depth,
            "notes": list(notes),
        }
        with whole_file(place / _FACTS) as part:
            text = json.dumps(facts, indent=1, ensure_ascii=False)
            part.write_text(text + "\n", encoding="utf-8")
        # Only now: what a server was asked may have been paid for.
        _require_tokens(scores.costs, self.asked, system.name)
        return scores

    def _key(self, system: System) -> str:
        """Return the name of everything that the scores of a system depend on."""
        settings = self.asked.evaluation
        return fingerprint({
            "system": system.fingerprint, "dataset": self.dataset.digest, "split": settings.split,
            "depth": settings.depth, "metrics": list(self.asked.measured),
        })  # fmt: skip

    def _kept_notes(self, system: System, place: Path) -> list[str] | None:
        """Return what was said of a system measured before; None: it has to be measured."""
        if not place.exists():
            return None
        if not (place / "scores.json").is_file():
            raise BadFile(
                f"{place}: expected the scores of a system or nothing, found something else. "
                "Name another folder for the comparison."
            )
        try:
            facts = json.loads((place / _FACTS).read_text(encoding="utf-8"))
            return list(facts["notes"]) if facts["key"] == self._key(system) else None
        except (OSError, ValueError, KeyError, TypeError):
            return None  # stopped between two files: it is measured again
