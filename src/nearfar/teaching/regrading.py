"""What is written of a scored pair: the score, who gave it, and at times another grade."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from nearfar.records import Judgment, Origin, Scalar
from nearfar.teaching.bradley_terry import elo
from nearfar.teaching.grading import Verdict
from nearfar.teaching.known import Known
from nearfar.teaching.scoring import Verdicts
from nearfar.teaching.settings import Teaching

_WHO = ("teacher", "prompt", "elo")  # facts of the score
_WHY = ("verdict", "probability", "teacher_answer_score")  # and of the grade
_WAS = ("was", "was_by", "was_at")  # the origin before a teacher graded it


@dataclass
class Regrader:
    """Writes judgments anew, and counts what became of them.

    A pair that is to be neither pulled nor pushed gets no grade (NaN), only its score: losses of
    a teacher's scores learn that, all others leave it out.

    What a teacher may grade it grades afresh: nothing of what another said of the pair before is
    left, and one that is a negative after all is again what it was.
    """

    known: Known
    verdicts: Verdicts
    settings: Teaching
    facts: Mapping[str, Scalar]  # of every judgment: who the teacher was
    by: str
    compared: bool = False  # scores are strengths of a Bradley-Terry fit: say them as Elo too
    counts: Counter[str] = field(default_factory=Counter)
    negatives: int = 0  # scored ones that a machine chose
    unsure: int = 0  # of these

    def __post_init__(self) -> None:
        known = self.known
        good = np.flatnonzero(known.answers(self.settings.regraded))
        self._answers = set(
            zip(known.query[good].tolist(), known.document[good].tolist(), strict=True)
        )

    def judged(self, place: int, judgment: Judgment) -> Judgment:
        """Return a judgment of the dataset as it shall be written.

        Args:
            place: among all judgments, in the order of the file.
            judgment: as it is.
        """
        score, reference, number = self.verdicts.of(place)
        if math.isnan(score):
            return judgment
        self.counts["scored"] += 1
        verdict, origin = Verdict(number), judgment.origin
        facts = {**_without(origin.facts, _WHO), **self._whose(score)}
        scored = replace(judgment, score=score, origin=replace(origin, facts=facts))
        free = origin.kind in self.settings.regraded
        if judgment.grade > 0 and not (free and origin.kind == "taught"):
            p = self._probability(score)
            self.counts["answers doubted"] += p is not None and p < self.settings.answer_probability
            return scored
        pair = int(self.known.query[place]), int(self.known.document[place])
        # What people say stands; and what is an answer to someone is no false negative found here.
        if not free or pair in self._answers or verdict is Verdict.UNKNOWN:
            return scored
        was = _before_teaching(scored)
        if was is not None:
            self.negatives += 1
            self.unsure += verdict is Verdict.UNSURE
        if verdict is Verdict.ANSWER:
            self.counts[f"false negatives: {self.settings.false_negatives}"] += 1
        elif verdict is Verdict.UNSURE:
            self.counts[f"unsure negatives: {self.settings.unsure}"] += 1
        grade = self._grade(verdict)
        if was is not None and grade in (None, 0.0):
            return was
        graded = {**_without(facts, (*_WHY, *_WAS)), **self._why(verdict, score, reference)}
        if was is not None:
            at: dict[str, Scalar] = {"was_at": was.origin.at} if was.origin.at else {}
            graded |= {"was": was.origin.kind, "was_by": was.origin.by, **at}
        return replace(
            scored,
            grade=math.nan if grade is None else grade,
            origin=Origin(kind="taught", source=origin.source, by=self.by, facts=graded),
        )

    def candidates(self) -> Iterator[Judgment]:
        """Yield judgments of the new candidates, in the order in which they were scored."""
        for query, document, rank, score, reference, number in self.verdicts.candidates():
            verdict = Verdict(number)
            if verdict is Verdict.UNKNOWN:
                continue
            grade = self._grade(verdict)
            self.counts[{
                Verdict.NEGATIVE: "new negatives",
                Verdict.ANSWER: f"new answers: {self.settings.false_negatives}",
                Verdict.UNSURE: f"new and unsure: {self.settings.unsure}",
            }[verdict]] += 1  # fmt: skip
            if grade is None:
                continue
            name = self.known.query_ids[query]
            facts = {**self._whose(score), **self._why(verdict, score, reference), "rank": rank}
            yield Judgment(
                query_id=name,
                document_id=self.known.document_ids[document],
                grade=grade,
                origin=Origin(kind="taught", source=f"{name} rank {rank}", by=self.by, facts=facts),
                split="train",
                score=score,
            )

    def _grade(self, verdict: Verdict) -> float | None:
        """Return the grade of a pair that no person judged; None: as it was, if it was anything."""
        settings = self.settings
        if verdict is Verdict.ANSWER:
            return {"answer": settings.answer_grade, "exclude": math.nan, "keep": None}[
                settings.false_negatives
            ]
        if verdict is Verdict.UNSURE:
            return {"negative": 0.0, "exclude": math.nan, "keep": None}[settings.unsure]
        return 0.0

    def _probability(self, score: float) -> float | None:
        scale = self.verdicts.scale
        return None if scale is None else float(scale.probability(np.array([score]))[0])

    def _whose(self, score: float) -> dict[str, Scalar]:
        own: dict[str, Scalar] = {"elo": round(elo(score))}
        return {**self.facts, **(own if self.compared else {})}

    def _why(self, verdict: Verdict, score: float, reference: float) -> dict[str, Scalar]:
        facts: dict[str, Scalar] = {"verdict": verdict.name.lower()}
        p = self._probability(score)
        if p is not None:
            facts["probability"] = round(p, 6)
        if not math.isnan(reference):
            facts["teacher_answer_score"] = round(reference, 6)
        return facts


def _before_teaching(judgment: Judgment) -> Judgment | None:
    """Return a negative as a machine chose it; None where no one but teachers said anything."""
    origin, facts = judgment.origin, judgment.origin.facts
    if origin.kind != "taught":
        return judgment
    if "was" not in facts:
        return None
    kind, by, at = (str(facts.get(name, "")) for name in _WAS)
    bare = _without(facts, (*_WHY, *_WAS))
    return replace(judgment, grade=0.0, origin=Origin(kind=kind, source=origin.source, by=by,
                                                      at=at, facts=bare))  # fmt: skip


def _without(facts: Mapping[str, Scalar], names: tuple[str, ...]) -> dict[str, Scalar]:
    return {name: value for name, value in facts.items() if name not in names}
