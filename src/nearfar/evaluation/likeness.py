"""EmbeddingSimilarity: a cosine turned into a likeness from 0 to 1 that means something.

A cosine of 0.7 says "the same" in one space and "unrelated" in another. Calibrated on judged pairs
of dev, the number is the probability that two texts belong together, or the degree of likeness
that people would give them; it holds for that one space, and for pairs mixed as those of dev are.

Shapes: N pairs.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from sklearn.isotonic import IsotonicRegression

from nearfar.data.dataset import Dataset
from nearfar.errors import BadFile, BadRecord, require
from nearfar.evaluation.embedded import unit_numbers
from nearfar.evaluation.intervals import FEWEST
from nearfar.evaluation.judged_pairs import JudgedPairs, require_pairs
from nearfar.evaluation.judged_texts import JudgedTexts
from nearfar.evaluation.pair_classification import require_two_kinds
from nearfar.evaluation.task_scores import Asking, clusters_of_pairs
from nearfar.files import whole_file
from nearfar.fingerprint import content_id
from nearfar.model.calibration import Honesty, calibrate, honesty
from nearfar.model.encoder import Encoder
from nearfar.model.space import EmbeddingSpace, require_same_space
from nearfar.progress import Progress, silent
from nearfar.records import Split

Floats = npt.NDArray[np.float64]
Kind = Literal["platt", "isotonic"]
KINDS = ("platt", "isotonic")
FILE = "similarity.json"
_FOLDS = 5
_SURE = 1e-6  # a probability of 0 or 1, as a step of isotonic regression may be, has no log


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingSimilarity:
    """platt: 1 / (1 + exp(-(slope * cosine + offset))); isotonic: straight lines between knots."""

    space: EmbeddingSpace  # whose cosines it reads
    kind: Kind
    slope: float = 0.0
    offset: float = 0.0
    cosines: tuple[float, ...] = ()  # of the knots, ascending
    likeness: tuple[float, ...] = ()  # at the knots, never falling
    pairs: int  # it was fitted on
    held_out: Honesty | None  # on pairs it was not fitted on, five folds; None: too few for that

    def of(self, cosines: Floats) -> Floats:
        """Return the likeness of pairs with these cosines, 0 to 1."""
        found: Floats
        if self.kind == "platt":
            found = 1 / (1 + np.exp(-np.clip(self.slope * cosines + self.offset, -500, 500)))
        else:
            found = np.interp(cosines, self.cosines, self.likeness)
        return found

    def between(self, encoder: Encoder, queries: Sequence[str], documents: Sequence[str]) -> Floats:
        """Return how alike each query is to the document beside it, 0 to 1.

        Raises:
            SpaceMismatch: the encoder is not of the space this was fitted in.
            BadModel: a vector holds what is no number.
        """
        require_same_space(self.space, encoder.space, to="read cosines as likeness")
        if len(queries) != len(documents):
            raise ValueError(f"{len(queries)} queries need as many documents: {len(documents)}.")
        one = unit_numbers(encoder.encode(queries, "query"), queries)
        other = unit_numbers(encoder.encode(documents, "document"), documents)
        return self.of((one * other).sum(1).double().numpy())

    def reliability(self, cosines: Floats, truth: Floats) -> Honesty:
        """Hold it against other pairs: 1 or 0, or degrees between; expected calibration error."""
        return honesty(logit(self.of(cosines)), truth)

    def write(self, folder: Path) -> None:
        """Write similarity.json."""
        facts = asdict(self) | {"space": self.space.to_json()}
        with whole_file(folder / FILE) as part:
            text = json.dumps(facts, indent=1, allow_nan=False)
            part.write_text(text + "\n", encoding="utf-8")


def fit_similarity(
    cosines: Floats, truth: Floats, space: EmbeddingSpace, clusters: Sequence[str], *,
    kind: Kind = "platt",
) -> EmbeddingSimilarity:  # fmt: skip
    """Fit it on pairs that the model has not learned from.

    Args:
        cosines: (N,) of the pairs.
        truth: (N,) 1 where they belong together, else 0; for isotonic any degree between.
        space: where the cosines are from.
        clusters: (N,) what each pair hangs together with: never on both sides of a fold.
        kind: platt keeps the order of all cosines and needs few pairs; isotonic takes any rising
            form, joins neighbours that it cannot tell apart, and needs hundreds.

    Raises:
        BadRecord: there are fewer than 20 pairs, all are of one kind, or cosines do not rise with
            the truth.

    Source: Platt 1999, see `model.calibration.calibrate`; Zadrozny and Elkan 2002,
        doi:10.1145/775047.775151 (isotonic).
    """
    require(kind in KINDS, "similarity.kind", " or ".join(KINDS), kind)
    if len(cosines) < FEWEST:
        raise BadRecord(
            f"Expected {FEWEST} judged pairs or more to calibrate a similarity, found "
            f"{len(cosines)}. Import more pairs into dev."
        )
    if not (np.isfinite(cosines).all() and ((truth >= 0) & (truth <= 1)).all()):
        raise ValueError("expected cosines that are numbers, and truth from 0 to 1.")
    fitted = _fitted(cosines, truth, kind)
    fold = np.array([int(content_id(own), 16) % _FOLDS for own in clusters])
    guessed = np.empty(len(cosines))
    try:
        for own in range(_FOLDS):
            if (fold == own).any():
                parts = _fitted(cosines[fold != own], truth[fold != own], kind)
                other = EmbeddingSimilarity(space=space, kind=kind, pairs=0, held_out=None, **parts)
                guessed[fold == own] = other.of(cosines[fold == own])
        held_out = honesty(logit(guessed), truth)
    except BadRecord:  # a fold held all that there was of one kind
        held_out = None
    return EmbeddingSimilarity(
        space=space, kind=kind, pairs=len(cosines), held_out=held_out, **fitted
    )


def calibrate_similarity(
    encoder: Encoder,
    dataset: Dataset,
    *,
    split: Split = "dev",
    kind: Kind | None = None,
    highest: float = 1.0,
    progress: Progress = silent,
) -> EmbeddingSimilarity:
    """Fit it on the judged pairs of a split: degrees of likeness, or pairs of both kinds.

    Args:
        encoder: the model; the similarity is of its space.
        dataset: where pairs are judged.
        split: whose pairs; not one that the model learned from, nor one it is to be proved on.
        kind: None: isotonic where people gave degrees, else platt.
        highest: the grade that is a likeness of 1, where degrees were given on a greater scale.
        progress: told while texts are embedded.

    Raises:
        BadRecord: the split has no such pairs, or cosines do not rise with what people said.
    """
    pairs = require_pairs(dataset, split, "similarity")
    judged = JudgedTexts(
        Asking(encoder=encoder, dataset=dataset, split=split, progress=progress), pairs
    )
    chosen: Kind = kind or ("isotonic" if graded(pairs) else "platt")
    return fit_similarity(
        judged.cosines(), truth_of(pairs, highest=highest), encoder.space,
        clusters_of_pairs(judged.both()), kind=chosen,
    )  # fmt: skip


def graded(pairs: JudgedPairs) -> bool:
    """Return whether people gave degrees of likeness, and not yes or no."""
    return set(pairs.kinds) == {"sts"}


def truth_of(pairs: JudgedPairs, *, highest: float = 1.0) -> Floats:
    """Return what the likeness of each pair should be: a degree, or 1 of an answer and else 0.

    Args:
        pairs: of the task "similarity".
        highest: the grade that is a likeness of 1, where degrees were given on a greater scale.
    """
    if not graded(pairs):
        return (pairs.grades > 0).astype(np.float64)
    found: Floats = pairs.grades / max(float(pairs.grades.max()), highest)
    return found


def read_similarity(folder: Path, space: EmbeddingSpace) -> EmbeddingSimilarity:
    """Read what `write` has written, for a model of one space.

    Raises:
        BadFile: there is none, or it is damaged.
        SpaceMismatch: it was fitted in another space.
    """
    path = folder / FILE
    try:
        facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        told = facts.pop("held_out")
        of = EmbeddingSpace.from_json(facts.pop("space"), where=str(path))
        for name in ("cosines", "likeness"):
            facts[name] = tuple(map(float, facts[name]))
        found = EmbeddingSimilarity(space=of, held_out=Honesty(**told) if told else None, **facts)
        rises = np.diff(found.cosines).min(initial=1) > 0 and len(found.cosines) > 1
        whole = found.slope > 0 if found.kind == "platt" else found.kind == "isotonic" and rises
        if not whole or len(found.cosines) != len(found.likeness):
            raise ValueError(f"kind {found.kind!r} and its numbers do not fit")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadFile(
            f"{path}: expected a calibrated similarity ({error}). Fit it again on dev."
        ) from error
    require_same_space(found.space, space, to="read cosines as likeness")
    return found


def _fitted(cosines: Floats, truth: Floats, kind: Kind) -> dict[str, Any]:
    if kind == "platt":
        if not np.isin(truth, (0, 1)).all():
            raise BadRecord("Expected pairs judged 0 or 1, found degrees between: use isotonic.")
        require_two_kinds(truth == 1)
    # The slope of Platt's line has the sign of this; an isotonic one would be flat but for noise.
    if not ((cosines - cosines.mean()) * truth).sum() > 0:
        raise _backwards(len(cosines))
    if kind == "isotonic":
        line = IsotonicRegression(y_min=0, y_max=1, increasing=True).fit(cosines, truth)
        return {
            "cosines": tuple(line.X_thresholds_.tolist()),
            "likeness": tuple(line.y_thresholds_.tolist()),
        }
    answers = torch.from_numpy(truth.astype(np.int64))
    found = calibrate(torch.from_numpy(cosines), answers, reranker="cosine")
    return {"slope": found.slope, "offset": found.offset}


def _backwards(pairs: int) -> BadRecord:
    return BadRecord(
        f"Expected cosines that are higher where texts are more alike, found no such thing over "
        f"{pairs:,} pairs: the model orders them backwards or by chance. Train it, or look at the "
        "judgments."
    )


def logit(likeness: Floats) -> Floats:
    """Return log(p / (1 - p)) of each likeness p, finite at 0 and 1 too."""
    safe = np.clip(likeness, _SURE, 1 - _SURE)
    found: Floats = np.log(safe) - np.log1p(-safe)
    return found
