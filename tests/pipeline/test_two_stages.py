"""Contrastive first, then by a cross-encoder's graded scores: one recipe, stage by stage."""

import json
import shutil
from pathlib import Path

import pytest
from tiny import WORDS, tiny_bert

from nearfar.data.dataset import Dataset
from nearfar.errors import BadSetting
from nearfar.evaluation.report import read_report
from nearfar.lineage.holdings import find_holdings
from nearfar.lineage.matching import wanted
from nearfar.lineage.retraining import retraining
from nearfar.lineage.walk import lineage
from nearfar.lineage.workspace import scan
from nearfar.model.rerankers import load_reranker
from nearfar.model.text import TextEncoder
from nearfar.pipeline.recipe import read_recipe
from nearfar.pipeline.run import Finished, run
from nearfar.pipeline.talk import Talk

RECIPE = """\
name = "tiny"
[data]
source = "pairs.jsonl"
licence = "CC0-1.0"
[data.shares]
test = 0.3
dev = 0.2
[model]
base = "bert"
[mining]
negatives_per_query = 2
depth = 20
relative_margin = 0.0
allow_random = true
[training]
pairs_per_step = 16
learning_rate = 2e-3
checks = 1
[reranking_loss]
name = "listwise_softmax"
[cross_encoder]
candidates = [10, 20]
[cross_encoder.training]
pairs_per_step = 16
learning_rate = 1e-3
checks = 1
[distillation]
contrastive_weight = 0.5
teaching = {depth = 5}
training = {pairs_per_step = 16, checks = 1}
[evaluation]
map_points = 20
dev_candidates = 5
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two")
    tiny_bert(folder / "bert")
    rows = [
        {
            "query": f"{WORDS[i % 90]} {WORDS[(i * 7) % 90]}",
            "document": f"{WORDS[i % 90]} {WORDS[(i * 5 + 1) % 90]} {WORDS[(i * 11 + 2) % 90]}",
        }
        for i in range(120)
    ]
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "tiny.toml").write_text(RECIPE.replace('"bert"', f'"{folder / "bert"}"'))
    return folder


def walked(home: Path, *changes: str) -> tuple[Finished, list[str]]:
    said: list[str] = []
    recipe = read_recipe(home / "tiny.toml", changes)
    return run(recipe, recipe_folder=home, runs=home / "runs", talk=Talk(say=said.append)), said


@pytest.fixture(scope="module")
def finished(home: Path) -> tuple[Finished, list[str]]:
    return walked(home)


def test_the_encoder_goes_on_from_its_first_training_by_the_scores(
    finished: tuple[Finished, list[str]],
) -> None:
    found, said = finished
    stages = json.loads((found.home / "run.json").read_text())
    first_place = found.home / stages["train"] / "model"
    first = TextEncoder.load(first_place)
    facts = json.loads((found.model / "nearfar.json").read_text())
    assert facts["base_space"] == first.space.fingerprint
    assert found.model.parent.name == stages["distil"]
    assert [task["loss"]["name"] for task in facts["tasks"]] == ["listwise_kl", "infonce"]
    assert [task["of_first"] for task in facts["tasks"]] == [None, 0.5]
    place = found.home / stages["cross-encoder"] / "model"
    cross = load_reranker(place)
    scored = Dataset.open(found.home / stages["teach"] / "dataset")
    (parent,) = scored.manifest["parents"]
    assert parent["taught_with"]["teachers"] == [
        {"kind": "reranker", "name": str(place), "fingerprint": cross.fingerprint}
    ]
    walk = lineage(scored.folder, scan(found.home))
    roles = dict(walk.used_by(walk.roots[0]))
    assert roles["candidates of"].folder == first_place
    teacher = roles["scored by"]
    assert teacher.folder == place  # it was trained here, so what it learned from is known
    learned = {thing.folder for _, thing in walk.used_by(teacher.key)}
    assert learned == {found.home / stages["mine"] / "dataset"}
    some = [one for one in scored.judgments("train") if one.score is not None]
    assert len(some) > len([one for one in scored.judgments("train") if one.grade > 0])
    assert any("pairs scored" in sentence for sentence in said)


def test_a_cross_encoder_that_learned_from_what_is_forgotten_must_be_trained_again(
    home: Path, finished: tuple[Finished, list[str]]
) -> None:
    found, _ = finished
    place = (
        found.home / json.loads((found.home / "run.json").read_text())["cross-encoder"] / "model"
    )
    other = home / "by-hand" / "model"
    shutil.copytree(place, other)
    workspace = scan(home)
    judgment = next(found.dataset.judgments("train"))
    held = find_holdings(workspace, wanted([judgment.query_id]))
    commands = {one.folder: one.command for one in retraining(workspace, held)}
    assert commands[place] == f"nearfar run {home / 'tiny.toml'}"
    assert "--cross-encoder" in commands[other]
    assert """'reranking_loss.name="listwise_softmax"'""" in commands[other]
    untouched = find_holdings(workspace, wanted([next(found.dataset.judgments("test")).query_id]))
    assert not {place, other} & {one.model.folder for one in untouched.models}
    shutil.rmtree(other.parent)


def test_both_stages_of_search_are_measured(finished: tuple[Finished, list[str]]) -> None:
    found, _ = finished
    stages = read_report(found.report).reranking
    assert stages is not None
    assert stages.asked == (10, 20)


def test_what_is_done_is_not_done_again_and_a_setting_changes_only_what_hangs_on_it(
    home: Path, finished: tuple[Finished, list[str]]
) -> None:
    _, said = walked(home)
    stages = [line for line in said if line.endswith("done already")]
    assert len(stages) == 9
    _, said = walked(home, "distillation.contrastive_weight=0")
    names = {line.split(":")[0] for line in said if not line.endswith("done already")}
    assert "distil" in names  # the rest hangs on whether its weights came out better
    assert not {"train", "mine", "cross-encoder", "teach"} & names


def test_distillation_needs_someone_who_scores(home: Path) -> None:
    text = (home / "tiny.toml").read_text()
    start, end = text.index("[cross_encoder]"), text.index("[distillation]")
    (home / "alone.toml").write_text(text[:start] + text[end:])
    with pytest.raises(BadSetting, match="needs someone who scores"):
        read_recipe(home / "alone.toml")


def test_a_loss_that_learns_no_scores_is_refused(home: Path) -> None:
    with pytest.raises(BadSetting, match="a loss of scores"):
        read_recipe(home / "tiny.toml", ["distillation.loss.name=infonce"])
