"""Who looked: robots are told from people, and rare queries from those that many ask."""

import re
from collections import Counter

import numpy as np
from numpy.typing import NDArray

from nearfar.data.clicks.settings import Clicks
from nearfar.data.clicks.spool import ClickSpool, Rows

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

_ROBOT = re.compile(
    r"bot\b|bot[/;_-]|crawl|spider|slurp|scrap|headless|phantomjs|selenium|monitor|pingdom|"
    r"curl/|wget/|python-|httpx|aiohttp|okhttp|java/|libwww|go-http-client|postman",
    re.IGNORECASE,
)
_SECONDS_AN_HOUR, _SECONDS_A_DAY = 3_600, 86_400
# A person who clicks four of five results, and has done so fifty times, does not read them.
_GREEDY_SHARE, _GREEDY_RESULTS = 0.8, 50


def is_robot(agent: str) -> bool:
    """Tell whether a user agent calls itself a robot, a library or a test.

    >>> is_robot("Mozilla/5.0 (compatible; Googlebot/2.1)"), is_robot("Mozilla/5.0 (X11; Linux)")
    (True, False)
    """
    return bool(agent and _ROBOT.search(agent))


def session_of(session: str, user: str, time: float | None) -> str:
    """Return what belongs together: the session, else the user's day (UTC), else the user.

    Sessions may be counted anew for each user, so the user is part of the name.
    """
    if session:
        return f"{user}\n{session}"
    if not user:
        return ""
    return f"{user}\n\n" + ("" if time is None else str(int(time // _SECONDS_A_DAY)))


def robots(spool: ClickSpool, people: int, settings: Clicks) -> tuple[Bools, Counter[str]]:
    """Return which pages no person looked at, and how many there are for each reason.

    A robot calls itself one, or asks more than `queries_per_minute` in a minute of the clock,
    or clicks nearly everything. All that it saw is left out, not only what gave it away.

    Args:
        spool: the log.
        people: how many persons it knows.
        settings: the bar.
    """
    pages = spool.pages()
    person = pages["person"].astype(np.int64)
    known = person >= 0
    by_name = np.zeros(people + 1, dtype=bool)  # the last one, -1, stands for nobody
    by_name[person[pages["robot"] & known]] = True
    hasty = _hasty(pages, known, people, settings.queries_per_minute)
    greedy = _greedy(spool, person, people)
    left: Counter[str] = Counter()
    is_out = np.zeros(len(pages), dtype=bool)
    for reason, found in (
        ("the user agent says so", pages["robot"] | by_name[person]),
        (f"over {settings.queries_per_minute} queries in a minute", hasty[person]),
        ("clicks on nearly everything", greedy[person]),
    ):
        if (more := int((found & ~is_out).sum())) > 0:
            left[f"pages shown to robots ({reason})"] = more
        is_out |= found
    return is_out, left


def _hasty(pages: Rows, known: Bools, people: int, limit: int) -> Bools:
    """Return who asked too much in some minute."""
    flags = np.zeros(people + 1, dtype=bool)
    timed = known & np.isfinite(pages["time"])
    # Times that are all whole hours are days, or rounded: they do not tell minutes apart.
    if not (pages["time"][timed] % _SECONDS_AN_HOUR).any():
        return flags
    minute = (pages["time"][timed] // 60).astype(np.int64)
    minute -= minute.min()
    keys, asked = np.unique(
        (pages["person"][timed].astype(np.int64) << 32) | minute, return_counts=True
    )
    flags[keys[asked > limit] >> 32] = True
    return flags


def _greedy(spool: ClickSpool, person: Ints, people: int) -> Bools:
    """Return who clicked nearly everything."""
    shown = np.zeros(people + 1, dtype=np.int64)
    clicked = np.zeros(people + 1, dtype=np.int64)
    for events in spool.event_chunks():
        who = person[events["page"]]  # -1 is the last place: nobody
        shown += np.bincount(who % (people + 1), minlength=people + 1)
        clicked += np.bincount(who[events["clicked"]] % (people + 1), minlength=people + 1)
    flags: Bools = (shown >= _GREEDY_RESULTS) & (clicked >= _GREEDY_SHARE * shown)
    flags[people] = False
    return flags


def rare(pages: Rows, kept: Bools, queries: int, least_people: int) -> Bools:
    """Return which queries too few different persons asked.

    All pages of nobody known count as one person more: who cannot be told apart may be one.

    Args:
        pages: of the log.
        kept: which of them count.
        queries: how many different ones there are.
        least_people: fewer is too few.
    """
    if least_people <= 1:
        return np.zeros(queries, dtype=bool)
    person = pages["person"][kept].astype(np.int64) + 1  # 0 is nobody known
    asked = np.unique((pages["query"][kept].astype(np.int64) << 32) | person) >> 32
    few: Bools = np.bincount(asked, minlength=queries) < least_people
    return few
