"""A Recipe: every choice a run depends on, in one frozen value, read from a TOML file."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from nearfar.data.importing import ImportOptions
from nearfar.errors import BadFile, BadSetting, require
from nearfar.evaluation.settings import Evaluation
from nearfar.losses import LossSettings, RerankingLossSettings
from nearfar.losses.named import SCORED
from nearfar.mining.settings import Mining
from nearfar.model.rerankers import RerankerSettings
from nearfar.model.text import TextSettings
from nearfar.pipeline.settings import apply_change, changed, settings_from
from nearfar.release.integrity import require_possible
from nearfar.release.policy import Policy
from nearfar.teaching.fusing import require_weights
from nearfar.teaching.questions import Judging
from nearfar.teaching.settings import Teaching
from nearfar.training.settings import Training


@dataclass(frozen=True, slots=True, kw_only=True)
class Data(ImportOptions):
    """What is learned from."""

    source: str  # "python-docs", or a file or folder, seen from the recipe's folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Model(TextSettings):
    """What is fine-tuned."""

    base: str  # a folder, package:NAME, or the id of a model on the hub


@dataclass(frozen=True, slots=True, kw_only=True)
class Reranking(RerankerSettings):
    """A cross-encoder, or a language model that says yes or no."""

    base: str  # a folder, package:NAME, or the id of a model on the hub

    def __post_init__(self) -> None:
        expected = "false: an untrained head scores by chance"
        require(self.new_head is False, "reranker.new_head", expected, self.new_head)


@dataclass(frozen=True, slots=True, kw_only=True)
class Indexing:
    """How the index keeps vectors."""

    storage: Literal["float32", "float16"] = "float32"


@dataclass(frozen=True, slots=True, kw_only=True)
class Searching:
    """What is asked at the end, to see with one's own eyes."""

    questions: tuple[str, ...] = ()
    k: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Also:
    """A further dataset that is learned from in the same run; each batch is of one dataset."""

    dataset: str  # a folder that `nearfar import` made, seen from the recipe's folder
    loss: LossSettings = field(default_factory=LossSettings)
    weight: float = 1.0  # of its batches: 2 means twice as many passes
    pairs_per_step: int | None = None
    query_prompt: str | None = None
    document_prompt: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossTraining(RerankerSettings):
    """A reranker, trained on the recipe's own dataset, negatives included."""

    # A reranker, an encoder that gets a new head, or a language model, which is asked (with
    # new_head = true it gets one too). None: the model's, with its revision, SHA-256, precision
    # and device.
    base: str | None = None
    new_head: bool | None = None
    training: Training = field(default_factory=Training)
    candidates: tuple[int, ...] = ()  # of a query, to be measured with it too; empty: not measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Distillation:
    """A second training, which goes on from the first: by a teacher's graded scores.

    Batches that learn the scores take turns with batches of the recipe's own loss.
    """

    rerankers: tuple[Reranking, ...] = ()  # who score; several are fused, as `teaching` says
    judge: Judging | None = None  # a language model that scores too, the last of them
    # Whether the recipe's own scores too, the first of them; None: where nobody else does.
    cross_encoder: bool | None = None
    least_agreement: float | None = 0.4  # of a judge with people; surely below it no more is asked
    teaching: Teaching = field(default_factory=lambda: Teaching(depth=10))
    candidates: bool = True  # whether the nearest `teaching.depth` documents are scored too
    loss: LossSettings = field(default_factory=lambda: LossSettings(name="listwise_kl"))
    contrastive_weight: float = 1.0  # batches of the recipe's own loss for one of scores; 0: none
    training: Training = field(default_factory=Training)

    def __post_init__(self) -> None:
        require(self.loss.name in SCORED, "distillation.loss.name",
                f"a loss of scores: {', '.join(sorted(SCORED))}", self.loss.name)  # fmt: skip
        require(self.contrastive_weight >= 0, "distillation.contrastive_weight", "0 or more",
                self.contrastive_weight)  # fmt: skip

    @property
    def asks_own(self) -> bool:
        """Whether the recipe's own cross-encoder scores."""
        if self.cross_encoder is None:
            return not self.rerankers and self.judge is None
        return self.cross_encoder

    def require_teachers(self, *, trained: bool) -> None:
        """Raise BadSetting unless someone scores, and each has a weight if any has.

        Args:
            trained: whether the recipe trains a cross-encoder.
        """
        count = self.asks_own + len(self.rerankers) + (self.judge is not None)
        if not count or (self.asks_own and not trained):
            raise BadSetting(
                "distillation needs someone who scores: add a table [cross_encoder], which trains "
                "one, a [[distillation.rerankers]] for each that is there, or a language model as "
                "[distillation.judge]."
            )
        require_weights(self.teaching.weights, count)


@dataclass(frozen=True, slots=True, kw_only=True)
class FreeSettings:
    """What has a default for everything."""

    mining: Mining | None = None  # None: only the negatives of the batch
    guide: Model | None = None  # mining: an encoder that may call a candidate an answer
    reranker: Reranking | None = None  # mining: a cross-encoder that may do so
    teacher: Model | None = None  # for losses that look at another model's vectors
    also: tuple[Also, ...] = ()  # datasets that are learned from in the same run
    loss: LossSettings = field(default_factory=LossSettings)
    # Of a cross-encoder: trained by `nearfar train --cross-encoder`, or as a stage of a recipe.
    reranking_loss: RerankingLossSettings = field(default_factory=RerankingLossSettings)
    training: Training = field(default_factory=Training)
    evaluation: Evaluation = field(default_factory=Evaluation)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe(FreeSettings):
    """One run. Same recipe, same data, same machine: same weights."""

    name: str  # of the folder under which the stages keep what they made
    data: Data
    model: Model
    cross_encoder: CrossTraining | None = None  # None: none is trained
    distillation: Distillation | None = None  # None: one training is all
    policy: Policy | None = None  # what the model must pass, held against its base; None: no gate
    index: Indexing = field(default_factory=Indexing)
    search: Searching = field(default_factory=Searching)

    def __post_init__(self) -> None:
        if self.distillation is not None:
            self.distillation.require_teachers(trained=self.cross_encoder is not None)


def read_recipe(path: Path, changes: Sequence[str] = ()) -> Recipe:
    """Read a recipe.

    Args:
        path: a TOML file.
        changes: settings that differ from the file, each as "training.seed=1".

    Raises:
        BadFile: the file cannot be read.
        BadSetting: names the file, the key, what was found and what is allowed.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadFile(f"{path}: cannot read this recipe ({error.strerror}).") from error
    except ValueError as error:  # not TOML, or not UTF-8
        raise BadSetting(f"{path}: expected TOML in UTF-8 ({error}).") from error
    for change in changes:
        apply_change(table, change)
    recipe = settings_from(Recipe, table, where=str(path))
    if recipe.policy is not None:
        try:
            require_possible(recipe.policy)
        except BadSetting as error:
            raise BadSetting(f"{path}: policy.{error}") from error
    return recipe


def free_settings(changes: Sequence[str]) -> FreeSettings:
    """Return the default settings with some changes, each as "training.epochs=2".

    Raises:
        BadSetting: names the key, what was found and what is allowed.
    """
    return changed(FreeSettings, changes)
