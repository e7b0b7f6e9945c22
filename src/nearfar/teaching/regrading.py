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
from nearfar.teaching.scoring import Said
from nearfar.teaching.settings import Teaching


@dataclass
class Regrader:
    """Writes judgments anew, and counts what became of them.

    A pair that is to be neither pulled nor pushed gets no grade (NaN), only its score: losses of
    a teacher's scores learn that, all others leave it out.
    """

    known: Known
    said: Said
    settings: Teaching
    facts: Mapping[str, Scalar]  # of every judgment: who the teacher was
    by: str
    compared: bool = False  # scores are strengths of a Bradley-Terry fit: say them as Elo too
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        known = self.known
        good = np.flatnonzero(known.grade > 0)
        share = min(self.settings.answer_probability, 1 - 1e-15)
        self._threshold = math.log(share / (1 - share))
        self._answers = set(
            zip(known.query[good].tolist(), known.document[good].tolist(), strict=True)
        )

    def judged(self, place: int, judgment: Judgment) -> Judgment:
        """Return a judgment of the dataset as it shall be written.

        Args:
            place: among all judgments, in the order of the file.
            judgment: as it is.
        """
        score = float(self.said.score[place])
        if math.isnan(score):
            return judgment
        self.counts["scored"] += 1
        verdict = Verdict(int(self.said.verdict[place]))
        lowest = float(self.said.lowest[place])
        origin = judgment.origin
        own = self._facts(verdict, score, lowest)
        scored = replace(
            judgment,
            score=score,
            origin=replace(origin, facts={**origin.facts, **self._whose(score)}),
        )
        if judgment.grade > 0:
            self.counts["answers doubted"] += score < self._threshold
            return scored
        pair = int(self.known.query[place]), int(self.known.document[place])
        # What people say stands; and what is an answer to someone is no false negative found here.
        if origin.kind not in self.settings.regraded or pair in self._answers:
            return scored
        was: dict[str, Scalar] = {"was": origin.kind, "was_by": origin.by}
        taught = Origin(kind="taught", source=origin.source, by=self.by,
                        facts={**origin.facts, **own, **was})  # fmt: skip
        if verdict is Verdict.ANSWER:
            self.counts[f"false negatives: {self.settings.false_negatives}"] += 1
            if self.settings.false_negatives == "answer":
                return replace(scored, grade=self.settings.answer_grade, origin=taught)
            if self.settings.false_negatives == "exclude":
                return replace(scored, grade=math.nan, origin=taught)
        elif verdict is Verdict.UNSURE:
            self.counts[f"unsure negatives: {self.settings.unsure}"] += 1
            if self.settings.unsure == "exclude":
                return replace(scored, grade=math.nan, origin=taught)
        return scored

    def candidates(self) -> Iterator[Judgment]:
        """Yield judgments of the new candidates, in the order in which they were scored."""
        for query, document, rank, score, lowest, verdict in self.said.candidates():
            own = self._facts(Verdict(verdict), score, lowest)
            name = self.known.query_ids[query]
            found = Judgment(
                query_id=name,
                document_id=self.known.document_ids[document],
                grade=0.0,
                origin=Origin(kind="taught", source=f"{name} rank {rank}", by=self.by,
                              facts={**own, "rank": rank}),
                split="train",
                score=score,
            )  # fmt: skip
            if verdict == Verdict.NEGATIVE:
                self.counts["new negatives"] += 1
                yield found
            elif verdict == Verdict.ANSWER:
                what = self.settings.false_negatives
                self.counts[f"new answers: {what}"] += 1
                if what == "answer":
                    yield replace(found, grade=self.settings.answer_grade)
                elif what == "exclude":
                    yield replace(found, grade=math.nan)
            elif verdict == Verdict.UNSURE:
                self.counts[f"new and unsure: {self.settings.unsure}"] += 1
                if self.settings.unsure == "negative":
                    yield found
                elif self.settings.unsure == "exclude":
                    yield replace(found, grade=math.nan)

    def _whose(self, score: float) -> dict[str, Scalar]:
        own: dict[str, Scalar] = {"elo": round(elo(score))}
        return {**self.facts, **(own if self.compared else {})}

    def _facts(self, verdict: Verdict, score: float, lowest: float) -> dict[str, Scalar]:
        facts: dict[str, Scalar] = {
            **self._whose(score),
            "verdict": verdict.name.lower(),
            "probability": round(1 / (1 + math.exp(-max(score, -700.0))), 6),
        }
        if not math.isnan(lowest):
            facts["teacher_answer_score"] = round(lowest, 6)
        return facts
