"""A reranker is released by a verdict on it, behind the encoder it was judged with."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from registry_world import SIGN, judge, judged_in, put
from reranker_world import (
    JudgedPair,
    judge_pair,
    judged_pair_in,
    make_reranker,
    other,
    put_pair,
    report_on_pair,
)
from results import METRIC
from sentence_transformers import CrossEncoder as Theirs
from tiny import tiny_llama
from typer.testing import CliRunner

from nearfar.cli import app
from nearfar.errors import BadFile, BadModel, DataMismatch
from nearfar.model.rerankers import load_reranker
from nearfar.release.admission import NotPassed
from nearfar.release.fetching import fetch
from nearfar.release.listing import find, releases
from nearfar.release.places import open_place
from nearfar.release.registry import Evidence, promote, rollback
from nearfar.release.two_stages import stages_of


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> JudgedPair:
    return judged_pair_in(tmp_path_factory.mktemp("pair"))


@pytest.fixture
def registry(tmp_path: Path) -> str:
    return str(tmp_path / "registry")


def test_a_reranker_can_be_fetched_and_gives_the_same_scores(
    judged: JudgedPair, registry: str, tmp_path: Path
) -> None:
    version = put_pair(judged, registry)
    assert put_pair(judged, registry) == version
    place = open_place(registry)
    found = find(place, "sorter", "candidate")
    assert (found.reranker, found.space) == (judged.stages.reranker,
                                             judged.stages.encoder.fingerprint)  # fmt: skip
    assert found.measures[METRIC]["mean"] == 0.7  # what both stages reach, not retrieval alone
    fetch(place, found, tmp_path / "copy")
    loaded = load_reranker(tmp_path / "copy")
    assert loaded.fingerprint == judged.stages.reranker
    texts = ["ba be", "bo da du"]
    ours = load_reranker(judged.model).score("ba", texts).tolist()
    assert loaded.score("ba", texts).tolist() == pytest.approx(ours, abs=1e-6)
    theirs = Theirs(str(tmp_path / "copy"), device="cpu").predict([("ba", text) for text in texts])
    assert (theirs[0] < theirs[1]) == (ours[0] < ours[1])


def test_names_of_rerankers_go_back_too(judged: JudgedPair, registry: str, tmp_path: Path) -> None:
    old = put_pair(judged, registry)
    promote(registry, "sorter", "candidate", to="production", sign=SIGN)
    newer = replace(judged.stages, reranker=make_reranker(tmp_path / "newer", seed=5))
    judge_pair(tmp_path / "gate", newer)
    new = put_pair(JudgedPair(tmp_path / "newer", newer, Evidence(verdict=tmp_path / "gate")),
                   registry)  # fmt: skip
    done = promote(registry, "sorter", new, to="production", sign=SIGN)
    assert f"the reranker {judged.stages.reranker} behind the space" in done.notes[0]
    assert rollback(registry, "sorter", alias="production", sign=SIGN).release.version == old
    assert len(releases(registry, "sorter")[0]) == 2


def test_only_a_passed_verdict_on_this_very_reranker_counts(
    judged: JudgedPair, registry: str, tmp_path: Path
) -> None:
    judge_pair(tmp_path / "lost", judged.stages, lost=0.05)
    with pytest.raises(NotPassed, match="found REGRESSION"):
        put_pair(replace_evidence(judged, tmp_path / "lost"), registry)
    make_reranker(tmp_path / "changed", seed=7)
    with pytest.raises(DataMismatch, match=f"found one on the reranker {judged.stages.reranker}"):
        put_pair(JudgedPair(tmp_path / "changed", judged.stages, judged.evidence), registry)
    judge(tmp_path / "alone", judged.stages.encoder)
    with pytest.raises(DataMismatch, match=r"found one on no reranker.*reranked-scores"):
        put_pair(replace_evidence(judged, tmp_path / "alone"), registry)
    assert not (tmp_path / "registry/models").exists()


def test_an_encoder_is_not_released_by_what_its_reranker_made_of_it(
    judged: JudgedPair, registry: str, tmp_path: Path
) -> None:
    one = judged_in(tmp_path / "one")
    judge_pair(tmp_path / "gate", replace(judged.stages, encoder=one.space))
    with pytest.raises(BadModel, match="expected the reranker that was judged") as no:
        put(replace(one, evidence=Evidence(verdict=tmp_path / "gate")), registry)
    assert ".staged" not in str(no.value)  # what nobody has named


def test_a_verdict_whose_stages_were_changed_by_hand_is_refused(
    judged: JudgedPair, registry: str, tmp_path: Path
) -> None:
    path = judged.evidence.verdict / "verdict.json"
    facts = json.loads(path.read_text())
    facts["candidate"]["space"]["candidates"] = 10
    (tmp_path / "verdict.json").write_text(json.dumps(facts))
    with pytest.raises(BadFile, match="changed by hand"):
        put_pair(replace_evidence(judged, tmp_path), registry)
    del facts["candidate"]["space"]["encoder"]
    (tmp_path / "verdict.json").write_text(json.dumps(facts))
    with pytest.raises(BadFile, match="each choice by its name"):
        put_pair(replace_evidence(judged, tmp_path), registry)


def test_a_released_reranker_that_was_changed_goes_nowhere(
    judged: JudgedPair, registry: str, tmp_path: Path
) -> None:
    version = put_pair(judged, registry)
    path = tmp_path / "registry/models/sorter" / version / "release.json"
    path.write_text(path.read_text().replace(judged.stages.reranker, "0" * 16))
    with pytest.raises(BadFile, match="changed by hand"):
        promote(registry, "sorter", version, to="production", sign=SIGN)


@pytest.mark.parametrize("change", ["reranker", "candidates", "words_too", "encoder", "reranking"])
def test_a_report_on_other_stages_is_refused(
    judged: JudgedPair, registry: str, tmp_path: Path, change: str
) -> None:
    now = {"reranker": "0" * 16, "candidates": 40, "words_too": False,
           "encoder": other(judged.stages.encoder)}  # fmt: skip
    if change == "reranking":
        report = report_on_pair(tmp_path / "report", judged.stages, reranking=None)
    else:
        stages = replace(judged.stages, **{change: now[change]})
        report = report_on_pair(tmp_path / "report", stages)
    evidence = Evidence(verdict=judged.evidence.verdict, report=report)
    with pytest.raises(DataMismatch, match="that the verdict was made from"):
        put_pair(replace(judged, evidence=evidence), registry)


def test_the_card_says_with_whom_it_was_judged(judged: JudgedPair, registry: str) -> None:
    version = put_pair(judged, registry)
    folder = Path(registry) / "models/sorter" / version
    text = (folder / "README.md").read_text(encoding="utf-8")
    facts = yaml.safe_load(text.split("---\n")[1])
    assert facts["pipeline_tag"] == "text-ranking"
    assert facts["model-index"][0]["results"][0]["metrics"][0]["value"] == 0.7
    for words in (
        "A cross-encoder: it reads a query and a document together, 64 tokens of both",
        "50 candidates of each query, which an encoder had found by meaning and words",
        'load_reranker("sorter")',
        "| nDCG@10 | 800 | 0.500 [0.480, 0.520] | 0.700 [0.680, 0.720] | +0.200",
        "| 50 | 0.800 [0.780, 0.820] | 0.900 [0.880, 0.920] | 0.700 [0.680, 0.720] | 10.0 [20.0] |",
        "leaves 20.0 % of the answers out",
        f"behind the encoder of the space `{judged.stages.encoder.fingerprint}`",
        '"steps": 12',
        f"- reranker: `{judged.stages.reranker}`",
    ):
        assert words in text
    assert "An embedding model" not in text
    bars = {line.replace("\\|", "").count("|") for line in text.split("\n") if line[:2] == "| "}
    assert bars == {6, 10}


def test_a_card_without_a_report_says_so(judged: JudgedPair, registry: str) -> None:
    bare = replace(judged, evidence=Evidence(verdict=judged.evidence.verdict))
    version = put_pair(bare, registry)
    text = (Path(registry) / "models/sorter" / version / "README.md").read_text(encoding="utf-8")
    assert text.count("There was no report") == 2


def test_a_language_model_that_says_yes_or_no_is_released_too(
    judged: JudgedPair, registry: str, tmp_path: Path
) -> None:
    model = load_reranker(tiny_llama(tmp_path / "llama"))
    (tmp_path / "asked").mkdir()
    model.save(tmp_path / "asked")  # nobody says here what it is: the verdict does
    stages = replace(judged.stages, reranker=model.fingerprint)
    judge_pair(tmp_path / "gate", stages)
    one = JudgedPair(tmp_path / "asked", stages, Evidence(verdict=tmp_path / "gate"))
    version = put_pair(one, registry)
    folder = Path(registry) / "models/sorter" / version
    assert "A language model that is asked for yes or no" in (folder / "README.md").read_text()
    assert load_reranker(folder / "model").fingerprint == model.fingerprint


def test_the_verbs_take_rerankers(judged: JudgedPair, registry: str, tmp_path: Path) -> None:
    def call(*words: object) -> tuple[int, str]:
        done = CliRunner().invoke(app, [str(word) for word in words])
        return done.exit_code, " ".join(done.output.split())

    assert call("release", judged.model, registry, "--name", "sorter", "--verdict",
                judged.evidence.verdict, "--report", judged.evidence.report,
                "--workspace", tmp_path)[0] == 0  # fmt: skip
    assert call("promote", registry, "sorter", "candidate")[0] == 0
    code, said = call("releases", registry)
    assert code == 0
    assert judged.stages.reranker[:8] in said
    assert "0.700 [0.680, 0.720]" in said
    code, said = call("fetch", registry, "sorter@production", tmp_path / "copy")
    assert code == 0
    assert f"the reranker {judged.stages.reranker}" in said
    shutil.rmtree(tmp_path / "copy")


def test_what_stages_say_is_read_as_it_was_written(judged: JudgedPair) -> None:
    for stages in (judged.stages, replace(judged.stages, lexical_weight=0.25)):
        facts = json.loads(json.dumps(stages.to_json()))
        assert stages_of(facts, where="here") == stages
    assert stages_of(judged.stages.encoder.to_json(), where="here") is None
    assert stages_of(None, where="here") is None
    names = {replace(judged.stages, **{key: value}).to_json()["fingerprint"]
             for key, value in (("candidates", 9), ("words_too", False), ("lexical_weight", 0.5),
                                ("reranker", "x"), ("candidates", 50))}  # fmt: skip
    assert len(names) == 5  # every choice renames the pair


def replace_evidence(one: JudgedPair, verdict: Path) -> JudgedPair:
    return replace(one, evidence=Evidence(verdict=verdict))
