"""A language model as a reranker: it grades documents, or compares two and two.

Shapes: P pairs, R repeats.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int
from torch import Tensor

from nearfar.fingerprint import fingerprint
from nearfar.llm.client import Client
from nearfar.llm.journal import open_journal
from nearfar.llm.messages import Endpoint
from nearfar.model.reranker import pairs_of_one
from nearfar.progress import Progress, silent
from nearfar.teaching.agreement import Ratings
from nearfar.teaching.bradley_terry import random_cycles, strengths
from nearfar.teaching.prompts import DUEL, HIGHEST, RUBRIC, Prompt
from nearfar.teaching.questions import Judging, Question, Questioner

_SMOOTHING = 0.25  # of a grade: so that the highest grade is no certainty

Floats = npt.NDArray[np.float64]
Put = tuple[Question, list[int]]  # what is asked, and which pairs its documents are
Answer = list[int] | None  # None: none that can be used


@dataclass
class LlmJudge(ABC):
    """Puts pairs into questions, and makes a logit of each out of the answers."""

    questioner: Questioner
    ratings: Ratings = field(init=False)  # what the repeats of each question came to

    prompt: ClassVar[Prompt]  # what the language model is told
    ratings_apart: ClassVar[int]  # how many different ones there are

    def __post_init__(self) -> None:
        self.ratings = Ratings(self.ratings_apart)

    @property
    def fingerprint(self) -> str:
        """Names everything that moves a score, but the model's dice."""
        facts = asdict(self.questioner.judging)
        llm = facts.pop("llm")
        return fingerprint(facts | {"model": llm["model"], "prompt": self.prompt.text})

    def score(self, query: str, documents: Sequence[str]) -> Float[Tensor, " N"]:
        """Return one logit per document; NaN where the model gave no usable answer."""
        return self.score_pairs([query], documents, pairs_of_one(len(documents)))

    def score_pairs(
        self,
        queries: Sequence[str],
        documents: Sequence[str],
        pairs: Int[Tensor, "P 2"],
        *,
        progress: Progress = silent,
    ) -> Float[Tensor, " P"]:
        """Return one logit per pair; NaN where the model gave no usable answer."""
        put = list(self._put(queries, documents, pairs))
        answers = self.questioner.answers([question for question, _ in put])
        return torch.from_numpy(self._logits(put, answers, pairs)).float()

    def questions(
        self, queries: Sequence[str], documents: Sequence[str], pairs: Int[Tensor, "P 2"]
    ) -> list[Question]:
        """Return all that is asked for some pairs."""
        return [question for question, _ in self._put(queries, documents, pairs)]

    def count_anew(self) -> None:
        """Forget how questions ended and agreed: what was a trial is asked about again."""
        self.questioner.states.clear()
        self.ratings.clear()

    @abstractmethod
    def _put(
        self, queries: Sequence[str], documents: Sequence[str], pairs: Int[Tensor, "P 2"]
    ) -> Iterator[Put]:
        """Yield each question, and which pairs its documents are."""

    @abstractmethod
    def _logits(
        self, put: Sequence[Put], answers: Sequence[Answer], pairs: Int[Tensor, "P 2"]
    ) -> Floats:
        """Return one logit per pair, NaN for none; take note of how repeats agree."""

    def _question(self, query: str, documents: Sequence[str], repeat: int) -> Question:
        texts = tuple(self.questioner.cut(text) for text in documents)
        return Question(self.prompt, query, texts, repeat, self.questioner.judging)


class Grader(LlmJudge):
    """Grades 0 to 3 become a logit:  p = (mean grade + 1/4) / (3 + 1/2),  z = log(p / (1 - p)).

    So a mean of 1.5, half way between "about the subject" and "answers", is a logit of 0.

    Source: a graded rubric for relevance as in Faggioli et al. 2023, arXiv:2304.09161; documents
        in another order each time, since their place sways the grades.
    """

    prompt = RUBRIC
    ratings_apart = HIGHEST + 1

    def _put(
        self, queries: Sequence[str], documents: Sequence[str], pairs: Int[Tensor, "P 2"]
    ) -> Iterator[Put]:
        judging = self.questioner.judging
        size = judging.documents_per_request
        for query, places in _by_query(pairs):
            for repeat in range(judging.repeats):
                order = self.questioner.dice(queries[query], repeat).permutation(places).tolist()
                for start in range(0, len(order), size):
                    some = order[start : start + size]
                    texts = [documents[int(pairs[place, 1])] for place in some]
                    yield self._question(queries[query], texts, repeat), some

    def _logits(
        self, put: Sequence[Put], answers: Sequence[Answer], pairs: Int[Tensor, "P 2"]
    ) -> Floats:
        grades = np.full((len(pairs), self.questioner.judging.repeats), np.nan)  # (P, R)
        for (question, places), answer in zip(put, answers, strict=True):
            if answer is not None:
                grades[places, question.repeat] = answer
        self.ratings.add(grades)
        given = ~np.isnan(grades)
        total = np.where(given, grades, 0.0).sum(axis=1)
        times = given.sum(axis=1)
        mean = np.divide(total, times, out=np.full(len(pairs), np.nan), where=times > 0)
        p = (mean + _SMOOTHING) / (HIGHEST + 2 * _SMOOTHING)
        return np.asarray(np.log(p / (1 - p)))


