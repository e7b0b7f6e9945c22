"""One person at a queue: what comes next, what was said, and how fast it goes."""

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from nearfar.errors import BadSetting
from nearfar.release.marks import SCALES, Did, Journal, Line, disagreements, settled
from nearfar.release.queue import Item, Pair

MOST_SECONDS = 86_400.0  # of one mark: who slept over it is not counted by the week
_PACE = 20  # marks that say how fast it goes


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How far a labeller is."""

    done: int
    total: int
    skipped: int
    seconds_per_mark: float | None  # the median of the last twenty; None: no mark yet

    @property
    def seconds_left(self) -> float | None:
        """Return how long the rest takes at this pace."""
        rest = self.total - self.done
        return None if self.seconds_per_mark is None else rest * self.seconds_per_mark


class Labeller:
    """One person at a queue: what comes next, and what was said."""

    def __init__(
        self, items: Sequence[Item], journal: Journal, by: str, scale: str, *,
        settles: bool = False, others: Sequence[Journal] = (),
        now: Callable[[], dt.datetime] | None = None,
    ) -> None:  # fmt: skip
        """Begin, or go on where this person stopped.

        Args:
            items: of the queue; those for others are left out.
            journal: where marks go.
            by: name of the person.
            scale: what `SCALES` calls it.
            settles: decide where others disagree, instead of marking.
            others: journals that marks were made in too.
            now: the clock; None: that of the machine.

        Raises:
            BadSetting: there is nothing for this person, or the scale is another than before.
        """
        if not by.strip():
            raise BadSetting("--by must name who marks, got nothing.")
        if scale not in SCALES:
            raise BadSetting(f"--grades must be {' or '.join(SCALES)}, got {scale!r}.")
        for one in (journal, *others):
            if other := {line.scale for line in one.lines} - {scale}:
                raise BadSetting(
                    f"{one.path}: expected marks on the scale {scale}, found {', '.join(other)}: "
                    f"they cannot be compared. Go on with --grades {min(other)}, or name another "
                    "--marks."
                )
        if settles:
            wanted = set(disagreements((journal, *others)))
            wanted -= {pair for pair, mark in settled((journal, *others)).items()
                       if mark.line.by != by}  # fmt: skip
            mine = [item for item in items if item.pair in wanted]
        else:
            mine = [item for item in items if not item.labellers or by in item.labellers]
            if not mine:
                names = sorted({name for item in items for name in item.labellers})
                raise BadSetting(
                    f"--by {by}: the queue has no pair for {by!r}, only for {', '.join(names)}."
                )
        self.items = {item.pair: item for item in mine}
        self.scale, self.by = scale, by
        self._journal, self._settles = journal, settles
        self._now = now or (lambda: dt.datetime.now(dt.UTC))
        self._taken = 0  # lines of the journal
        self._marks: dict[Pair, Line] = {}
        self._skips: dict[Pair, None] = {}  # in their order
        self._acts: list[Line] = []  # that can be taken back
        self._take()

    def current(self) -> Item | None:
        """Return what comes next; what was skipped comes last. None: all is marked."""
        self._journal.refresh()
        self._take()
        for pair, item in self.items.items():
            if pair not in self._marks and pair not in self._skips:
                return item
        return self.items[next(iter(self._skips))] if self._skips else None

    def mark(self, pair: Pair, grade: int, *, seconds: float = 0.0, note: str = "") -> str | None:
        """Say how well a document answers.

        Returns:
            None; or, if the pair has another grade already (from another window), a sentence:
            that grade stands.

        Raises:
            BadSetting: the pair is not in the queue of this person, or it is no such grade.
        """
        if not 0 <= grade <= SCALES[self.scale]:
            raise BadSetting(f"a grade must be 0 to {SCALES[self.scale]}, got {grade}.")
        self._require(pair)
        with self._journal.writing() as append:
            self._take()
            if before := self._marks.get(pair):
                if before.grade == grade:
                    return None
                return (
                    f"Marked {before.grade} in another window: that stands. Take it back there "
                    "to mark it anew."
                )
            append(self._line(pair, "mark", grade, seconds, note))
            self._take()
        return None

    def skip(self, pair: Pair, *, seconds: float = 0.0, note: str = "") -> None:
        """Leave a pair for later; raises as `mark` does."""
        self._require(pair)
        with self._journal.writing() as append:
            self._take()
            if pair not in self._marks:
                append(self._line(pair, "skip", None, seconds, note))
                self._take()

    def undo(self) -> Item | None:
        """Take back the last mark or skip of this person; return its pair, None if none is left."""
        with self._journal.writing() as append:
            self._take()
            if not self._acts:
                return None
            pair = self._acts[-1].pair
            append(self._line(pair, "undo", None, 0.0, ""))
            self._take()
        return self.items[pair]

    def standing(self) -> Standing:
        """Return how far this person is."""
        last = [line.seconds for line in self._acts if line.did == "mark"][-_PACE:]
        return Standing(done=len(self._marks), total=len(self.items), skipped=len(self._skips),
                        seconds_per_mark=median(last) if last else None)  # fmt: skip

    def _take(self) -> None:
        """Learn of lines that were written since, by whichever window."""
        new = self._journal.lines[self._taken :]
        self._taken += len(new)
        for line in new:
            pair = line.pair
            if line.by != self.by or line.settles != self._settles or pair not in self.items:
                continue
            self._skips.pop(pair, None)
            if line.did == "mark":
                self._marks[pair] = line
            elif line.did == "skip":
                self._skips[pair] = None
            if line.did != "undo":
                self._acts.append(line)
                continue
            self._marks.pop(pair, None)
            for place in reversed(range(len(self._acts))):
                if self._acts[place].pair == pair:
                    del self._acts[place]
                    break

    def _line(self, pair: Pair, did: Did, grade: int | None, seconds: float, note: str) -> Line:
        at = self._now().isoformat(timespec="seconds")
        note = note.encode(errors="replace").decode()  # half of a pair of surrogates is no text
        return Line(query_id=pair[0], document_id=pair[1], did=did, grade=grade, scale=self.scale,
                    by=self.by, at=at, seconds=round(min(max(seconds, 0.0), MOST_SECONDS), 1),
                    note=note, settles=self._settles)  # fmt: skip

    def _require(self, pair: Pair) -> None:
        if pair not in self.items:
            raise BadSetting(f"query {pair[0]!r} and document {pair[1]!r} are not in the queue.")
