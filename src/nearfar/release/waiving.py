"""Which findings somebody has taken on their own head, and until when."""

import datetime as dt
from collections.abc import Sequence

from nearfar.release.policy import Waiver
from nearfar.release.verdict import Finding


def words_for(
    waivers: Sequence[Waiver], findings: Sequence[Finding], today: dt.date
) -> tuple[dict[int, str], list[str]]:
    """Return why which findings do not count, and what is to be said of the other waivers.

    Only what would keep the candidate from passing is waived.
    """
    words: dict[int, str] = {}
    notes: list[str] = []
    for waiver in waivers:
        rules = [i for i, found in enumerate(findings) if _meant(waiver, found)]
        about = f"The waiver for {waiver.metric} on {waiver.cohort} by {waiver.by}"
        if waiver.until < today:
            notes.append(f"{about} ended on {waiver.until}; it does not count. Renew or remove it.")
        elif not rules:
            notes.append(f"{about} fits no rule of this policy. Remove it, or mend its name.")
        else:
            words |= {i: f"({waiver.by}, until {waiver.until}: {waiver.reason})"
                      for i in rules if findings[i].outcome != "PASS"}  # fmt: skip
    return words, notes


def _meant(waiver: Waiver, found: Finding) -> bool:
    named = found.rule if found.kind != "sentinel" else "sentinels"
    return (waiver.metric, waiver.cohort) == (named, found.cohort)
