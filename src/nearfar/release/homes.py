"""Which split the judgments of a query belong to, so that nothing learned is ever measured."""

from collections.abc import Mapping

from nearfar.data.dataset import Dataset
from nearfar.data.splits import Shares, split_of_group
from nearfar.fingerprint import content_id
from nearfar.records import SPLITS, Query, Split

_SPLITS: Mapping[Split, int] = {split: 1 << place for place, split in enumerate(SPLITS)}


class Homes:
    """The splits of a dataset's judged queries, and of what hangs together with them.

    In memory: a few bytes a judged query, its group and its text.
    """

    def __init__(self, dataset: Dataset, shares: Shares | None = None) -> None:
        """Look at every judgment and query once.

        Args:
            dataset: that will have more judgments.
            shares: of new groups that go to dev and test; default: a tenth each.
        """
        self._shares = shares or Shares()
        self._own: dict[str, int] = {}
        for batch in dataset.batches("judgments", ["query_id", "split"]):
            columns = (batch[name].to_pylist() for name in ("query_id", "split"))
            for query, split in zip(*columns, strict=True):
                self._own[query] = self._own.get(query, 0) | _SPLITS[split]
        self._kin: dict[str, int] = {}  # by group and by text
        for query in dataset.queries():
            if query.id in self._own:
                for key in _kin_of(query):
                    self._kin[key] = self._kin.get(key, 0) | self._own[query.id]

    def judged(self, query_id: str) -> bool:
        """Tell whether anything is known about a query."""
        return query_id in self._own

    def twin(self, query: Query) -> bool:
        """Tell whether the text of a query is judged already, under whatever id."""
        return text_of(query) in self._kin

    def of(self, query: Query, planned: Split | None = None) -> Split:
        """Return where the judgments of a query belong.

        1. Its own split, if it is judged already.
        2. That of judged queries of its group or with its very text.
        3. The planned one; without a plan, by the hash of its group, as the writer of datasets
           divides groups.

        Where 1 or 2 name several splits it is set aside: it would carry one into the other.
        """
        own = self._own.get(query.id, 0)
        if not own:
            for key in _kin_of(query):
                own |= self._kin.get(key, 0)
        if own:
            return next((split for split, bit in _SPLITS.items() if bit == own), "aside")
        return planned or split_of_group(query.group or query.id, self._shares)


def _kin_of(query: Query) -> list[str]:
    return [text_of(query), f"group {query.group}"] if query.group else [text_of(query)]


def text_of(query: Query) -> str:
    """Return what two queries share that say the same but for case and spaces."""
    return "text " + content_id(" ".join(query.content.casefold().split()))
