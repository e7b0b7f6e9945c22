"""What a model must show before it may be released or promoted."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, Literal

from nearfar.errors import BadFile, DataMismatch, NearfarError
from nearfar.evaluation.report import Report
from nearfar.evaluation.stages import Depth
from nearfar.fingerprint import fingerprint
from nearfar.model.space import EmbeddingSpace
from nearfar.release.policy import Waiver
from nearfar.release.two_stages import Stages, stages_of
from nearfar.release.verdict import EXIT_CODES, Side, Verdict
from nearfar.release.waiving import words_for

CANARY = "canary"  # the only alias of a candidate whose evidence was not enough
_REASONS_SHOWN = 5

Named = tuple[str, str]  # the fingerprint of a space, and of the reranker behind it or nothing


class NotPassed(NearfarError):
    """A verdict does not let its candidate go where it was sent."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # of the gate: 3 blocked, 4 the evidence is not enough


def as_of(verdict: Verdict, today: dt.date) -> Verdict:
    """Return a verdict without the waivers that have ended since.

    Raises:
        BadFile: its policy is not the one that its digest names.
    """
    if (found := fingerprint(verdict.policy)) != verdict.policy_digest:
        raise BadFile(
            f"Expected a verdict by the policy {verdict.policy_digest}, found the policy {found} "
            "in it: it was changed by hand. Judge the candidate again with `nearfar gate`."
        )
    try:
        waivers = [_waiver(one) for one in verdict.policy.get("waivers", ())]
    except (TypeError, ValueError, KeyError) as error:
        raise BadFile(
            f"Expected waivers in the policy of the verdict, found {error}. Judge again."
        ) from error
    bare = [replace(found, waived="") for found in verdict.findings]
    words, _ = words_for(waivers, bare, today)
    kept = (found if i in words else replace(found, waived="")
            for i, found in enumerate(verdict.findings))  # fmt: skip
    return replace(verdict, findings=tuple(kept))


def require_passed(verdict: Verdict, alias: str, today: dt.date) -> None:
    """Refuse a candidate that has not passed, or was held against nothing; waivers as of today.

    Where the policy lets a candidate without enough evidence to a part of the traffic, it may
    have the alias `canary`, and no other.

    Raises:
        NotPassed: with the exit code of the gate.
        BadFile: the verdict was changed by hand.
    """
    if not verdict.findings:
        raise NotPassed(
            f"Expected a verdict that held {verdict.candidate.system} against something, found "
            "one without a single rule: a policy of changes says nothing where there is no "
            "baseline. Name one with `nearfar gate --baseline`, or add a floor to the policy.",
            EXIT_CODES["INSUFFICIENT"],
        )
    now = as_of(verdict, today)
    if now.outcome == "PASS" or (now.action == CANARY and alias == CANARY):
        return
    ended = "" if now.outcome == verdict.outcome else " (a waiver has ended since the verdict)"
    reasons = now.sentences()[1 : 1 + _REASONS_SHOWN]
    advice = "Mend the model, or label more queries, and judge it again with `nearfar gate`."
    if now.action == CANARY:
        advice = f"Its policy lets it to a part of the traffic: name the alias {CANARY}."
    raise NotPassed(
        f"Expected a verdict that passed, found {now.outcome}{ended} for "
        f"{verdict.candidate.system}; the alias {alias!r} is not for it.\n"
        + "".join(f"  {reason}\n" for reason in reasons)
        + advice,
        now.exit_code,
    )


def judged_stages(verdict: Verdict) -> Stages | None:
    """Return the two stages that a verdict is on; None if it is on an encoder, or on neither.

    Raises:
        BadFile: the verdict was changed by hand.
    """
    return stages_of(verdict.candidate.space, where=f"the verdict on {verdict.candidate.system}")


def require_reranker(verdict: Verdict, reranker: str, model: str) -> Stages:
    """Refuse a reranker that is not the one that was judged; return with whom it was.

    Args:
        verdict: that it was judged by.
        reranker: its fingerprint.
        model: what people call it.

    Raises:
        DataMismatch: the verdict is on another reranker, or on none.
        BadFile: the verdict was changed by hand.
    """
    stages = judged_stages(verdict)
    if stages is not None and stages.reranker == reranker:
        return stages
    found = f"the reranker {stages.reranker}" if stages else "no reranker"
    raise DataMismatch(
        f"Expected a verdict on the reranker {reranker} of {model}, found one on {found} "
        f"({verdict.candidate.system}). Measure this very model with `nearfar evaluate --rerank`, "
        "and judge what both stages got (REPORT/reranked-scores) with `nearfar gate`."
    )


