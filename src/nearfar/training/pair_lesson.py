"""What one batch teaches a reranker: a number for each judged pair, and a loss of these.

Shapes: Q queries, C documents, E pairs.
"""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
from torch import Tensor

from nearfar.errors import BadRecord
from nearfar.losses import Edges, RerankingLossSettings, build_reranking_loss
from nearfar.model.cross_encoder import CrossEncoder
from nearfar.model.yes_no import YesNoReranker
from nearfar.training.batch import Batch
from nearfar.training.diagnosis import diagnose_scores
from nearfar.training.lesson import Learned
from nearfar.training.step import Rows, Step, learn_from_rows
from nearfar.training.store import TokenStore

Ints = npt.NDArray[np.int64]


class PairLesson:
    """Pairs become scores.

    For a cross-encoder each text was tokenised once, however many pairs it stands in; a question
    to a language model is tokenised whole, as it is when it is asked.
    """

    temperature = None  # nothing here is divided by one that may learn

    def __init__(
        self, model: CrossEncoder | YesNoReranker, settings: RerankingLossSettings
    ) -> None:
        self.model, self.settings = model, settings
        self._loss = build_reranking_loss(settings)

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
        edges = _readable(batch.edges, self.settings.needs_teacher)
        queries = batch.texts[batch.query[edges.query].numpy()]  # (E,) rows of the store
        documents = batch.texts[batch.document[edges.document].numpy()]
        rows = replace(
            _rows(self.model, store, queries, documents), apart=self.settings.reads_pairs_apart
        )
        here = edges.to(self.model.device)
        value, scores = learn_from_rows(
            self.model, rows, lambda found: self._said(found[:, 0], here) * share, step
        )
        sure = here.allowed
        numbers = diagnose_scores(scores[sure, 0], here.only(sure))
        if self.settings.name != "listwise_softmax":  # the one that is in nats against a guess
            numbers.pop("chance_loss", None)
        return Learned(value.item() / share, numbers, batch.pairs, rows.lengths, scores)

    def _said(self, scores: Tensor, edges: Edges) -> Tensor:
        """Return the loss, or say what the dataset lacks for it."""
        try:
            return self._loss(scores, edges)
        except ValueError as error:
            raise BadRecord(
                f"A batch of {len(scores)} judged pairs has nothing for this loss: {error} Take "
                "another reranking_loss.name, let more judged negatives join the batch "
                "(training.negatives_per_pair), mine some with `nearfar mine`, or let a teacher "
                "score the dataset with `nearfar teach`."
            ) from error


def _rows(
    model: CrossEncoder | YesNoReranker, store: TokenStore, queries: Ints, documents: Ints
) -> Rows:
    """Return how pairs of rows of the store go through a model."""
    if isinstance(model, YesNoReranker):
        return _questions(model, store, queries, documents)
    tokens, lengths = model.tokens, store.lengths

    def forward(some: Ints) -> Tensor:
        rows = [tokens.join(store[q], store[d])
                for q, d in zip(queries[some], documents[some], strict=True)]  # fmt: skip
        return model.forward_rows(rows).unsqueeze(1)

    return Rows(tokens.lengths(lengths[queries], lengths[documents]), forward, width=1)


def _questions(model: YesNoReranker, store: TokenStore, queries: Ints, documents: Ints) -> Rows:
    texts, pairs = model.tokens, zip(queries, documents, strict=True)
    asked = [texts.question(store[query], store[document]) for query, document in pairs]

    def forward(some: Ints) -> Tensor:
        return model.forward_rows([asked[i] for i in some]).unsqueeze(1)

    lengths = np.fromiter(map(len, asked), dtype=np.int64, count=len(asked))
    return Rows(lengths, forward, width=1)


def _readable(edges: Edges, scored: bool) -> Edges:
    """Return the edges that the loss can learn from: no other pair needs to be read."""
    some = edges.allowed
    if scored and edges.score is not None:
        some = ~edges.score.isnan()
    return edges.only(some)
