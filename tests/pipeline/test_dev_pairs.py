"""What is not known to be right or wrong is in no pair of a check."""

from typing import ClassVar

import pytest
import torch
from marked import BAD, DEV, ELSEWHERE, GOOD, MAYBE, marked
from torch import Tensor

from nearfar.evaluation.settings import Evaluation
from nearfar.pipeline.dev_pairs import DevPairs, read_dev_pairs

TWO = Evaluation(dev_candidates=2)  # as many as there are right and wrong ones


class ByWord:
    """A reranker that looks at the last word: it likes what is not known best of all."""

    fingerprint = "by word"
    likes: ClassVar = {MAYBE: 3.0, ELSEWHERE: 2.0, GOOD: 1.0, BAD: 0.0}

    def score_pairs(
        self, queries: list[str], documents: list[str], pairs: Tensor, **_: object
    ) -> Tensor:
        return torch.tensor([self.likes[documents[d].split()[-1]] for _, d in pairs.tolist()])

    def score(self, query: str, documents: list[str]) -> Tensor:
        return torch.tensor([self.likes[one.split()[-1]] for one in documents])


def texts(found: DevPairs) -> list[tuple[str, str, bool]]:
    return [
        (found.task.queries[query].content, found.documents[document], answer)
        for (query, document), answer in zip(
            found.pairs.tolist(), found.answers.tolist(), strict=True
        )
    ]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[DevPairs, DevPairs]:
    """Pairs of a dataset without documents that are neither right nor wrong, and of one with."""
    folder = tmp_path_factory.mktemp("marked")
    found = [read_dev_pairs(marked(folder / str(unsure), unsure=unsure), TWO)
             for unsure in (False, True)]  # fmt: skip
    assert found[0] is not None
    assert found[1] is not None
    return found[0], found[1]


def test_neither_right_nor_wrong_is_left_out_and_others_take_its_place(
    both: tuple[DevPairs, DevPairs],
) -> None:
    plain, unsure = both
    assert set(texts(unsure)) == set(texts(plain))
    assert len(unsure.pairs) == 2 * DEV
    assert {text.split()[-1] for text in unsure.documents} >= {MAYBE, ELSEWHERE}  # they are there


def test_it_is_neither_ranked_nor_calibrated_on(both: tuple[DevPairs, DevPairs]) -> None:
    plain, unsure = both
    assert (
        unsure.check(ByWord()) == plain.check(ByWord()) == dict.fromkeys(plain.check(ByWord()), 1.0)
    )
    fitted = unsure.calibration(ByWord())
    assert fitted == plain.calibration(ByWord())
    assert (fitted.pairs, fitted.answers) == (2 * DEV, DEV)
