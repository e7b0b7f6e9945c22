"""What the registry does not take in, and does not hand on."""

import datetime as dt
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from registry_world import SIGN, Judged, judge, judged_in, make_model, put, report_on
from results import METRIC
from typer.testing import CliRunner

from nearfar.cli import app
from nearfar.errors import BadFile, BadSetting, DataMismatch
from nearfar.release.admission import NotPassed
from nearfar.release.card import About
from nearfar.release.listing import find, releases
from nearfar.release.places import open_place
from nearfar.release.policy import Policy, Waiver
from nearfar.release.registry import Evidence, Sign, promote, release
from nearfar.release.verdict import read_verdict, write_verdict


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    return judged_in(tmp_path_factory.mktemp("judged"))


@pytest.fixture
def another(tmp_path: Path) -> Judged:
    space = make_model(tmp_path / "other", seed=1)
    judge(tmp_path / "other-gate", space)
    return Judged(tmp_path / "other", space, Evidence(verdict=tmp_path / "other-gate"))


def test_only_what_passed_is_released(judged: Judged, tmp_path: Path) -> None:
    registry = str(tmp_path / "registry")
    nothing = Judged(judged.model, judged.space, Evidence(verdict=tmp_path))
    with pytest.raises(BadFile, match="nearfar gate"):
        put(nothing, registry)
    judge(tmp_path / "lost", judged.space, lost=0.05)
    with pytest.raises(NotPassed, match=r"found REGRESSION for new(.|\n)*nDCG@10") as no:
        put(Judged(judged.model, judged.space, Evidence(verdict=tmp_path / "lost")), registry)
    assert no.value.exit_code == 3
    judge(tmp_path / "few", judged.space, queries=40)
    with pytest.raises(NotPassed, match="found INSUFFICIENT") as no:
        put(Judged(judged.model, judged.space, Evidence(verdict=tmp_path / "few")), registry)
    assert no.value.exit_code == 4
    assert not (tmp_path / "registry").exists()


def test_a_verdict_that_held_nothing_is_not_a_pass(judged: Judged, tmp_path: Path) -> None:
    verdict = read_verdict(judged.evidence.verdict / "verdict.json")
    write_verdict(replace(verdict, findings=()), tmp_path / "verdict.json")
    empty = Judged(judged.model, judged.space, Evidence(verdict=tmp_path))
    with pytest.raises(NotPassed, match="add a floor"):
        put(empty, str(tmp_path / "registry"))


def test_a_canary_is_a_canary_and_nothing_else(judged: Judged, tmp_path: Path) -> None:
    registry = str(tmp_path / "registry")
    judge(tmp_path / "few", judged.space, queries=40, policy=Policy(insufficient="canary"))
    few = Judged(judged.model, judged.space, Evidence(verdict=tmp_path / "few"))
    with pytest.raises(NotPassed, match="name the alias canary"):
        put(few, registry)
    put(few, registry, "canary")
    with pytest.raises(NotPassed):
        promote(registry, "tiny", "canary", to="production", sign=SIGN)
    assert set(releases(registry, "tiny")[1].named) == {"canary"}


def test_a_waiver_counts_until_it_ends(judged: Judged, tmp_path: Path) -> None:
    registry = str(tmp_path / "registry")
    today = dt.datetime.now(dt.UTC).date()
    waiver = Waiver(metric=METRIC, reason="new catalogue", by="kim", until=today)
    judge(tmp_path / "lost", judged.space, lost=0.05, policy=Policy(waivers=(waiver,)))
    put(Judged(judged.model, judged.space, Evidence(verdict=tmp_path / "lost")), registry)
    later = Sign(by="kim", at=dt.datetime.now(dt.UTC) + dt.timedelta(days=2))
    with pytest.raises(NotPassed, match="a waiver has ended") as no:
        promote(registry, "tiny", "candidate", to="production", sign=later)
    assert no.value.exit_code == 3


