"""The second half of a recipe: a cross-encoder is trained, teaches, and the encoder goes on."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from nearfar.data.dataset import Dataset
from nearfar.model.cross_encoder import CrossEncoder, CrossSettings
from nearfar.model.locate import called
from nearfar.model.rerankers import load_reranker
from nearfar.model.text import TextEncoder
from nearfar.model.yes_no import YesNoReranker
from nearfar.pipeline.evaluating import SecondStage
from nearfar.pipeline.learning import learn_to_rerank
from nearfar.pipeline.recipe import CrossTraining, Distillation, Recipe
from nearfar.pipeline.stage import Stage
from nearfar.pipeline.talk import Talk, best_of
from nearfar.pipeline.teachers import load_teachers, require_reachable
from nearfar.teaching.teach import Run, TeachingSummary, teach
from nearfar.training.train import Hooks


@dataclass(frozen=True, slots=True)
class SecondHalf:
    """What its stages need of the walk."""

    recipe: Recipe
    talk: Talk
    stage: Callable[[str, Mapping[str, Any]], Stage]
    home: Path  # scores are kept there for other settings too

    def cross_encoder(self, chosen: CrossTraining, dataset: Dataset, taught: Dataset) -> Path:
        """Return a cross-encoder trained on a dataset, and checked on the dev split.

        Args:
            chosen: how.
            dataset: with the dev split.
            taught: with negatives, if any were mined.
        """
        recipe = self.recipe
        model = self._begin(chosen)
        facts = {
            "taught": taught.digest,
            "dev": dataset.digest,
            "checks": checks_of(recipe),
            "base": model.fingerprint,
            "precision": str(model.precision),
            "loss": asdict(recipe.reranking_loss),
            "training": asdict(chosen.training),
        }
        work = self.stage("cross-encoder", facts)
        if not work.done:
            with work.work() as result, self.talk.stoppable() as stop:
                settings = replace(recipe, training=chosen.training)
                base = chosen.base or self.recipe.model.base
                hooks = Hooks(progress=self.talk.progress, stop=stop, say=self.talk.say,
                              base=called(base, revision=chosen.revision))  # fmt: skip
                found = learn_to_rerank(model, taught, work.folder, settings, hooks)
                result |= {"steps": found.steps, "best_step": found.best_step}
            self.talk.say(best_of(work.result["best_step"], work.result["steps"]))
        return work.folder / "model"

    def scored(
        self, chosen: Distillation, cross: Path | None, encoder: TextEncoder, taught: Dataset
    ) -> Dataset:
        """Return a dataset with the teachers' scores, and with candidates of the encoder.

        The teachers are loaded here, and gone when this returns: what learns needs their room.
        """
        own = [(str(cross), self._machine)] if chosen.asks_own else []
        others = [(one.base, one) for one in chosen.rerankers]
        teachers = load_teachers([*own, *others], chosen.judge, self.talk.say)
        fitted = teachers.calibration
        teaching = asdict(chosen.teaching)
        teaching.pop("pairs_per_block")  # moves nothing
        facts = {
            "dataset": taught.digest,
            "teachers": teachers.fingerprints,
            "space": encoder.space.fingerprint if chosen.candidates else None,
            "teaching": teaching,
            "calibration": None if fitted is None else [fitted.slope, fitted.offset],
        }
        work = self.stage("teach", facts)
        folder = work.folder / "dataset"
        if not work.done:
            with work.work() as result, self.talk.stoppable() as stop:
                judged = None if chosen.judge is None else chosen.least_agreement
                run = Run(
                    cache=self.home / "scores",
                    encoder=encoder if chosen.candidates else None,
                    calibration=fitted,
                    names=teachers.names,
                    least_agreement=judged,
                    progress=self.talk.progress,
                    stop=stop,
                    replace=True,
                )
                answers = self.home / "judge.answers.jsonl"
                with teachers.ready(answers, self.talk, stop) as ready:
                    found = teach(ready, taught, folder, chosen.teaching, run)
                result |= {"pairs": found.pairs, "became": dict(found.became)}
            self._tell(found, judged)
        return Dataset.open(folder)

    def require_teachers(self) -> None:
        """Find out before anything is trained whether teachers are there, unless they are done."""
        chosen = self.recipe.distillation
        if chosen is not None and not any(self.home.glob("teach-*/stage.json")):
            require_reachable(chosen, self.talk)

    def measured(self, cross: Path | None) -> SecondStage | None:
        """Return the second stage of search, if the recipe wants it measured."""
        chosen = self.recipe.cross_encoder
        if chosen is None or cross is None or not chosen.candidates:
            return None
        reranker = load_reranker(cross, self._machine)
        return SecondStage(reranker=reranker, candidates=chosen.candidates)

    def _tell(self, found: TeachingSummary, least: float | None) -> None:
        self.talk.say(f"{found.pairs:,} pairs scored for {found.queries:,} queries")
        if found.unscored:
            self.talk.say(f"without a score: {found.unscored:,} pairs")
        if (worry := found.worry()) is not None:
            self.talk.say(worry)
        if found.agreement is not None:
            self.talk.say(found.agreement.sentence(least))

    @property
    def _machine(self) -> CrossSettings:
        asked = self.recipe.model
        return CrossSettings(precision=asked.precision, device=asked.device)

    def _begin(self, chosen: CrossTraining) -> CrossEncoder | YesNoReranker:
        """Load what is to be trained."""
        chosen = replace(chosen, seed=chosen.training.seed)
        if chosen.base is not None:
            return load_reranker(chosen.base, chosen)
        own = self.recipe.model
        return load_reranker(
            own.base,
            replace(
                chosen, revision=own.revision, sha256=own.sha256, precision=own.precision,
                device=own.device,
            ),
        )  # fmt: skip


def checks_of(recipe: Recipe) -> dict[str, int]:
    """Return what decides which weights of a training are the best."""
    names = ("dev_queries", "dev_documents", "dev_candidates")
    return {name: getattr(recipe.evaluation, name) for name in names}
