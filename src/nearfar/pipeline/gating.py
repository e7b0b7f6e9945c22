"""What the gate asks of files: the policy, both results, the ledger, and where the verdict goes."""

import datetime as dt
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nearfar.data.dataset import Dataset
from nearfar.errors import BadFile, BadSetting, DataMismatch, NearfarError, said
from nearfar.evaluation.scores import Scores, read_scores
from nearfar.files import whole_file
from nearfar.pipeline.settings import settings_from
from nearfar.release.deciding import decide, side_of
from nearfar.release.homes import text_of
from nearfar.release.integrity import SHOWN, require_possible, require_space
from nearfar.release.ledger import enter, runs_on
from nearfar.release.outputs import junit, junit_error, markdown
from nearfar.release.page import write_page
from nearfar.release.policy import Policy
from nearfar.release.verdict import Verdict, write_verdict

LEDGER = "ledger.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What is held against what.

    Args:
        candidate: folder of its scores, as `nearfar evaluate` writes it.
        baseline: likewise, of what is in use; None where nothing is yet.
        space: fingerprint of the space that is to be released, if it shall be checked.
        dataset: that was measured on, if its texts shall be looked for in `trained_on`.
        trained_on: datasets whose train splits must not hold what is measured.
    """

    candidate: Path
    baseline: Path | None = None
    space: str | None = None
    dataset: Path | None = None
    trained_on: Sequence[Path] = ()


def read_policy(path: Path) -> Policy:
    """Read a policy from a TOML file.

    Raises:
        BadFile: it cannot be read.
        BadSetting: a key is unknown, or a value not allowed; names the key.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadFile(
            f"{path}: expected a policy in TOML ({said(error)}). Write one as docs/gate.md shows, "
            "or leave --policy out: then no cohort may lose 0.02 of nDCG@10."
        ) from error
    policy = settings_from(Policy, table, where=str(path))
    try:
        require_possible(policy)
    except BadSetting as error:
        raise BadSetting(f"{path}: {error}") from error
    return policy


def gate(
    policy: Policy | Path | None,
    compared: Compared,
    folder: Path | None = None,
    *,
    ledger: Path | None = None,
    now: dt.datetime | None = None,
) -> Verdict:
    """Hold a candidate against a policy; write the verdict, and the run into the ledger.

    Writes verdict.json, verdict.html, verdict.md and junit.xml. Where the results cannot be
    compared, or a file is not what it should be, junit.xml says so, and there is no verdict.

    Args:
        policy: the bar, or its file; None: the defaults.
        compared: what is held against what.
        folder: where the verdict will stand; None: nowhere.
        ledger: of all runs; None: beside the verdict.
        now: the time that is written down, and decides about waivers; None: that of the clock.

    Raises:
        BadFile: a file is not what it should be.
        BadSetting: the policy is not sound.
        DataMismatch: the results do not measure the same thing, or what was measured was
            learned from.
    """
    now = now or dt.datetime.now(dt.UTC)
    if ledger is None and folder is not None:
        ledger = folder / LEDGER
    if folder is not None:
        _forget(folder)
    try:
        chosen = read_policy(policy) if isinstance(policy, Path) else policy or Policy()
        candidate = read_scores(scores_in(compared.candidate))
        baseline = read_scores(scores_in(compared.baseline)) if compared.baseline else None
        require_space(candidate, compared.space)
        _require_unseen(candidate, compared)
        runs = 1
        if ledger is not None:
            mine = side_of(candidate).scores
            runs = runs_on(ledger, candidate.dataset, candidate.split, mine)
        verdict = decide(chosen, candidate, baseline, today=now.date(), runs=runs,
                         at=now.isoformat(timespec="seconds"))  # fmt: skip
    except NearfarError as error:
        if folder is not None:
            _write(folder / "junit.xml", junit_error(str(error)))
        raise
    if folder is not None:
        _write(folder / "verdict.md", markdown(verdict))
        _write(folder / "junit.xml", junit(verdict))
        write_page(verdict, folder / "verdict.html")
        write_verdict(verdict, folder / "verdict.json")
    if ledger is not None:
        enter(ledger, verdict)
    return verdict


def _require_unseen(candidate: Scores, compared: Compared) -> None:
    """Refuse a test set that holds what was learned from: by id, by group, and by text."""
    if candidate.split == "train":
        raise DataMismatch(
            f"{candidate.system}: expected results on a split that nothing is learned from, found "
            "train. Measure with `--set evaluation.split=test`."
        )
    texts: set[str] = set()
    if compared.dataset is not None:
        opened, tested = Dataset.open(compared.dataset), set(candidate.queries)
        if opened.digest != candidate.dataset:  # else no text would be found, nor any leak
            raise DataMismatch(
                f"Expected the dataset {candidate.dataset} that was measured on, found "
                f"{opened.digest} in {compared.dataset}. Name that one, or measure on this one."
            )
        texts = {text_of(one) for one in opened.queries() if one.id in tested}
    measured, clusters = set(candidate.queries), set(candidate.clusters)
    for folder in compared.trained_on:
        dataset = Dataset.open(folder)
        learned = {one.query_id for one in dataset.judgments("train")}
        seen = [
            one.id
            for one in dataset.queries()
            if one.id in learned
            and (one.id in measured or one.group in clusters or text_of(one) in texts)
        ]
        if seen:
            raise DataMismatch(
                f"Expected a test set that nothing was learned from, found {len(seen):,} queries "
                f"of the train split of {folder} in it, or in its groups: "
                f"{', '.join(map(repr, sorted(seen)[:SHOWN]))}. Traces that were mined belong to "
                "training for good; measure on others."
            )


def _forget(folder: Path) -> None:
    """Take away the verdict of an earlier run: whatever happens now, it is not of this one."""
    for name in ("verdict.json", "verdict.html", "verdict.md", "junit.xml"):
        (folder / name).unlink(missing_ok=True)


def scores_in(folder: Path) -> Path:
    """Return where the scores stand: here, or in the report that was named."""
    inner = folder / "scores"
    return inner if inner.is_dir() and not (folder / "scores.json").exists() else folder


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as part:
        part.write_text(text, encoding="utf-8")