def require_space(verdict: Verdict, space: EmbeddingSpace, model: str) -> None:
    """Refuse a model that is not the one that was judged, to the last choice.

    Raises:
        DataMismatch: the verdict is on another space, or on none; says what differs.
    """
    judged: Mapping[str, Any] = verdict.candidate.space or {}
    ours = space.to_json()
    # The choices too: where they are not those of the name, it was changed by hand.
    named = judged.get("fingerprint") == space.fingerprint
    if named and all(judged.get(name, ours[name]) == ours[name] for name in ours):
        return
    names = [one.name for one in fields(space) if judged.get(one.name) != ours[one.name]]
    differ = f" They differ in {', '.join(names)}." if len(judged) > 1 else ""
    raise DataMismatch(
        f"Expected a verdict on the space {space.fingerprint} of {model}, found one on "
        f"{judged.get('fingerprint', 'no space')} ({verdict.candidate.system}).{differ} "
        "Measure this very model with `nearfar evaluate`, and judge it with `nearfar gate`."
    )


def require_dataset(verdict: Verdict, digest: str) -> None:
    """Refuse a verdict on another test set than the one that decides.

    Raises:
        DataMismatch: names both.
    """
    if verdict.dataset != digest:
        raise DataMismatch(
            f"Expected a verdict on the dataset {digest}, found one on {verdict.dataset}. "
            "Measure the model on this dataset, and judge it again."
        )


def measured_side(report: Report, verdict: Verdict) -> Literal["base", "tuned"]:
    """Return under which name a report measures the candidate of a verdict.

    Raises:
        DataMismatch: it is about other data, another split or other models.
    """
    _require_same_data(report, verdict)
    wanted = (verdict.candidate.space or {}).get("fingerprint")
    if report.tuned is not None and report.tuned.get("fingerprint") == wanted:
        return "tuned"
    if report.base.get("fingerprint") == wanted:
        return "base"
    spaces = [one.get("fingerprint") for one in (report.base, report.tuned) if one]
    raise DataMismatch(
        f"Expected a report on the space {wanted} of the verdict, found one on "
        f"{' and '.join(map(str, spaces))}. Name the report that the verdict was made from."
    )


def measured_depth(report: Report, verdict: Verdict, stages: Stages) -> Depth:
    """Return what a report says of the two stages of a verdict, at as many candidates.

    Raises:
        DataMismatch: it is about other data, another split, or other stages.
    """
    _require_same_data(report, verdict)
    found, encoder = report.reranking, report.tuned or report.base
    same = found is not None and stages == Stages(
        encoder=EmbeddingSpace.from_json(dict(encoder), where="the report"),
        reranker=found.reranker,
        candidates=max(found.asked),
        words_too=found.words_too,
        lexical_weight=found.lexical_weight,
    )
    if found is None or not same:
        what = "retrieval alone" if found is None else (
            f"the reranker {found.reranker} with {max(found.asked)} candidates of the space "
            f"{encoder.get('fingerprint')}"
        )  # fmt: skip
        raise DataMismatch(
            f"Expected a report on the reranker {stages.reranker} with {stages.candidates} "
            f"candidates of the space {stages.encoder.fingerprint}, found one on {what}. Name the "
            "report that the verdict was made from."
        )
    return found.at(stages.candidates)


def baseline_notes(verdict: Verdict, in_use: Named | None, alias: str) -> list[str]:
    """Return what should be known if the verdict is not about what it now replaces.

    Args:
        verdict: of the candidate.
        in_use: what the alias names now; None: nothing.
        alias: that is to be changed.
    """
    if in_use is None or in_use == _named(verdict.candidate):
        return []
    held = None if verdict.baseline is None else _named(verdict.baseline)
    if held == in_use:
        return []
    against = "nothing" if held is None else _told(held)
    return [
        f"The verdict held the candidate against {against}, and {alias} is now {_told(in_use)}: "
        "whether it is better than that was not judged. Gate it against what is in use."
    ]


def _named(side: Side) -> Named:
    stages = stages_of(side.space, where=f"the verdict on {side.system}")
    if stages is not None:
        return stages.encoder.fingerprint, stages.reranker
    return str((side.space or {}).get("fingerprint", "")), ""


def _told(named: Named) -> str:
    space, reranker = named
    found = f"the space {space}" if space else "no space"
    return f"the reranker {reranker} behind {found}" if reranker else found


def _require_same_data(report: Report, verdict: Verdict) -> None:
    for what, ours, theirs in (
        ("dataset", verdict.dataset, report.dataset),
        ("split", verdict.split, report.split),
    ):
        if ours != theirs:
            raise DataMismatch(
                f"Expected a report on the {what} {ours} of the verdict, found one on {theirs}. "
                "Name the report that the verdict was made from."
            )


def _waiver(facts: Mapping[str, Any]) -> Waiver:
    return Waiver(**{**facts, "until": dt.date.fromisoformat(str(facts["until"]))})
