"""Who the teachers were: as origins, manifests and messages say it."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from nearfar.data.dataset import Dataset
from nearfar.model.reranker import Reranker
from nearfar.records import Scalar
from nearfar.teaching.llm_judge import LlmJudge
from nearfar.teaching.opening import Run
from nearfar.teaching.scales import Scale
from nearfar.teaching.settings import Teaching


def facts_of(teachers: Sequence[Reranker]) -> dict[str, Scalar]:
    """Return what every judgment that was scored says of its teachers."""
    facts: dict[str, Scalar] = {"teacher": "+".join(one.fingerprint for one in teachers)}
    judges = [one for one in teachers if isinstance(one, LlmJudge)]
    return facts | ({"prompt": judges[0].prompt.hash} if judges else {})


def said_by(teachers: Sequence[Reranker], settings: Teaching) -> str:
    """Return who is answerable for a judgment, in words."""
    names = [
        f"{one.questioner.judging.llm.model}, prompt {one.prompt.hash}"
        if isinstance(one, LlmJudge)
        else f"reranker {one.fingerprint}"
        for one in teachers
    ]
    how = f"{settings.fusion} of " if len(names) > 1 else ""
    return f"nearfar teach, {how}{' and '.join(names)}"


def parents_of(
    dataset: Dataset,
    settings: Teaching,
    teachers: Sequence[Reranker],
    run: Run,
    scale: Scale | None,
) -> list[dict[str, Any]]:
    """Return what the manifest says a taught dataset was made from."""
    facts = asdict(settings)
    del facts["pairs_per_block"]  # moves nothing
    facts["teachers"] = [_named(one, run) for one in teachers]
    facts["scale"] = None if scale is None else asdict(scale)
    if run.encoder is not None:
        facts["space"] = run.encoder.space.fingerprint
    judges = [one for one in teachers if isinstance(one, LlmJudge)]
    for one in judges:
        judging = asdict(one.questioner.judging)
        judging["model"] = judging.pop("llm")["model"]  # an address may hold a password
        facts["judging"] = judging
    parent = {
        "kind": "dataset",
        "path": str(dataset.folder),
        "digest": dataset.digest,
        "taught_with": facts,
    }
    prompts = [
        {"kind": "prompt", "path": one.prompt.hash, "text": one.prompt.text} for one in judges
    ]
    return [parent, *prompts]


def _named(teacher: Reranker, run: Run) -> dict[str, str]:
    """Return kind, name and fingerprint of a teacher; a reranker that nobody named has no name."""
    kind, name = "reranker", run.names.get(teacher.fingerprint)
    if isinstance(teacher, LlmJudge):
        kind, name = "language model", teacher.questioner.judging.llm.model
    named = {} if name is None else {"name": name}
    return {"kind": kind, **named, "fingerprint": teacher.fingerprint}


def why_nothing(teachers: Sequence[Reranker]) -> str:
    """Say what kept teachers from saying anything."""
    for one in teachers:
        if isinstance(one, LlmJudge):
            asked = one.questioner
            if asked.limit_reached:
                return "The limit of dollars was reached; raise it, and the same command goes on."
            if asked.failed:
                return f"The last problem: {asked.last_failure}"
            counts = ", ".join(f"{count:,} {state}" for state, count in asked.states.items())
            if counts:
                return f"The questions ended as {counts}."
            return "Documents are compared two and two; give an encoder, so that there are two."
    return "Look at the reranker: it gives no number for any pair."
