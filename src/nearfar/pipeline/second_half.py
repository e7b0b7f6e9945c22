"""The second half of a recipe: a cross-encoder is trained, teaches, and the encoder goes on."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from nearfar.data.dataset import Dataset
from nearfar.model.reranker import Reranker
from nearfar.model.rerankers import load_reranker
from nearfar.model.text import TextEncoder
from nearfar.pipeline.learning import learn_to_rerank
from nearfar.pipeline.recipe import CrossTraining, Distillation, Recipe
from nearfar.pipeline.stage import Stage
from nearfar.pipeline.talk import Talk, best_of
from nearfar.teaching.teach import Run, teach
from nearfar.training.train import Hooks


@dataclass(frozen=True, slots=True)
class SecondHalf:
    """What its stages need of the walk."""

    recipe: Recipe
    talk: Talk
    stage: Callable[[str, Mapping[str, Any]], Stage]

    def cross_encoder(self, chosen: CrossTraining, dataset: Dataset, taught: Dataset) -> Path:
        """Return a cross-encoder trained on a dataset, and checked on the dev split.

        Args:
            chosen: how.
            dataset: with the dev split.
            taught: with negatives, if any were mined.
        """
        recipe = self.recipe
        base = chosen.base or recipe.model.base
        evaluation = recipe.evaluation
        facts = {
            "taught": taught.digest,
            "dev": dataset.digest,
            "checks": [evaluation.dev_queries, evaluation.dev_documents, evaluation.dev_candidates],
            "base": base,
            "loss": asdict(recipe.reranking_loss),
            "chosen": asdict(chosen) | {"candidates": ()},  # which are only measured
        }
        work = self.stage("cross-encoder", facts)
        if not work.done:
            with work.work() as result, self.talk.stoppable() as stop:
                settings = replace(recipe, training=chosen.training)
                hooks = Hooks(progress=self.talk.progress, stop=stop, say=self.talk.say)
                found = learn_to_rerank(
                    base, taught, work.folder, settings, hooks,
                    max_tokens=chosen.max_tokens,
                )  # fmt: skip
                result |= {"steps": found.steps, "best_step": found.best_step}
            self.talk.say(best_of(work.result["best_step"], work.result["steps"]))
        return work.folder / "model"

    def teacher(self, chosen: Distillation, cross: Path | None) -> Reranker:
        """Return who scores."""
        if chosen.reranker is not None:
            return load_reranker(chosen.reranker.base, chosen.reranker)
        assert cross is not None  # the recipe has checked it
        return load_reranker(cross)

    def teach(
        self, chosen: Distillation, teacher: Reranker, encoder: TextEncoder, taught: Dataset
    ) -> Dataset:
        """Return a dataset with the teacher's scores, and with candidates of the encoder."""
        facts = {
            "dataset": taught.digest,
            "teacher": teacher.fingerprint,
            "space": encoder.space.fingerprint if chosen.candidates else None,
            "teaching": asdict(chosen.teaching),
        }
        work = self.stage("teach", facts)
        folder = work.folder / "dataset"
        if not work.done:
            with work.work() as result, self.talk.stoppable() as stop:
                run = Run(
                    cache=work.folder / "scores",
                    encoder=encoder if chosen.candidates else None,
                    progress=self.talk.progress,
                    stop=stop,
                    replace=True,
                )
                found = teach(teacher, taught, folder, chosen.teaching, run)
                result |= {"pairs": found.pairs, "became": dict(found.became)}
            self.talk.say(f"{found.pairs:,} pairs scored for {found.queries:,} queries")
        return Dataset.open(folder)
