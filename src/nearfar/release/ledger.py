"""The ledger: who has been through the gate on which test set. A test set wears out.

One line of JSON a run. A candidate that is held against the same baseline by the same policy
again is the same run: nothing new was tried.
"""

import json
from collections.abc import Iterator, Mapping
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
            before = _text(path)
            end = "\n" if before and not before.endswith("\n") else ""  # some editors leave it out
            file.write(end + json.dumps(row, ensure_ascii=False) + "\n")
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
    # Not splitlines(): a name may hold what it takes for the end of a line, such as U+2028.
    lines = _text(path).rstrip("\n").split("\n")
    return [
        _read(line, f"{path}:{number}")
        for number, line in enumerate(lines if lines != [""] else [], start=1)
    ]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8") if path.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise BadFile(
            f"{path}: expected a ledger, lines of JSON in UTF-8 ({said(error)}). Name another "
            "with --ledger, or put this one back from a copy."
        ) from error


def _read(line: str, where: str) -> Mapping[str, Any]:
    """Return a run as `_row` made it, unless somebody has changed it by hand.

    Raises:
        BadFile: it is none.
    """
    try:
        row = json.loads(line)
        wrong = ", ".join(_wrong(row)) if isinstance(row, dict) else "no object"
    except ValueError as error:
        wrong = f"no JSON ({said(error)})"
    if wrong:
        raise BadFile(
            f"{where}: expected a run of the gate, an object with the texts {', '.join(_SAME)} "
            f"(the baseline may be null), found {wrong} in {line[:80]!r}. Mend the line, or remove "
            "it: the run is then not counted."
        )
    return row  # type: ignore[no-any-return]


def _wrong(row: Mapping[str, Any]) -> Iterator[str]:
    for key in _SAME:
        if key not in row:
            yield f"no {key}"
        elif not isinstance(row[key], str) and not (key == "baseline" and row[key] is None):
            yield f"the {key} {row[key]!r:.40}"
