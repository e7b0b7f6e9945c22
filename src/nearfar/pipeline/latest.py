"""What a run left behind, and names that stay: links to it, beside the stages' own folders."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nearfar.data.dataset import Dataset
from nearfar.files import whole_file
from nearfar.release.verdict import Verdict
from nearfar.search.search import Hit


@dataclass(frozen=True, slots=True)
class Finished:
    """What a run left behind."""

    home: Path
    dataset: Dataset
    model: Path
    report: Path  # folder with report.json, report.html, per_query.parquet
    index: Path | None  # None: the candidate did not pass
    answers: dict[str, list[Hit]]  # to the questions of the recipe
    verdict: Verdict | None = None  # None: the recipe has no policy


def point_at(home: Path, stages: Mapping[str, Path], latest: Mapping[str, Path | None]) -> None:
    """Let each name mean its latest result; one that was not made has no name any more.

    Args:
        home: of the run.
        stages: folder of each stage; kept in run.json.
        latest: what each name shall mean.
    """
    for name, target in latest.items():
        link = home / name
        link.unlink(missing_ok=True)
        if target is not None:
            link.symlink_to(target.relative_to(home))
    facts = {name: str(folder.relative_to(home)) for name, folder in stages.items()}
    with whole_file(home / "run.json") as part:
        part.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
