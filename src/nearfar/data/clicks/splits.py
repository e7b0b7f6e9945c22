"""Which split a query of a log belongs to, so that no session is both learned and measured."""

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from nearfar.data.clicks.spool import Rows
from nearfar.data.splits import Shares
from nearfar.errors import BadRecord
from nearfar.records import Split

Bools = NDArray[np.bool_]
Codes = NDArray[np.uint8]

# The order is the rule: a session with a test query is kept for the test, then for dev.
SPLIT_CODES: tuple[Split, ...] = ("train", "dev", "test")


def undivided_sessions(
    pages: Rows, kept: Bools, splits: Codes, sessions: int
) -> tuple[Bools, Counter[str]]:
    """Return the pages that still count once no session lies in two splits.

    A query, whoever asks it, has one split. People reword a query within a session, so what a
    session says of a train query may give away the answer of a test query. A session
    therefore counts for one split alone: test if any of its queries is there, else dev, else
    train; its pages of queries of other splits are left out. So test loses nothing, train the
    pages beside test queries, and a query never moves when the log grows. (To join the queries
    of all sessions into groups instead would soon join nearly all of them: any two queries
    are linked by a few sessions.)

    Args:
        pages: of the log.
        kept: (P,) which of them count so far.
        splits: (Q,) the split of each query, as a place in SPLIT_CODES.
        sessions: how many the log knows.
    """
    split = splits[pages["query"]]
    session = pages["session"]
    known = kept & (session >= 0)
    last = np.zeros(sessions, dtype=np.uint8)
    np.maximum.at(last, session[known], split[known])
    divided = np.zeros_like(kept)
    divided[known] = split[known] < last[session[known]]
    left: Counter[str] = Counter()
    if divided.any():
        left["pages whose session is kept for another split"] = int(divided.sum())
    return kept & ~divided, left


def splits_by_time(
    pages: Rows, kept: Bools, queries: int, shares: Shares
) -> tuple[Codes, Bools, Counter[str]]:
    """Return the split of each query and the pages that still count, oldest pages for training.

    The newest pages, as many as the share of test says, are the period of test, those before
    them that of dev. A query belongs to the period in which it was first asked; its pages of
    later periods are left out, so dev and test hold only queries that were new at their time.

    Args:
        pages: of the log.
        kept: (P,) which of them count so far.
        queries: how many different ones there are.
        shares: of dev and test, of the pages.

    Raises:
        BadRecord: a page has no time.
    """
    times = pages["time"][kept]
    if np.isnan(times).any():
        raise BadRecord(
            f"To split by time every page needs one; {int(np.isnan(times).sum()):,} of "
            f"{len(times):,} pages have none. Name the column with time=..., fill it in, or "
            "split by the hash of the queries instead."
        )
    borders = np.quantile(times, [1 - shares.test - shares.dev, 1 - shares.test])
    period = np.searchsorted(borders, pages["time"], side="left").astype(np.uint8)  # (P,)
    splits = np.full(queries, len(SPLIT_CODES) - 1, dtype=np.uint8)
    np.minimum.at(splits, pages["query"][kept], period[kept])
    later = kept & (period > splits[pages["query"]])
    left: Counter[str] = Counter()
    if later.any():
        left["pages of queries first asked in an older split"] = int(later.sum())
    return splits, kept & ~later, left