def test_another_model_than_the_judged_one_is_refused(
    judged: Judged, another: Judged, tmp_path: Path
) -> None:
    wrong = Judged(another.model, another.space, judged.evidence)
    with pytest.raises(DataMismatch, match=f"{another.space.fingerprint}.*differ in weights"):
        put(wrong, str(tmp_path / "registry"))
    config = another.model / "sentence_bert_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"max_seq_length": 32}))
    with pytest.raises(DataMismatch, match="differ in max_tokens"):
        put(another, str(tmp_path / "registry"))
    assert [one.name for one in (tmp_path / "registry").iterdir()] == [".lock"]


def test_weights_that_changed_after_the_gate_are_refused(judged: Judged, tmp_path: Path) -> None:
    shutil.copytree(judged.model, tmp_path / "model")
    flip(tmp_path / "model/model.safetensors")
    with pytest.raises(DataMismatch, match="differ in weights"):
        put(Judged(tmp_path / "model", judged.space, judged.evidence), str(tmp_path / "registry"))


def test_a_policy_that_was_softened_by_hand_is_refused(judged: Judged, tmp_path: Path) -> None:
    path = tmp_path / "verdict.json"
    facts = json.loads((judged.evidence.verdict / "verdict.json").read_text())
    facts["policy"]["alpha"] = 0.4
    path.write_text(json.dumps(facts))
    with pytest.raises(BadFile, match="changed by hand"):
        put(Judged(judged.model, judged.space, Evidence(verdict=path)), str(tmp_path / "registry"))


@pytest.mark.parametrize("more", [{"dataset": "e" * 16}, {"split": "dev"}, {"tuned": None}])
def test_a_report_on_something_else_is_refused(
    judged: Judged, tmp_path: Path, more: dict[str, str]
) -> None:
    report = report_on(tmp_path / "report", judged.space, **more)
    evidence = Evidence(verdict=judged.evidence.verdict, report=report)
    with pytest.raises(DataMismatch, match="that the verdict was made from"):
        put(Judged(judged.model, judged.space, evidence), str(tmp_path / "registry"))


def flip(path: Path) -> None:
    """Change the lowest bit of a number in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[-4 * (len(content) // 8)] ^= 1
    path.write_bytes(content)


def _byte(folder: Path) -> None:
    flip(folder / "model/model.safetensors")


def _missing(folder: Path) -> None:
    (folder / "model/modules.json").unlink()


def _new(folder: Path) -> None:
    (folder / "model/planted.py").write_text("")


def _verdict(folder: Path) -> None:
    text = (folder / "verdict.json").read_text()
    (folder / "verdict.json").write_text(text.replace("d" * 16, "e" * 16))


def _name(folder: Path) -> None:
    text = (folder / "release.json").read_text()
    (folder / "release.json").write_text(text.replace("d" * 16, "e" * 16))


@pytest.mark.parametrize("harm", [_byte, _missing, _new, _verdict, _name])
def test_a_version_that_was_changed_goes_nowhere(
    judged: Judged, tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    registry = str(tmp_path / "registry")
    version = put(judged, registry)
    harm(tmp_path / "registry/models/tiny" / version)
    with pytest.raises(BadFile):
        promote(registry, "tiny", version, to="production", sign=SIGN)
    runner = CliRunner().invoke(app, ["fetch", registry, "tiny@candidate", str(tmp_path / "copy")])
    assert isinstance(runner.exception, BadFile)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["registry"]


def test_a_release_that_points_outside_is_not_followed(judged: Judged, tmp_path: Path) -> None:
    registry = str(tmp_path / "registry")
    version = put(judged, registry)
    path = tmp_path / "registry/models/tiny" / version / "release.json"
    path.write_text(path.read_text().replace("model/modules.json", "model/../../../../x"))
    with pytest.raises(BadFile, match="outside"):
        find(open_place(registry), "tiny", version)


@pytest.mark.parametrize(
    ("name", "alias"), [("a/b", "x"), ("", "x"), ("..", "x"), ("a", "Prod"), ("a", "deadbeef")]
)
def test_names_that_would_mislead_are_refused(
    judged: Judged, tmp_path: Path, name: str, alias: str
) -> None:
    about = About(name=name)
    with pytest.raises(BadSetting):
        release(str(judged.model), str(tmp_path / "r"), about, judged.evidence, alias=alias,
                sign=SIGN)  # fmt: skip
