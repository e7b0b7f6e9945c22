"""How a search log becomes judgments: what counts as evidence, and what is left out."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

from nearfar.errors import BadSetting

Propensity = Literal["estimated", "power"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Clicks:
    """What a pair of a query and a document must show before it is judged, and by what measure."""

    propensity: Propensity = "estimated"  # from the log itself; power: rank to the minus eta
    eta: float = 1.0  # power: 0 takes clicks as they are, 1 halves the chance at the second rank
    least_propensity: float = 0.05  # a click weighs at most 1 / this: fewer wild grades, some bias
    prior_examinations: float = 10.0  # how much of the query's mean is mixed into each document
    least_impressions: int = 10  # of a pair, to be judged an answer
    least_clicks: int = 2  # satisfied ones, of a pair, to be judged an answer
    least_share: float = 0.5  # of the query's best document, to be judged an answer
    least_skips: int = 10  # shown above a click and never clicked, to be judged no answer
    satisfied_seconds: float = 30.0  # a shorter stay is no sign of an answer; unknown ones are
    least_people: int = 1  # who asked a query: rare queries can name a person
    queries_per_minute: int = 30  # more in any minute of the clock is a robot
    split_by_time: bool = False  # train on the oldest pages, dev and test on the newest

    def __post_init__(self) -> None:
        if self.propensity not in get_args(Propensity):
            raise BadSetting(
                f"clicks.propensity must be one of {', '.join(get_args(Propensity))}, got "
                f"{self.propensity!r}."
            )
        for name in ("eta", "prior_examinations", "satisfied_seconds"):
            self._require(name, 0, math.inf)
        for name in ("least_propensity", "least_share"):
            self._require(name, 0, 1)
        if not self.least_propensity > 0:
            raise BadSetting("clicks.least_propensity must be above 0: a click weighs 1 / this.")
        for name in (
            "least_impressions",
            "least_clicks",
            "least_skips",
            "least_people",
            "queries_per_minute",
        ):
            self._require(name, 1, math.inf)

    def _require(self, name: str, low: float, high: float) -> None:
        value = getattr(self, name)
        if not (low <= value <= high and math.isfinite(value)):
            most = f" to {high:g}" if high < math.inf else " or more"
            raise BadSetting(f"clicks.{name} must be {low:g}{most}, got {value!r}.")
