"""Who may be trained: a text encoder or a reranker, and what differs between the two."""

from typing import Any, Protocol

from nearfar.errors import BadSetting
from nearfar.losses import LossSettings, RerankingLossSettings
from nearfar.model.cross_encoder import CrossEncoder
from nearfar.model.text import TextEncoder
from nearfar.model.yes_no import YesNoReranker
from nearfar.training.batch import Batch
from nearfar.training.lesson import Learned, TextLesson
from nearfar.training.pair_lesson import PairLesson
from nearfar.training.step import Step
from nearfar.training.store import TokenStore
from nearfar.training.temperature import Temperature

Trainee = TextEncoder | CrossEncoder | YesNoReranker
TaskLoss = LossSettings | RerankingLossSettings


class Lesson(Protocol):
    """How a model learns from a batch."""

    @property
    def temperature(self) -> Temperature | None:
        """What its loss divides by, if it may learn."""
        ...

    def learn(
        self, batch: Batch, store: TokenStore, step: Step, at: tuple[int, int], share: float
    ) -> Learned:
        """Add the gradient of a batch, times its share of the step, to the weights."""
        ...


def lesson_of(model: Trainee, loss: TaskLoss) -> Lesson:
    """Return how a model learns by a loss.

    Args:
        model: whose weights learn.
        loss: of vectors for an encoder, of scores for a reranker.

    Raises:
        BadSetting: the loss is of the other kind.
    """
    if isinstance(model, TextEncoder) and isinstance(loss, LossSettings):
        return TextLesson(model, loss)
    if not isinstance(model, TextEncoder) and isinstance(loss, RerankingLossSettings):
        return PairLesson(model, loss)
    kind = "vectors" if isinstance(model, TextEncoder) else "scores of pairs"
    raise BadSetting(
        f"the loss {loss.name!r} is not one of {kind}, which is what this model says. Take "
        "LossSettings for an encoder, RerankingLossSettings for a reranker."
    )


def name_of(model: Trainee) -> str:
    """Return the fingerprint of all that moves what a model says."""
    return model.space.fingerprint if isinstance(model, TextEncoder) else model.fingerprint


def head_of(model: Trainee) -> tuple[str, ...]:
    """Return the modules of a transformer that learn whole, whatever else stays frozen."""
    return () if isinstance(model, TextEncoder) else model.network.head


def described(model: Trainee) -> dict[str, Any]:
    """Return what nearfar.json says of a trained model itself."""
    if isinstance(model, TextEncoder):
        return {"space": model.space.to_json()}
    return {"reranker": model.fingerprint}
