"""What is to be said about a run while it can still be helped, read from its log."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

_EASY = 0.02  # of a guess: a loss below it teaches next to nothing
_ONE_PLACE = -0.08  # uniformity; a mean cosine of 0.98, since log(exp(-2 d²)) = 4 cos - 4
_ONE_SCORE = 0.01  # standard deviation of logits
_MANY_MASKED = 0.2
_OPENING_STEPS = 20  # a base may begin with all vectors in one cone, and open in a few steps


@dataclass(frozen=True, slots=True)
class Symptom:
    """Something that a run should be told of while it can still be helped."""

    name: str
    step: int
    text: str  # what was seen, what it means, what to do

    @property
    def row(self) -> dict[str, Any]:
        """The line of it in log.jsonl; a watch that is told of it will not say it again."""
        return {"kind": "warning", "step": self.step, "name": self.name, "text": self.text}


@dataclass(frozen=True, slots=True)
class _Rule:
    """What must hold at so many rows in a row, and what is then said."""

    name: str
    kind: str  # of the rows
    reads: tuple[str, ...]  # rows that lack one of these are passed over
    in_a_row: int
    holds: Callable[[Mapping[str, Any]], bool]
    text: str  # filled from the row


_RULES = (
    _Rule(
        "easy_negatives", "step", ("loss", "chance_loss"), 10,
        lambda row: row["loss"] < _EASY * row["chance_loss"],
        "For {in_a_row} steps the loss has been below 2 % of what a guess would have ({loss:.3g} "
        "of {chance_loss:.3g} nats at step {step}). The negatives are too easy: hardly anything "
        "is learned from them any more. Mine hard negatives with `nearfar mine`, raise "
        "training.pairs_per_step, or raise loss.temperature.",
    ),
    _Rule(
        "no_negatives", "step", ("chance_loss",), 10,
        lambda row: row["chance_loss"] == 0,
        "For {in_a_row} steps no query had a negative (at step {step} every document of the "
        "batch was a known answer or excluded). So nothing is learned. Raise "
        "training.pairs_per_step, and look with `nearfar check` whether all queries have the "
        "same answers.",
    ),
    _Rule(
        "collapse", "step", ("uniformity",), 5,
        lambda row: row["uniformity"] > _ONE_PLACE and row["step"] > _OPENING_STEPS,
        "For {in_a_row} steps all documents have lain in nearly one direction (uniformity "
        "{uniformity:.3f} at step {step}; 0 is all in one place, -4 all at right angles). The "
        "space has collapsed, or has never opened: a search cannot tell them apart. Lower "
        "training.learning_rate, raise training.pairs_per_step, or set loss.spread_weight.",
    ),
    _Rule(
        "constant_scores", "step", ("score_spread",), 5,
        lambda row: row["score_spread"] < _ONE_SCORE and row["step"] > _OPENING_STEPS,
        "For {in_a_row} steps all pairs have had nearly the same score (standard deviation "
        "{score_spread:.3g} at step {step}). A reranker that says the same of every document puts "
        "none before another. Lower training.learning_rate, or give each query more negatives "
        "(training.negatives_per_pair).",
    ),
    _Rule(
        "pinned_temperature", "step", ("temperature", "temperature_clamped"), 10,
        lambda row: bool(row["temperature_clamped"]),
        "For {in_a_row} steps the learned temperature has stood at the end of its range "
        "({temperature:.3g} at step {step}). It would go on, so it no longer learns. Widen "
        "loss.least_temperature or loss.highest_temperature; or set loss.learn_temperature to "
        "false, with the temperature that did best on dev.",
    ),
    _Rule(
        "many_masked", "step", ("masked_share",), 5,
        lambda row: row["masked_share"] > _MANY_MASKED,
        "For {in_a_row} steps more than 20 % of the would-be negatives were known answers or "
        "excluded ({masked_share:.0%} at step {step}). They are not pushed, so queries have "
        "fewer negatives than the batch suggests, and where judgments are missing they are "
        "pushed wrongly. Look for duplicates with `nearfar check`, raise training.pairs_per_step, "
        "or set loss.false_negatives.",
    ),
    _Rule(
        "below_base", "dev", ("score", "base"), 2,
        lambda row: row["score"] < row["base"],
        "At {in_a_row} checks in a row dev was below the base ({score:.4f} after step {step}, "
        "{base:.4f} before the first). Training makes the model worse; the base's weights stay "
        "the best until they are beaten. Lower training.learning_rate, check that train asks for "
        "what dev asks for, and look for answers among the negatives (loss.false_negatives).",
    ),
)  # fmt: skip


class Watch:
    """Reads the log as it is written, and says once a run what is going wrong.

    It knows no more than the rows it was shown: a run that goes on shows it those it has
    logged, and then it is as if the run had never stopped.
    """

    def __init__(self, said: Iterable[str] = ()) -> None:
        self._said = set(said)  # names of symptoms that are not to be said again
        self._in_a_row = {rule.name: 0 for rule in _RULES}
        self._base: float | None = None

    def see(self, row: Mapping[str, Any]) -> list[Symptom]:
        """Look at one row of the log; return what is to be said now.

        Args:
            row: as in log.jsonl. Of "step" are read loss, chance_loss, uniformity,
                masked_share, temperature and temperature_clamped (whether a *learned*
                temperature had to be brought back into its range), as far as they are there:
                leave chance_loss out where the loss is not measured in nats. Of "dev" the first
                score is read; the first row is the base. A "warning" is not said again.
        """
        kind = row.get("kind")
        if kind == "warning":
            self._said.add(row["name"])
        if kind == "dev":
            row = self._with_base(row)
        found = []
        for rule in _RULES:
            if rule.kind != kind or not all(name in row for name in rule.reads):
                continue
            count = self._in_a_row[rule.name] + 1 if rule.holds(row) else 0
            self._in_a_row[rule.name] = count
            if count >= rule.in_a_row and rule.name not in self._said:
                self._said.add(rule.name)
                text = rule.text.format(in_a_row=rule.in_a_row, **row)
                found.append(Symptom(rule.name, int(row["step"]), text))
        return found

    def replay(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Look at the rows of a run that goes on, without saying anything."""
        for row in rows:
            self.see(row)

    def _with_base(self, row: Mapping[str, Any]) -> dict[str, Any]:
        score = next(value for name, value in row.items() if name not in ("kind", "step"))
        if self._base is None:
            self._base = float(score)
        return {"step": row["step"], "score": float(score), "base": self._base}
