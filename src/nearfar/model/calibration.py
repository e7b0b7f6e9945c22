"""From a reranker's logit to the probability that a document answers: fitted on judged pairs.

Rerankers order well and exaggerate: a logit of 4 rarely means 98 answers of 100. A threshold
needs the number to be true.

Shapes: P judged pairs.
"""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int
from torch import Tensor

from nearfar.errors import BadFile, BadModel, BadRecord, require
from nearfar.files import whole_file

Kind = Literal["platt", "temperature"]
KINDS = ("platt", "temperature")
FILE = "calibration.json"  # beside the model
_BINS = 15
_STEPS = 100  # Newton needs about six
Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Honesty:
    """How far probabilities are from what happened; 0 is perfect for each."""

    calibration_error: float  # 0 to 1; expected, over 15 bins of equal width
    log_loss: float  # nats; log 2 is a coin
    brier_error: float  # 0 to 1: mean squared distance from 0 or 1; 1/4 is a coin


@dataclass(frozen=True, slots=True)
class Calibration:
    """probability = 1 / (1 + exp(-(slope * logit + offset))), for one reranker."""

    reranker: str  # its fingerprint
    kind: Kind
    slope: float  # above 0: the order stays; 1 / temperature
    offset: float  # 0 where only a temperature was fitted
    pairs: int  # it was fitted on
    answers: int  # of these
    before: Honesty  # of the logit's own sigmoid, on the same pairs
    after: Honesty

    def probability(self, logits: Float[Tensor, " P"]) -> Float[Tensor, " P"]:
        """Return the probability that each document answers, 0 to 1, in the logits' order."""
        return torch.sigmoid(self.slope * logits.double() + self.offset).float()

    def summary(self) -> str:
        """Return in one line what was fitted and what it changed."""
        values = [
            (name.replace("_", " "), getattr(self.before, name), getattr(self.after, name))
            for name in ("calibration_error", "log_loss", "brier_error")
        ]
        told = ", ".join(f"{name} {old:.4f} -> {new:.4f}" for name, old, new in values)
        return f"{self.kind} on {self.pairs:,} pairs, {self.answers:,} of them answers: {told}"

    def write(self, folder: Path) -> None:
        """Write calibration.json beside the model."""
        with whole_file(folder / FILE) as part:
            part.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")


def calibrate(
    logits: Float[Tensor, " P"],
    answers: Int[Tensor, " P"],
    *,
    reranker: str,
    kind: Kind = "platt",
) -> Calibration:
    """Fit the probabilities of a reranker on pairs that it has not learned from.

        minimise over a, b:  - sum t log p + (1 - t) log(1 - p),   p = sigmoid(a * logit + b)

    with t = (N1 + 1) / (N1 + 2) for the N1 answers and 1 / (N0 + 2) for the N0 others instead of
    1 and 0: even where one threshold divides them all, a and b stay finite. `temperature` keeps
    b = 0.

    Args:
        logits: of a dev split, say.
        answers: 1 where the document answers, else 0.
        reranker: the fingerprint of the model that said the logits.
        kind: platt fits a and b, temperature a alone.

    Raises:
        BadRecord: there is no answer among the pairs, or nothing else; logits are not numbers,
            all the same, or higher where there is no answer.

    Source: Platt 1999, "Probabilistic outputs for support vector machines", sec. 2.2; Lin, Lin
        and Weng 2007, doi:10.1007/s10994-007-5018-6 (Newton's steps, halved); the temperature
        as in Guo et al. 2017, arXiv:1706.04599, sec. 4.2, eq. 9.
    """
    require(kind in KINDS, "calibration.kind", " or ".join(KINDS), kind)
    z = logits.double().numpy()
    truth = answers.numpy().astype(np.float64)
    if z.shape != truth.shape:
        raise ValueError(f"{len(z)} logits need as many answers, got {len(truth)}.")
    _require_two_kinds(z, truth)
    ones, zeros = truth.sum(), len(truth) - truth.sum()
    target = np.where(truth == 1, (ones + 1) / (ones + 2), 1 / (zeros + 2))
    # In units of their own spread, so that the two slopes are of one size.
    centre, spread = (z.mean() if kind == "platt" else 0.0), z.std()
    columns = [(z - centre) / spread] + ([np.ones_like(z)] if kind == "platt" else [])
    weights = _newton(np.stack(columns, axis=1), target)
    slope = float(weights[0] / spread)
    offset = float(weights[1] - slope * centre) if kind == "platt" else 0.0
    if not slope > 0:
        raise BadRecord(
            f"expected logits that are higher for answers, found a slope of {slope:.3g} over "
            f"{len(z):,} pairs: the reranker orders them backwards or by chance. Train it, or "
            "look at the judgments."
        )
    return Calibration(
        reranker=reranker, kind=kind, slope=slope, offset=offset, pairs=len(z),
        answers=int(ones), before=honesty(z, truth), after=honesty(slope * z + offset, truth),
    )  # fmt: skip


