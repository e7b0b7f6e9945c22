"""Scores that were computed, on disk before they are used: what is there is never scored again.

A killed process loses the block that it was scoring, and no more.

A file that only grows, one for each reranker: 16 bytes of a hash of query and document, and the
score as 4 bytes. A million pairs are 20 MB. What a killed process was about to write is cut off.

Shapes: P pairs.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int
from torch import Tensor

from nearfar.errors import BadFile
from nearfar.files import lock
from nearfar.model.reranker import Reranker, pairs_of_one
from nearfar.progress import Progress, silent

_RECORD = np.dtype([("high", "<u8"), ("low", "<u8"), ("score", "<f4")])
_MAGIC = b"nearfar scores 1 of "  # and the 16 hex digits of the reranker: the first 36 bytes
_HEAD_BYTES = 36
_RECENT = 65_536  # scores in a dict, before they are sorted in with the others

Records = npt.NDArray[np.void]  # of _RECORD
Words = npt.NDArray[np.uint64]
Floats = npt.NDArray[np.float32]


class ScoreFile:
    """The scores of one reranker; in memory are 20 bytes of each."""

    def __init__(self, path: Path, handle: int) -> None:
        self._path = path
        self._handle = handle
        self._sorted = np.empty(0, _RECORD)
        self._recent: dict[bytes, float] = {}
        self._end = _HEAD_BYTES

    def __len__(self) -> int:
        return len(self._sorted) + len(self._recent)

    def get(self, keys: Sequence[bytes]) -> Floats:
        """Return the score of each key of 16 bytes; NaN where there is none."""
        asked = np.frombuffer(b"".join(keys), dtype="<u8").reshape(-1, 2)
        found = _looked_up(self._sorted, asked[:, 0], asked[:, 1])
        for place in np.flatnonzero(np.isnan(found)).tolist():
            found[place] = self._recent.get(keys[place], np.nan)
        return found

    def add(self, keys: Sequence[bytes], scores: Floats) -> None:
        """Keep scores of keys that have none; on return they outlive a loss of power.

        Args:
            keys: of 16 bytes.
            scores: finite ones.

        Raises:
            OSError: they cannot be written, as on a full disk; the file is as it was before.
        """
        rows = np.empty(len(keys), _RECORD)
        words = np.frombuffer(b"".join(keys), dtype="<u8").reshape(-1, 2)
        rows["high"], rows["low"], rows["score"] = words[:, 0], words[:, 1], scores
        rest = memoryview(rows.tobytes())
        size = len(rest)
        try:
            while rest:
                rest = rest[os.write(self._handle, rest) :]
            os.fsync(self._handle)
        except OSError:
            os.ftruncate(self._handle, self._end)  # or later ones would follow half a record
            raise
        self._end += size
        self._recent.update(zip(keys, scores.tolist(), strict=True))
        if len(self._recent) >= _RECENT:
            self._take(_rows(self._recent))
            self._recent.clear()

    def load(self, fingerprint: str) -> None:
        """Learn what is there; cut off a last record that was never finished.

        Raises:
            BadFile: these are no scores, or those of another reranker.
        """
        head = _MAGIC + fingerprint.encode()
        size = os.fstat(self._handle).st_size
        found = os.pread(self._handle, _HEAD_BYTES, 0)
        if found != head and not head.startswith(found):
            raise BadFile(
                f"{self._path}: expected the scores of reranker {fingerprint}, found "
                f"{found[:_HEAD_BYTES]!r}. Remove the file, or name another --cache."
            )
        if found != head:  # new, or killed while it was made
            os.ftruncate(self._handle, 0)
            os.write(self._handle, head)
            return
        whole = (size - _HEAD_BYTES) // _RECORD.itemsize
        self._end = _HEAD_BYTES + whole * _RECORD.itemsize
        os.ftruncate(self._handle, self._end)
        rows = np.fromfile(self._path, _RECORD, whole, offset=_HEAD_BYTES)
        self._take(rows[np.isfinite(rows["score"])])  # none else counts, should one be there

    def _take(self, rows: Records) -> None:
        both = np.concatenate([self._sorted, rows])
        self._sorted = both[np.lexsort((both["low"], both["high"]))]


def _rows(recent: dict[bytes, float]) -> Records:
    words = np.frombuffer(b"".join(recent), dtype="<u8").reshape(-1, 2)
    rows = np.empty(len(recent), _RECORD)
    rows["high"], rows["low"], rows["score"] = words[:, 0], words[:, 1], list(recent.values())
    return rows


def _looked_up(rows: Records, high: Words, low: Words) -> Floats:
    """Return the score of each key in rows that are sorted; NaN where there is none."""
    found = np.full(len(high), np.nan, dtype=np.float32)
    place = np.searchsorted(rows["high"], high)
    open_ = np.arange(len(high))
    while len(open_):  # a second round only where two keys share their first half
        open_ = open_[place[open_] < len(rows)]
        open_ = open_[rows["high"][place[open_]] == high[open_]]
        same = rows["low"][place[open_]] == low[open_]
        found[open_[same]] = rows["score"][place[open_[same]]]
        open_ = open_[~same]
        place[open_] += 1
    return found


@contextmanager
def open_scores(folder: Path, fingerprint: str) -> Iterator[ScoreFile]:
    """Yield the scores of one reranker, which are kept in a folder.

    Raises:
        BadFile: the file there is something else, or another process is writing to it: both would
            score the same pairs.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadFile(f"{folder}: cannot keep scores there ({error.strerror}).") from error
    path = folder / f"scores-{fingerprint}.bin"
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        lock(
            handle,
            f"{path}: another process is writing scores there, and both would score the same "
            "pairs. Wait for it, or name another --cache.",
        )
        file = ScoreFile(path, handle)
        file.load(fingerprint)
        yield file
    finally:
        os.close(handle)


