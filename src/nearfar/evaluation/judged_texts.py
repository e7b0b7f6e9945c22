"""The texts of judged pairs: their cosines, and values of them as Scores.

Shapes: P judged pairs.
"""

from collections.abc import Mapping

from nearfar.evaluation.judged_pairs import JudgedPairs, places, texts_of
from nearfar.evaluation.scores import Scores
from nearfar.evaluation.task_scores import Asking, Floats, scores_of
from nearfar.records import Document, Query


class JudgedTexts:
    """The texts of some pairs, and what a model makes of them."""

    def __init__(self, asking: Asking, pairs: JudgedPairs) -> None:
        """Read them."""
        self._asking, self._pairs = asking, pairs
        self.ids = list(zip(pairs.query, pairs.document, strict=True))
        self.queries, self.documents = texts_of(asking.dataset, pairs)

    def cosines(self) -> Floats:
        """Return that of each pair."""
        query, document = self._pairs.query, self._pairs.document
        rows, columns = places(query, self.queries), places(document, self.documents)
        return self._asking.cosines(self.queries, self.documents, rows, columns)

    def both(self) -> list[tuple[Query, Document]]:
        """Return query and document of each pair."""
        return [(self.queries[one], self.documents[other]) for one, other in self.ids]

    def scores(self, values: Mapping[str, Floats]) -> Scores:
        """Return values of the pairs with what they are of."""
        return scores_of(
            self._asking, self.both(), values, documents=len(self.documents),
            ids=[f"{one} {other}" for one, other in self.ids],
        )  # fmt: skip

    def best_answers(self) -> dict[str, Document]:
        """Return the best-graded document of each query; among equals, the first by name."""
        rows = zip(
            self._pairs.query, self._pairs.grades.tolist(), self._pairs.document, strict=True
        )
        best: dict[str, tuple[float, str]] = {}
        for query, grade, document in rows:
            best[query] = min(best.get(query, (0.0, "")), (-grade, document))
        return {query: self.documents[document] for query, (_, document) in best.items()}
