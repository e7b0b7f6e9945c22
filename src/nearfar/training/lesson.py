"""What one batch teaches a text encoder: its loss, the gradient, and what is seen on the way.

Shapes: T texts of the batch, D dimensions.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor

from nearfar.errors import BadRecord
from nearfar.losses import Edges, LossSettings, build_loss
from nearfar.losses.chosen import takes_temperature
from nearfar.model.text import TextEncoder
from nearfar.training.batch import Batch
from nearfar.training.diagnosis import diagnose
from nearfar.training.step import Step, learn_from
from nearfar.training.store import TokenStore
from nearfar.training.temperature import Temperature

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Learned:
    """What one batch has shown."""

    loss: float
    numbers: dict[str, float]  # what diagnosis sees in it
    pairs: int  # that were drawn
    lengths: Ints  # tokens of each row that went through the network
    outputs: Float[Tensor, "T D"]  # what came out for each row; of a pair, one number


class TextLesson:
    """Texts become vectors, and a loss looks at all of them."""

    def __init__(self, encoder: TextEncoder, settings: LossSettings) -> None:
        self.encoder, self.settings = encoder, settings
        self.temperature = Temperature(settings).to(encoder.device)
        self._loss = build_loss(settings)
        # Whether the loss can be read against that of a guess.
        self._in_nats = settings.name == "infonce" and settings.options.get("negatives") != "own"

    def learn(
        self, batch: Batch, store: TokenStore, step: Step, at: tuple[int, int], share: float
    ) -> Learned:
        """Add the gradient of a batch, times its share of the step, to the weights.

        Args:
            batch: the texts and what is known between them.
            store: of their tokens.
            step: which it is, and what it may take.
            at: the step of the run, from 0, and how many there are.
            share: of the batch in the step.
        """
        temperature = self.temperature.at(*at)

        def loss(queries: Tensor, documents: Tensor, edges: Edges) -> Tensor:
            return self._said(queries, documents, edges, temperature) * share

        layers = self.settings.layers
        value, vectors = learn_from(self.encoder, store, batch, loss, replace(step, layers=layers))
        own = vectors[:, : self.encoder.network.dim]  # those of other layers stand to the right
        edges = batch.edges.to(own.device)
        numbers = diagnose(own[batch.query], own[batch.document], edges)
        if takes_temperature(self.settings.name):
            numbers["temperature"] = float(torch.as_tensor(temperature).detach())
        if not self._in_nats:
            numbers.pop("chance_loss", None)
        return Learned(
            value.item() / share, numbers, batch.pairs, store.lengths[batch.texts], vectors
        )

    def _said(
        self, queries: Tensor, documents: Tensor, edges: Edges, temperature: float | Tensor
    ) -> Tensor:
        """Return the loss, or say what the dataset lacks for it."""
        try:
            return self._loss(queries, documents, edges, temperature)
        except ValueError as error:
            raise BadRecord(
                f"A batch of {len(queries)} queries and {len(documents)} documents has nothing "
                f"for this loss: {error} Take another loss.name, let judged negatives join the "
                "batch (training.negatives_per_pair), or import judgments that it can learn from."
            ) from error