class Comparer(LlmJudge):
    """Documents meet two and two, and a Bradley-Terry fit makes their strength the logit.

    The logit is that of beating an average document of the query: it says which is better, and
    nothing of whether any of them is an answer. Each pair is put `repeats`
    times, with the two in turn first, since models favour a place; a query with one document has
    no one to meet, and gets no score.

    A query with a game still to be asked, as at a limit of dollars, has none at all yet. One that
    the model refused, or never answered as it should, is settled: it counts as not played.
    """

    prompt = DUEL
    ratings_apart = 3

    def _put(
        self, queries: Sequence[str], documents: Sequence[str], pairs: Int[Tensor, "P 2"]
    ) -> Iterator[Put]:
        judging = self.questioner.judging
        for query, places in _by_query(pairs):
            dice = self.questioner.dice(queries[query], 0)
            for i, j in random_cycles(len(places), judging.cycles, dice).tolist():
                two = [places[i], places[j]]
                turned = bool(dice.integers(2))
                for repeat in range(judging.repeats):
                    order = two[::-1] if turned ^ (repeat % 2 == 1) else two
                    texts = [documents[int(pairs[place, 1])] for place in order]
                    yield self._question(queries[query], texts, repeat), order

    def _logits(
        self, put: Sequence[Put], answers: Sequence[Answer], pairs: Int[Tensor, "P 2"]
    ) -> Floats:
        games: dict[int, list[tuple[int, int, float]]] = {}
        taken: dict[tuple[int, int], list[float]] = {}
        unsettled: set[int] = set()
        for (question, (first, second)), answer in zip(put, answers, strict=True):
            query = int(pairs[first, 0])
            if answer is None:
                if question.look_up(self.questioner.journal)[0] == "open":
                    unsettled.add(query)
                continue
            result = {0: 0.5, 1: 1.0, 2: 0.0}[answer[0]]
            games.setdefault(query, []).append((first, second, result))
            same = first < second  # repeats agree if the same document wins, wherever it stands
            own = (first, second) if same else (second, first)
            taken.setdefault(own, []).append(2 * (result if same else 1 - result))
        logits = np.full(len(pairs), np.nan)
        for query, own_games in games.items():
            if query in unsettled:  # half of the games would be taken for the whole table
                continue
            places = sorted({place for first, second, _ in own_games for place in (first, second)})
            number = {place: i for i, place in enumerate(places)}
            met = np.array([(number[first], number[second]) for first, second, _ in own_games])
            won = np.array([result for _, _, result in own_games])
            logits[places] = strengths(met, won, len(places))
        self.ratings.add(_ragged(list(taken.values()), self.questioner.judging.repeats))
        return logits


def judge_of(questioner: Questioner) -> LlmJudge:
    """Return the judge that asks as the settings of a questioner say."""
    return Comparer(questioner) if questioner.judging.pairwise else Grader(questioner)


@contextmanager
def open_judge(
    judging: Judging,
    endpoint: Endpoint | None,
    journal: Path,
    *,
    dry_run: bool = False,
    progress: Progress = silent,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[LlmJudge]:
    """Yield a language model as a judge, whose answers are paid for once.

    Args:
        judging: which model, how it is asked, and what it may cost.
        endpoint: speaks with it; None: nothing can be asked.
        journal: a file of answers; what it says was spent counts against the limit.
        dry_run: make no journal where none is.
        progress: told how many questions are answered.
        stop: ends the asking once it is True.

    Raises:
        BadFile: the journal is damaged, or another process writes it.
    """
    if dry_run and not journal.is_file():
        client = None if endpoint is None else Client(endpoint, judging.llm)
        yield judge_of(Questioner(judging, client, None, progress, stop))
        return
    with open_journal(journal) as kept:
        before, lost = kept.before.total_usd(judging.llm), kept.lost_before.total_usd(judging.llm)
        spent = (before or 0.0) + (lost or 0.0)
        client = None if endpoint is None else Client(endpoint, judging.llm, spent_usd=spent)
        yield judge_of(Questioner(judging, client, kept, progress, stop))


def _by_query(pairs: Int[Tensor, "P 2"]) -> Iterator[tuple[int, list[int]]]:
    """Yield each query with the places of its pairs."""
    places: dict[int, list[int]] = {}
    for place, query in enumerate(pairs[:, 0].tolist()):
        places.setdefault(query, []).append(place)
    yield from places.items()


def _ragged(rows: list[list[float]], width: int) -> Floats:
    found = np.full((len(rows), width), np.nan)
    for row, values in zip(found, rows, strict=True):
        row[: len(values)] = values
    return found
