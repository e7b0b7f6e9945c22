"""The registry takes in what passed, to the byte, and its names can go back."""

import datetime as dt
import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from registry_world import SIGN, Judged, judge, judged_in, make_model, put
from results import METRIC
from sentence_transformers import SentenceTransformer
from typer.testing import CliRunner

from nearfar.cli import app
from nearfar.errors import BadFile, BadSetting
from nearfar.files import whole_folder
from nearfar.fingerprint import canonical_json
from nearfar.model.text import TextEncoder, TextSettings
from nearfar.release.aliases import Change, change_alias, read_aliases
from nearfar.release.fetching import fetch
from nearfar.release.listing import find, models, releases
from nearfar.release.places import open_place
from nearfar.release.registry import Evidence, Sign, promote, rollback


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    return judged_in(tmp_path_factory.mktemp("judged"))


@pytest.fixture
def another(tmp_path: Path) -> Judged:
    space = make_model(tmp_path / "other", seed=1)
    judge(tmp_path / "other-gate", space)
    return Judged(tmp_path / "other", space, Evidence(verdict=tmp_path / "other-gate"))


@pytest.fixture(params=["folder", "memory"])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "folder":
        return str(tmp_path / "registry")
    return f"memory://{tmp_path.name}/registry"


def test_a_release_can_be_fetched_and_gives_the_same_vectors(
    judged: Judged, registry: str, tmp_path: Path
) -> None:
    version = put(judged, registry)
    place = open_place(registry)
    for which in ("candidate", version, version[:8]):
        assert find(place, "tiny", which).version == version
    fetch(place, find(place, "tiny", "candidate"), tmp_path / "copy")
    assert TextEncoder.load(tmp_path / "copy").space == judged.space
    exact = TextSettings(precision="float32")
    ours = TextEncoder.load(judged.model, exact).encode(["ba be"], "query").numpy()
    theirs = SentenceTransformer(str(tmp_path / "copy"), device="cpu").encode_query(["ba be"])
    assert abs(ours - theirs).max() < 1e-5
    names = {file.name for file in (tmp_path / "copy/release").iterdir()}
    assert names == {"release.json", "verdict.json", "report.json"}
    assert "# tiny" in (tmp_path / "copy/README.md").read_text()


def test_the_same_release_twice_is_one_version(judged: Judged, registry: str) -> None:
    later = Sign(by="lee", at=dt.datetime(2999, 1, 1, tzinfo=dt.UTC))
    assert put(judged, registry) == put(judged, registry, sign=later)
    found, names = releases(registry, "tiny")
    assert len(found) == 1
    assert found[0].at < "2999"
    assert len(names.history) == 1  # nothing came to mean anything else
    assert models(registry) == ["tiny"]
    assert found[0].measures[METRIC]["mean"] == 0.55


def test_versions_from_before_rerankers_keep_their_names(judged: Judged, tmp_path: Path) -> None:
    version = put(judged, str(tmp_path))
    path = tmp_path / "models/tiny" / version / "release.json"
    facts = json.loads(path.read_text())
    assert set(facts) == {"format", "version", "name", "space", "dataset", "split", "policy",
                          "outcome", "files", "measures", "at"}  # fmt: skip
    named = {key: facts[key] for key in set(facts) - {"format", "version", "at"}}
    assert version == hashlib.sha256(canonical_json(named).encode()).hexdigest()


def test_a_fetched_model_is_released_as_the_same_files(judged: Judged, tmp_path: Path) -> None:
    here, there = str(tmp_path / "a"), str(tmp_path / "b")
    version = put(judged, here)
    place = open_place(here)
    fetch(place, find(place, "tiny", version), tmp_path / "copy")
    assert put(Judged(tmp_path / "copy", judged.space, judged.evidence), there) == version


def test_names_go_back_step_by_step(judged: Judged, another: Judged, registry: str) -> None:
    old = put(judged, registry)
    promote(registry, "tiny", "candidate", to="production", sign=SIGN)
    new = put(another, registry)
    done = promote(registry, "tiny", new[:9], to="production", sign=Sign(by="lee", why="better"))
    assert done.before == old
    assert "was not judged" in done.notes[0]  # its verdict is not about what it replaces
    promote(registry, "tiny", old, to="production", sign=SIGN)
    assert rollback(registry, "tiny", alias="production", sign=SIGN).release.version == new
    assert rollback(registry, "tiny", alias="production", sign=SIGN).release.version == old
    with pytest.raises(BadSetting, match="an earlier version"):
        rollback(registry, "tiny", alias="production", sign=SIGN)
    names = releases(registry, "tiny")[1]
    assert names.named == {"candidate": new, "production": old}
    told = [(one.how, one.by, one.why) for one in names.history if one.alias == "production"]
    assert told[1] == ("promote", "lee", "better")
    assert [how for how, _, _ in told] == ["promote"] * 3 + ["rollback"] * 2