def honesty(logits: Numbers, truth: Numbers) -> Honesty:
    """Hold the sigmoids of logits against what happened.

        calibration error = sum over bins of  n_bin / P * | mean probability - share of answers |

    Source: Guo et al. 2017, arXiv:1706.04599, eq. 3, for the probability of an answer; Brier
        1950.
    """
    probability = 1 / (1 + np.exp(-np.clip(logits, -500, 500)))
    bins = np.minimum((probability * _BINS).astype(np.int64), _BINS - 1)
    gaps = np.abs(np.bincount(bins, weights=probability - truth, minlength=_BINS))
    # log(1 + exp(x)) of the logit, never the log of a probability: that can be 0.
    losses = np.logaddexp(0, logits) - truth * logits
    return Honesty(
        calibration_error=float(gaps.sum() / len(truth)),
        log_loss=float(losses.mean()),
        brier_error=float(((probability - truth) ** 2).mean()),
    )


def read_calibration(folder: Path, *, reranker: str) -> Calibration:
    """Read what was fitted for the model of a folder.

    Args:
        folder: of the model, or wherever the file was written.
        reranker: the fingerprint of the model whose logits are to become probabilities.

    Raises:
        BadFile: there is none, or it is damaged.
        BadModel: it was fitted for another model.
    """
    path = folder / FILE
    if not path.is_file():
        raise BadFile(f"{path}: expected the calibration of a reranker, found none. Fit it first.")
    try:
        found = _from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise BadFile(
            f"{path}: expected what `calibrate` writes, found a damaged file ({error}). Fit it "
            "again."
        ) from error
    if found.reranker != reranker:
        raise BadModel(
            f"{path}: expected the calibration of reranker {reranker}, found that of "
            f"{found.reranker}. Probabilities hold for one model with its settings alone: fit it "
            "again for this one."
        )
    return found


def _from_json(facts: dict[str, Any]) -> Calibration:
    before, after = (Honesty(**facts.pop(name)) for name in ("before", "after"))
    found = Calibration(**facts, before=before, after=after)
    slope, offset = float(found.slope), float(found.offset)
    if found.kind not in KINDS or not (0 < slope < math.inf and math.isfinite(offset)):
        raise ValueError(f"kind {found.kind!r}, slope {slope}, offset {offset}")
    return found


def _require_two_kinds(z: Numbers, truth: Numbers) -> None:
    if not np.isfinite(z).all():
        raise BadRecord(f"expected finite logits, found {int((~np.isfinite(z)).sum())} others.")
    if not np.isin(truth, (0, 1)).all():
        raise BadRecord("expected answers of 0 and 1; turn grades into these first.")
    ones = int(truth.sum())
    if not 0 < ones < len(truth):
        raise BadRecord(
            f"expected pairs that are answers and pairs that are not, found {ones} and "
            f"{len(truth) - ones}. A probability cannot be fitted on one kind alone: add "
            "judgments of the other, such as mined negatives."
        )
    if z.std() == 0:
        raise BadRecord(f"expected logits that differ, found {z[0]:.4g} for all {len(z):,} pairs.")


def _newton(columns: Numbers, target: Numbers) -> Numbers:
    """Return the weights of least cross-entropy: a convex bowl, walked down in halved steps."""

    def loss(weights: Numbers) -> float:
        logits = columns @ weights
        return float((np.logaddexp(0, logits) - target * logits).mean())

    weights = np.zeros(columns.shape[1])
    for _ in range(_STEPS):
        probability = 1 / (1 + np.exp(-np.clip(columns @ weights, -500, 500)))
        slope = columns.T @ (probability - target) / len(target)
        if np.abs(slope).max() < 1e-12:
            break
        bend = columns.T @ (columns * (probability * (1 - probability))[:, None]) / len(target)
        bend += 1e-12 * np.eye(len(bend))
        step = np.linalg.solve(bend, slope)
        share = 1.0
        while loss(weights - share * step) > loss(weights) and share > 1e-10:
            share /= 2
        weights = weights - share * step
    return weights
