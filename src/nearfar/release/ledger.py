"""The ledger: who has been through the gate on which test set. A test set wears out.

One line of JSON a run. A candidate that is held against the same baseline by the same policy
again is the same run: nothing new was tried.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nearfar.errors import BadFile, said
from nearfar.release.marks import wait_for
from nearfar.release.verdict import Verdict

_SAME = ("dataset", "split", "candidate", "baseline", "policy")


def runs_on(path: Path, dataset: str, split: str, candidate: str) -> int:
    """Return how many different candidates the test set has judged, with this one.

    Args:
        path: of the ledger; it need not be there.
        dataset: digest.
        split: of it.
        candidate: fingerprint of its scores.

    Raises:
        BadFile: a line cannot be read.
    """
    seen = {
        row["candidate"]
        for row in _rows(path)
        if (row["dataset"], row["split"]) == (dataset, split)
    }
    return len(seen | {candidate})


def enter(path: Path, verdict: Verdict) -> None:
    """Add a run, unless it is there; several gates may do so at once.

    Raises:
        BadFile: a line cannot be read.
    """
    row = _row(verdict)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        wait_for(file.fileno())
        if all(any(old[key] != row[key] for key in _SAME) for old in _rows(path)):
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            file.flush()


def _row(verdict: Verdict) -> dict[str, Any]:
    baseline = verdict.baseline
    return {
        "at": verdict.at,
        "dataset": verdict.dataset,
        "split": verdict.split,
        "candidate": verdict.candidate.scores,
        "system": verdict.candidate.system,
        "baseline": None if baseline is None else baseline.scores,
        "policy": verdict.policy_digest,
        "outcome": verdict.outcome,
    }


def _rows(path: Path) -> list[Mapping[str, Any]]:
    if not path.exists():
        return []
    rows: list[Mapping[str, Any]] = []
    # Not splitlines(): a name may hold what it takes for the end of a line, such as U+2028.
    lines = path.read_text(encoding="utf-8").rstrip("\n").split("\n")
    for number, line in enumerate(lines if lines != [""] else [], start=1):
        try:
            row = json.loads(line)
            rows.append({**row, **{key: row[key] for key in _SAME}})
        except (ValueError, KeyError, TypeError) as error:
            raise BadFile(
                f"{path}:{number}: expected a run of the gate, found {line[:80]!r} "
                f"({said(error)}). Mend the line or remove it."
            ) from error
    return rows