@dataclass
class Remembering:
    """A reranker that scores no pair of texts twice, once its score is on disk."""

    reranker: Reranker
    scores: ScoreFile
    pairs_per_block: int
    new: int = 0  # pairs scored by this run
    infinite: int = 0  # numbers that were too large for the reranker's precision

    @property
    def fingerprint(self) -> str:
        """Names everything that moves a score."""
        return self.reranker.fingerprint

    def score(self, query: str, documents: Sequence[str]) -> Float[Tensor, " N"]:
        """Return one logit per document, in the order given."""
        return self.score_pairs([query], documents, pairs_of_one(len(documents)))

    def score_pairs(
        self,
        queries: Sequence[str],
        documents: Sequence[str],
        pairs: Int[Tensor, "P 2"],
        *,
        progress: Progress = silent,
    ) -> Float[Tensor, " P"]:
        """Return one logit per pair; those that are new are on disk before it returns.

        At most one block of `pairs_per_block` is lost to a kill. A pair that the reranker gives no
        finite number is not remembered and has none (NaN); it is asked for again another time.
        """
        keys = pair_keys(queries, documents, pairs)
        lacking = np.flatnonzero(np.isnan(self.scores.get(keys))) if keys else np.empty(0, int)
        firsts: dict[bytes, int] = {}
        for place in lacking.tolist():
            firsts.setdefault(keys[place], place)
        places = torch.tensor(list(firsts.values()), dtype=torch.long)
        done = 0
        for some in torch.split(places, self.pairs_per_block) if len(places) else ():
            logits = self.reranker.score_pairs(queries, documents, pairs[some]).float().numpy()
            given = np.isfinite(logits)
            self.infinite += int(np.isinf(logits).sum())
            own = [keys[place] for place in some.tolist()]
            kept = [key for key, good in zip(own, given, strict=True) if good]
            self.scores.add(kept, logits[given])
            self.new += len(kept)
            done += len(some)
            progress("scoring pairs", done, len(places))
        return torch.from_numpy(self.scores.get(keys)) if keys else torch.empty(0)


def pair_keys(
    queries: Sequence[str], documents: Sequence[str], pairs: Int[Tensor, "P 2"]
) -> list[bytes]:
    """Return 16 bytes for each pair of texts: two of a billion collide with a chance of 1e-21."""
    asked, told = ({place: hashlib.blake2b(texts[place].encode(), digest_size=16).digest()
                    for place in set(pairs[:, side].tolist())}
                   for side, texts in ((0, queries), (1, documents)))  # fmt: skip
    return [hashlib.blake2b(asked[q] + told[d], digest_size=16).digest()
            for q, d in pairs.tolist()]  # fmt: skip
