"""Walks the stages of a recipe: import, check, mine, train, evaluate, gate, index, search.

Mining and training may take turns: the second round mines with the model of the first. A
cross-encoder may be trained then, and teach: the encoder goes on by its graded scores. What does
not pass the recipe's policy gets no index.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from nearfar.data.check import check_dataset
from nearfar.data.dataset import Dataset
from nearfar.data.findings import CheckReport
from nearfar.data.importing import import_source
from nearfar.evaluation.derived import trained_texts
from nearfar.mining.negatives import mine_negatives
from nearfar.model.locate import called
from nearfar.model.text import TextEncoder, TextSettings
from nearfar.pipeline.evaluating import BASE_SCORES, SCORES, dev_check, evaluate_into
from nearfar.pipeline.gating import Compared, gate
from nearfar.pipeline.latest import Finished, point_at
from nearfar.pipeline.recipe import Recipe
from nearfar.pipeline.remembering import Remembering
from nearfar.pipeline.second_half import SecondHalf, checks_of
from nearfar.pipeline.source import identity
from nearfar.pipeline.stage import Stage, stage
from nearfar.pipeline.talk import Talk, best_of
from nearfar.pipeline.tasks import distilling_tasks, judges_of, tasks_of
from nearfar.release.verdict import Verdict
from nearfar.search.index import build_index, open_index
from nearfar.search.search import search
from nearfar.training.course import Task
from nearfar.training.settings import Training
from nearfar.training.train import Hooks, train


def run(recipe: Recipe, *, recipe_folder: Path, runs: Path, talk: Talk | None = None) -> Finished:
    """Walk all stages; one that is done already is skipped.

    Args:
        recipe: every choice.
        recipe_folder: from where a relative `data.source` is seen.
        runs: the folder under which `recipe.name` becomes the run's home.
        talk: whom to tell.

    Raises:
        NearfarError: a stage could not do its work; those before it are kept.
    """
    return _Walk(recipe, recipe_folder, runs / recipe.name, talk or Talk()).all()


@dataclass(slots=True)
class _Walk:
    recipe: Recipe
    recipe_folder: Path
    home: Path
    talk: Talk
    stages: dict[str, Path] = field(default_factory=dict)
    model: Path | None = None  # of the last training

    def all(self) -> Finished:
        self._second.require_teachers()
        dataset = self.import_()
        base = TextEncoder.load(self.recipe.model.base, self.recipe.model)
        self.check(dataset, base)
        asked = self.recipe.model
        machine = TextSettings(precision=asked.precision, device=asked.device)
        taught = self.mine(dataset, base)
        model = self.train(dataset, taught)
        for number in range(2, 1 + (self.recipe.mining.rounds if self.recipe.mining else 1)):
            miner = TextEncoder.load(model, machine)
            taught = self.mine(dataset, miner, number)
            model = self.train(dataset, taught, number)
        cross = self.cross_encoder(dataset, taught)
        model = self.distil(dataset, taught, machine, model, cross)
        tuned = TextEncoder.load(model, machine)
        remembering = Remembering(tuned)  # evaluation and index need the same documents
        report = self.evaluate(dataset, base, remembering, cross)
        verdict = self.gate(report)
        latest: dict[str, Path | None] = {
            "report.html": report / "report.html", "model": model, "index": None,
            "dataset": self.stages["import"] / "dataset",
        }  # fmt: skip
        if verdict is not None and verdict.outcome != "PASS":
            point_at(self.home, self.stages, latest)
            return Finished(self.home, dataset, model, report, None, {}, verdict)
        index = self.index(dataset, remembering)
        answers = {
            question: search(open_index(index), tuned, question, k=self.recipe.search.k)
            for question in self.recipe.search.questions
        }
        point_at(self.home, self.stages, latest | {"index": index})
        return Finished(self.home, dataset, model, report, index, answers, verdict)

    def import_(self) -> Dataset:
        data = self.recipe.data
        source, facts = identity(data.source, self.recipe_folder)
        if data.documents:
            documents, more = identity(data.documents, self.recipe_folder)
            data, facts = replace(data, documents=str(documents)), [facts, more]
        work = self._stage("import", {"source": facts, "options": asdict(data)})
        folder = work.folder / "dataset"
        if not work.done:
            with work.work() as result:
                found = import_source(
                    source, folder, data, progress=self.talk.progress, replace=True
                )
                for sentence in found.sentences:
                    self.talk.say(sentence)
                result |= {"left_out": found.left_out, "digest": found.dataset.digest}
        dataset = Dataset.open(folder)
        rows = dataset.manifest["rows"]
        self.talk.say(", ".join(f"{count:,} {table}" for table, count in rows.items()))
        return dataset

    def check(self, dataset: Dataset, base: TextEncoder) -> None:
        facts = {"dataset": dataset.digest, "tokenizer": base.tokens.digest(),
                 "max_tokens": base.tokens.max_tokens}  # fmt: skip
        work = self._stage("check", facts)
        if work.done:
            return
        with work.work() as result:
            found = check_dataset(
                dataset, count_tokens=base.tokens.count, max_tokens=base.tokens.max_tokens,
                cohorts=None,
            )  # fmt: skip
            result |= {"ok": found.ok, "findings": [asdict(f) for f in found.findings]}
        self._tell(found)

    def mine(self, dataset: Dataset, miner: TextEncoder, number: int = 1) -> Dataset:
        """Return the dataset with negatives, mined in a round with the model of the last one."""
        recipe = self.recipe
        if recipe.mining is None:
            return dataset
        judges = judges_of(recipe)
        facts = {"dataset": dataset.digest, "space": miner.space.fingerprint,
                 "mining": asdict(recipe.mining), "judges": judges.fingerprints}  # fmt: skip
        work = self._stage(_of_round("mine", number), facts)
        folder = work.folder / "dataset"
        if not work.done:
            with work.work() as result:
                found = mine_negatives(
                    miner, dataset, folder, recipe.mining, judges=judges,
                    cache=self.home / "vectors", progress=self.talk.progress, replace=True,
                )  # fmt: skip
                result |= asdict(found)
            self.talk.say(f"{found.negatives:,} hard negatives for {found.queries:,} queries")
            for sentence in found.sentences():
                self.talk.say(sentence)
        return Dataset.open(folder)

    def train(self, dataset: Dataset, taught: Dataset, number: int = 1) -> Path:
        """Return a model that began at the base, whatever the round."""
        recipe = self.recipe
        learner = TextEncoder.load(recipe.model.base, recipe.model)
        facts = {
            "taught": taught.digest,
            "dev": dataset.digest,
            "checks": checks_of(recipe),
            "space": learner.space.fingerprint,
            "precision": str(learner.precision),
            **self._learned(),
            "training": asdict(recipe.training),
        }  # fmt: skip
        tasks = tasks_of(taught, recipe, self.recipe_folder)
        name = _of_round("train", number)
        base = called(recipe.model.base, revision=recipe.model.revision)
        return self._train(name, facts, dataset, learner, tasks, recipe.training, base)

    def cross_encoder(self, dataset: Dataset, taught: Dataset) -> Path | None:
        """Return a reranker trained on the same pairs; None where the recipe wants none."""
        chosen = self.recipe.cross_encoder
        return None if chosen is None else self._second.cross_encoder(chosen, dataset, taught)

    def distil(
        self, dataset: Dataset, taught: Dataset, machine: TextSettings, model: Path,
        cross: Path | None,
    ) -> Path:  # fmt: skip
        """Return a model that went on from the last one by a teacher's scores, or that one."""
        chosen = self.recipe.distillation
        if chosen is None:
            return model
        learner = TextEncoder.load(model, machine)
        scored = self._second.scored(chosen, cross, learner, taught)
        facts = {
            "taught": scored.digest,
            "dev": dataset.digest,
            "checks": checks_of(self.recipe),
            "space": learner.space.fingerprint,
            "precision": str(learner.precision),
            **self._learned(),
            "distillation": [asdict(chosen.loss), chosen.contrastive_weight],
            "training": asdict(chosen.training),
        }
        tasks = distilling_tasks(scored, self.recipe, chosen, self.recipe_folder)
        return self._train("distil", facts, dataset, learner, tasks, chosen.training, str(model))

    @property
    def _second(self) -> SecondHalf:
        return SecondHalf(self.recipe, self.talk, self._stage, self.home)

    def _learned(self) -> dict[str, Any]:
        """Return what a training learns by, and from whom else."""
        recipe = self.recipe
        also = [
            asdict(one) | {"digest": Dataset.open(self.recipe_folder / one.dataset).digest}
            for one in recipe.also
        ]
        teacher = None if recipe.teacher is None else asdict(recipe.teacher)
        return {"loss": asdict(recipe.loss), "teacher": teacher, "also": also}

    def _train(
        self, name: str, facts: Mapping[str, Any], dataset: Dataset, learner: TextEncoder,
        tasks: Sequence[Task], settings: Training, base: str,
    ) -> Path:  # fmt: skip
        work = self._stage(name, facts)
        self.model = work.folder / "model"
        if not work.done:
            with work.work() as result, self.talk.stoppable() as stop:
                check = dev_check(dataset, self.recipe.evaluation)
                if check is None:
                    self.talk.say("No dev split, so the last weights are kept, not the best.")
                hooks = Hooks(check, self.talk.progress, stop, self.talk.say, base=base)
                trained = train(learner, tasks, work.folder, settings, hooks)
                result |= {"steps": trained.steps, "best_step": trained.best_step}
            self.talk.say(best_of(work.result["best_step"], work.result["steps"]))
        return self.model

    def evaluate(
        self, dataset: Dataset, base: TextEncoder, tuned: Remembering, cross: Path | None
    ) -> Path:
        second, chosen = self._second.measured(cross), self.recipe.evaluation
        facts: dict[str, Any] = {"dataset": dataset.digest, "base": base.space.fingerprint,
                 "tuned": tuned.space.fingerprint,
                 "evaluation": asdict(chosen)}  # fmt: skip
        if second is not None:
            facts |= {"reranker": second.reranker.fingerprint, "candidates": second.candidates}
        work = self._stage("evaluate", facts)
        if not work.done:
            with work.work():
                evaluate_into(
                    work.folder,
                    dataset,
                    (base, tuned),
                    chosen,
                    names=(self.recipe.model.base, str(self.model)),
                    second=second,
                    log=None if self.model is None else self.model.parent / "log.jsonl",
                    model=self.model,
                    # Only cohorts that a recipe names can ask what was learned from.
                    trained=trained_texts(dataset) if chosen.cohorts is not None else None,
                    progress=self.talk.progress,
                )
        return work.folder

    def gate(self, report: Path) -> Verdict | None:
        """Judge the tuned model against its base; never skipped, since waivers end."""
        if self.recipe.policy is None:
            return None
        compared = Compared(candidate=report / SCORES, baseline=report / BASE_SCORES)
        verdict = gate(self.recipe.policy, compared, self.home / "gate")
        for sentence in verdict.sentences():
            self.talk.say(sentence)
        return verdict

    def index(self, dataset: Dataset, tuned: Remembering) -> Path:
        facts = {"dataset": dataset.digest, "space": tuned.space.fingerprint,
                 "storage": self.recipe.index.storage}  # fmt: skip
        work = self._stage("index", facts)
        folder = work.folder / "index"
        if not work.done:
            with work.work() as result:
                built = build_index(
                    tuned, dataset, folder, storage=self.recipe.index.storage,
                    progress=self.talk.progress, replace=True,
                )  # fmt: skip
                result["documents"] = len(built)
        return folder

    def _stage(self, name: str, facts: Mapping[str, Any]) -> Stage:
        made = stage(name, self.home, facts)
        self.stages[name] = made.folder
        self.talk.say(f"{name}: {'done already' if made.done else made.folder}")
        return made

    def _tell(self, found: CheckReport) -> None:
        for finding in found.findings:
            if finding.severity != "note":
                self.talk.say(
                    f"{finding.severity}: {finding.count:,} {finding.what}. {finding.advice}"
                )


def _of_round(name: str, number: int) -> str:
    return name if number == 1 else f"{name}{number}"
