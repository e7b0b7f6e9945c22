"""How often a key may ask: a bucket of tokens that fills with time."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from nearfar.errors import require

Clock = Callable[[], float]  # seconds that never go back


@dataclass(slots=True)
class Bucket:
    """Holds at most a minute's requests; each takes one out, and time puts them back.

        held(t) = min(R, held(s) + (t - s) * R / 60),   R = requests per minute

    A client that was silent may so send R at once, and R a minute from then on.

    Source: the token bucket of RFC 2697 with one rate.
    """

    requests_per_minute: float
    held: float
    at: float  # seconds, when `held` was right

    @classmethod
    def full(cls, requests_per_minute: float, now: float) -> "Bucket":
        """Return one that nothing was taken from.

        Raises:
            BadSetting: the rate is not above 0.
        """
        require(
            math.isfinite(requests_per_minute) and requests_per_minute >= 1,
            "requests_per_minute", "1 or more", requests_per_minute,
        )  # fmt: skip
        return cls(requests_per_minute, requests_per_minute, now)

    def take(self, now: float) -> float:
        """Take one out, if one is in.

        Returns:
            0 if it was; else the seconds, above 0, until one will be.
        """
        since = max(0.0, now - self.at)
        rate = self.requests_per_minute
        self.held, self.at = min(rate, self.held + since * rate / 60), now
        if self.held >= 1:
            self.held -= 1
            return 0.0
        return (1 - self.held) * 60 / rate


class Rates:
    """A bucket for each key that has asked; a key whose rate was changed begins anew."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[str, Bucket] = {}

    def take(self, name: str, requests_per_minute: float | None) -> float:
        """Count a request.

        Args:
            name: whose it is; of keys that a file names, so that these are few.
            requests_per_minute: of this key; None: as often as it likes.

        Returns:
            0 if it may go on, else the seconds after which it may.
        """
        if requests_per_minute is None:
            return 0.0
        now = self._clock()
        bucket = self._buckets.get(name)
        if bucket is None or bucket.requests_per_minute != requests_per_minute:
            bucket = self._buckets[name] = Bucket.full(requests_per_minute, now)
        return bucket.take(now)