def test_of_two_who_change_one_name_the_second_is_told(judged: Judged, registry: str) -> None:
    version = put(judged, registry)
    place = open_place(registry)

    def change(alias: str, to: str, before: str | None) -> None:
        change_alias(place, "tiny", Change(alias=alias, version=to, before=before, how="promote",
                                           by="kim", at=""))  # fmt: skip

    change("production", version, None)
    change("staging", version, None)  # another name: both stay
    with pytest.raises(BadFile, match=f"to mean None still.*{version}"):
        change("production", "0" * 64, None)
    assert set(read_aliases(place, "tiny").named) == {"candidate", "production", "staging"}
    assert not place.create("models/tiny/aliases/00000003.json", b"mine")
    assert place.read("models/tiny/aliases/00000003.json") != b"mine"


def test_many_who_change_names_at_once_lose_nothing(tmp_path: Path) -> None:
    place = open_place(str(tmp_path))

    def change(number: int) -> None:
        one = Change(alias=f"a{number}", version="0" * 64, before=None, how="promote", by="", at="")
        change_alias(place, "tiny", one)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(change, range(12)))
    found = read_aliases(place, "tiny")
    assert set(found.named) == {f"a{number}" for number in range(12)}
    assert len(place.names("models/tiny/aliases")) == len(found.history) == 12


def test_a_version_under_way_in_a_store_is_not_seen(judged: Judged, tmp_path: Path) -> None:
    registry = f"memory://{tmp_path.name}/half"
    version = put(judged, registry)
    place = open_place(registry)
    half = "0" * 64
    place.create(f"models/tiny/{half}/model/config.json", b"{}")
    assert [one.version for one in releases(registry, "tiny")[0]] == [version]
    with pytest.raises(BadFile, match="expected an alias or one version"):
        promote(registry, "tiny", half, to="production", sign=SIGN)


def test_the_verbs_say_what_they_do(judged: Judged, tmp_path: Path) -> None:
    registry = str(tmp_path / "registry")

    def call(*words: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, list(words))
        return done.exit_code, " ".join(done.output.split())

    evidence = ["--name", "tiny", "--verdict", str(judged.evidence.verdict), "--by", "kim",
                "--report", str(judged.evidence.report)]  # fmt: skip
    code, said = call("release", str(judged.model), registry, *evidence)
    assert (code, said.split(" is ")[0]) == (0, "tiny@candidate")
    assert call("promote", registry, "tiny", "candidate", "--why", "better")[0] == 0
    code, said = call("releases", registry, "--history")
    assert code == 0
    assert "0.550 [0.530, 0.570]" in said
    assert "promote by" in said
    code, said = call("releases", registry, "tiny", "--json")
    assert set(json.loads(said)["tiny"]["aliases"]) == {"candidate", "production"}
    assert call("fetch", registry, "tiny@production", str(tmp_path / "copy"))[0] == 0
    judge(tmp_path / "lost", judged.space, lost=0.05)
    evidence[3] = str(tmp_path / "lost")
    assert call("release", str(judged.model), registry, *evidence[:4])[0] == 3


def test_a_copy_is_whole_or_not_there(judged: Judged, tmp_path: Path) -> None:
    registry = str(tmp_path / "registry")
    version = put(judged, registry)
    place = open_place(registry)
    with whole_folder(tmp_path / "copy") as part:
        (part / "mine").touch()
    with pytest.raises(BadFile, match="exists already"):
        fetch(place, find(place, "tiny", version), tmp_path / "copy")
    fetch(place, find(place, "tiny", version), tmp_path / "copy", replace=True)
    assert not (tmp_path / "copy/mine").exists()


def test_a_registry_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="no model in it"):
        models(str(tmp_path / "none"))
    with pytest.raises(BadFile, match="expected the model 'x'"):
        rollback(str(tmp_path / "none"), "x", alias="production", sign=SIGN)
    with pytest.raises(BadSetting, match="nosuch"):
        models("nosuch://bucket/registry")
