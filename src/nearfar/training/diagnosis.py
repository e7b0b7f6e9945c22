"""Diagnosis while it runs: what a batch shows of the space, and what is to be said about it.

Shapes: Q queries, C documents, D dimensions, K known pairs, N rows.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nearfar.losses.edges import Edges
from nearfar.vectors.similarity import unit

_EASY = 0.02  # of a guess: a loss below it teaches next to nothing
_ONE_PLACE = -0.08  # uniformity; a mean cosine of 0.98, since log(exp(-2 d²)) = 4 cos - 4
_MANY_MASKED = 0.2
_OPENING_STEPS = 20  # a base may begin with all vectors in one cone, and open in a few steps


@torch.no_grad()
def diagnose(
    queries: Float[Tensor, "Q D"],
    documents: Float[Tensor, "C D"],
    edges: Edges,
    *,
    rows: int = 512,
) -> dict[str, float]:
    """Return what the vectors of one batch show, beside its loss.

    It costs little whatever the batch: vectors are looked at by evenly taken samples of at most
    `rows` edges, queries and documents; only what needs no vectors is counted over all.

    Args:
        queries: one row per unique query; lengths do not matter, only directions.
        documents: one row per unique document.
        edges: all judgments between them.
        rows: most edges, queries and documents looked at; no matrix is larger than rows x rows.

    Returns:
        Numbers by name; one that the batch cannot tell (no answer, one document) is left out.
        alignment: mean of ‖q - d‖² over positive edges, 0 to 4, down is good.
        uniformity: log of the mean of exp(-2 ‖d - d'‖²) over pairs of documents, -8 to 0, down
            is good; 0 is all in one place, -4 all at right angles.
        positive_similarity: mean cosine of positive edges, -1 to 1.
        hardest_negative_similarity: mean over queries of the highest cosine with a document of
            the sample that is neither a known answer nor excluded, -1 to 1.
        chance_loss: mean over positive edges of log(1 + N), N the documents of the batch that
            are not known for the query: the InfoNCE of a guess, in nats.
        masked_share: of the pairs that a loss would push that knows of one answer a query only,
            how many may not be pushed, 0 to 1.

    Source: alignment and uniformity of Wang and Isola 2020, arXiv:2005.10242, eq. 3-4, with
        exponent 2 and t = 2, on unit vectors.
    """
    width = len(documents)
    known = torch.unique(edges.known[:, 0] * width + edges.known[:, 1])  # (K,) once each
    positive = edges.positive
    query, document = edges.query[positive], edges.document[positive]
    found = _counted(known, query, len(queries), width)
    # Under autocast the products would be taken in bfloat16.
    with torch.autocast(queries.device.type, enabled=False):
        if len(query):
            some = _evenly(len(query), rows, query.device)
            own, answers = unit(queries[query[some]]), unit(documents[document[some]])
            found["alignment"] = (own - answers).square().sum(1).mean()
            found["positive_similarity"] = (own * answers).sum(1).mean()
        asking = _evenly(len(queries), rows, queries.device)
        among = _evenly(width, rows, documents.device)
        candidates = unit(documents[among])
        if len(candidates) > 1:
            found["uniformity"] = _uniformity(candidates)
        cosines = unit(queries[asking]) @ candidates.T  # (N, N) at most
    row, column = (
        _places(asking, len(queries))[known // width],
        _places(among, width)[known % width],
    )
    here = (row >= 0) & (column >= 0)
    # A mask of -inf cannot win, whatever the cosines are.
    hardest = cosines.index_put((row[here], column[here]), cosines.new_tensor(-torch.inf)).amax(1)
    hardest = hardest[hardest.isfinite()]
    if len(hardest):
        found["hardest_negative_similarity"] = hardest.mean()
    values = torch.stack([value.double() for value in found.values()]).tolist()
    return dict(zip(found, values, strict=True))


def _counted(known: Tensor, query: Tensor, queries: int, documents: int) -> dict[str, Tensor]:
    """Return what is counted over the whole batch, without looking at a vector.

    Args:
        known: (K,) pairs that are not pushed, each as query * documents + document.
        query: of each positive edge.
        queries: how many there are.
        documents: how many there are.
    """
    found = {}
    if len(query):
        hidden = torch.bincount(known // documents, minlength=queries)
        found["chance_loss"] = (documents - hidden[query]).double().log1p().mean()
    answered = len(torch.unique(query))
    rest = queries * documents - answered
    found["masked_share"] = known.new_tensor(len(known) - answered).double() / max(rest, 1)
    return found


def _uniformity(vectors: Float[Tensor, "N D"]) -> Tensor:
    # By products: differences of all pairs would be N x N x D.
    squares = vectors.square().sum(1)
    apart = (squares[:, None] + squares - 2 * vectors @ vectors.T).clamp_min(0)
    apart.fill_diagonal_(torch.inf)
    count = len(vectors) * (len(vectors) - 1)
    return (-2 * apart.double()).flatten().logsumexp(0) - math.log(count)


def _evenly(count: int, most: int, device: torch.device) -> Int[Tensor, " N"]:
    taken = min(count, most)
    return torch.arange(taken, device=device) * count // max(taken, 1)


def _places(rows: Int[Tensor, " N"], count: int) -> Int[Tensor, " M"]:
    """Return for each of `count` rows where it stands in a sample, -1 if it is not there."""
    found = rows.new_full((count,), -1)
    found[rows] = torch.arange(len(rows), device=rows.device)
    return found


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
