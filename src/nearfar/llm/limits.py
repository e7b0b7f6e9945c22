"""How fast and for how much money a language model is asked, by many threads at once."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol


class Clock(Protocol):
    """Time, as waiting sees it."""

    def now(self) -> float:
        """Return seconds since some moment."""
        ...

    def wait(self, seconds: float, over: threading.Event) -> None:
        """Return after so many seconds, or as soon as `over` is set."""
        ...


class RealClock:
    """The clock of this machine."""

    def now(self) -> float:
        """Return seconds since some moment."""
        return time.monotonic()

    def wait(self, seconds: float, over: threading.Event) -> None:
        """Return after so many seconds, or as soon as `over` is set."""
        over.wait(seconds)


class Pace:
    """Gives each request its turn: evenly spread, so that no minute has more than its share."""

    def __init__(self, requests_per_minute: float | None, clock: Clock) -> None:
        self._seconds = 60.0 / requests_per_minute if requests_per_minute else 0.0
        self._clock = clock
        self._free = clock.now()  # when the next turn begins
        self._lock = threading.Lock()

    def wait_for_turn(self, over: threading.Event) -> None:
        """Return when a request may go out, or as soon as `over` is set."""
        with self._lock:
            turn = max(self._clock.now(), self._free)
            self._free = turn + self._seconds
        while (left := turn - self._clock.now()) > 0 and not over.is_set():
            self._clock.wait(left, over)

    def hold(self, seconds: float) -> None:
        """Let no request out for so long: the server is busy."""
        with self._lock:
            self._free = max(self._free, self._clock.now() + seconds)


class LimitReached(Exception):
    """Another request could cost more than is left."""


@dataclass
class Slip:
    """What one request may cost; settled once it is known what it did cost."""

    most_usd: float
    cost_usd: float = 0.0


class Purse:
    """Holds money for requests under way, so that many at once never spend more than the limit.

    Before a request goes out its highest possible cost is set aside, and afterwards exchanged for
    the real one. So the limit holds whatever the answers turn out to be; the last dollars' worth
    of a request may stay unspent.
    """

    def __init__(self, limit_usd: float | None, spent_usd: float = 0.0) -> None:
        self._limit = limit_usd
        self.spent_usd = spent_usd
        self._held = 0.0
        self._under_way = 0
        self._changed = threading.Condition()

    @contextmanager
    def slip(self, most_usd: float | None) -> Iterator[Slip]:
        """Hold money while a request is under way; wait for it if others hold too much.

        Args:
            most_usd: what the request costs at most; None where prices are unknown.

        Raises:
            LimitReached: there is not enough left, and nothing under way will free any.
        """
        slip = Slip(most_usd or 0.0)
        with self._changed:
            while self._limit is not None and self._sum() + slip.most_usd > self._limit:
                if self._under_way == 0:
                    raise LimitReached
                self._changed.wait()
            self._held += slip.most_usd
            self._under_way += 1
        try:
            yield slip
        finally:
            with self._changed:
                self._under_way -= 1
                # Sums of many small numbers drift; with nothing under way the truth is known.
                self._held = self._held - slip.most_usd if self._under_way else 0.0
                self.spent_usd += slip.cost_usd
                self._changed.notify_all()

    def _sum(self) -> float:
        return self.spent_usd + self._held
