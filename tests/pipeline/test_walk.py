"""One record walked through all floors: from a line of a file to an answer with its source."""

import json
from pathlib import Path

import pytest
from sentence_transformers import SentenceTransformer
from tiny import WORDS, tiny_bert

from nearfar.data.dataset import Dataset
from nearfar.errors import SpaceMismatch, Stopped
from nearfar.evaluation.report import read_report
from nearfar.model.text import TextEncoder
from nearfar.pipeline.recipe import Recipe, read_recipe
from nearfar.pipeline.run import Finished, run
from nearfar.pipeline.talk import Talk
from nearfar.search.index import open_index
from nearfar.search.search import search

RECIPE = """\
name = "tiny"
[data]
source = "pairs.jsonl"
licence = "CC0-1.0"
[data.shares]
test = 0.4
dev = 0.2
[model]
base = "bert"
[mining]
negatives_per_query = 1
depth = 20
relative_margin = 0.0
[training]
epochs = 6
pairs_per_step = 16
learning_rate = 2e-3
checks = 2
[evaluation]
map_points = 20
[search]
questions = ["ba da"]
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("walk")
    tiny_bert(folder / "bert")
    rows = [
        {
            "query": f"{WORDS[i % 90]} {WORDS[(i * 7) % 90]}",
            "document": f"{WORDS[i % 90]} {WORDS[(i * 5 + 1) % 90]} {WORDS[(i * 11 + 2) % 90]}",
            "tone": "light" if i % 2 else "dark",
        }
        for i in range(240)
    ]
    with (folder / "pairs.jsonl").open("w") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    (folder / "tiny.toml").write_text(RECIPE.replace('"bert"', f'"{folder / "bert"}"'))
    return folder


def walked(home: Path, recipe: Recipe) -> tuple[Finished, list[str]]:
    said: list[str] = []
    talk = Talk(say=said.append)
    return run(recipe, recipe_folder=home, runs=home / "runs", talk=talk), said


@pytest.fixture(scope="module")
def finished(home: Path) -> Finished:
    return walked(home, read_recipe(home / "tiny.toml"))[0]


def test_a_line_is_found_again_with_its_source(finished: Finished, home: Path) -> None:
    hit = finished.answers["ba da"][0]
    file, line = hit.document.source.rsplit(":", 1)
    assert Path(file).name == "pairs.jsonl"
    row = json.loads((home / "pairs.jsonl").read_text().splitlines()[int(line) - 1])
    assert row["document"] == hit.document.content
    assert hit.document.fields["tone"] == row["tone"]


def test_its_judgment_knows_its_line(finished: Finished) -> None:
    judgment = next(finished.dataset.judgments("train"))
    assert judgment.origin.source.startswith("pairs.jsonl:")


def test_report_index_and_model_agree_on_the_space(finished: Finished) -> None:
    space = TextEncoder.load(finished.model).space
    report = read_report(finished.report)
    assert report.tuned is not None
    assert report.tuned["fingerprint"] == space.fingerprint
    assert open_index(finished.index).space == space
    assert report.base["fingerprint"] != space.fingerprint
    assert report.dataset == finished.dataset.digest


def test_what_was_learned_is_measured(finished: Finished) -> None:
    change = read_report(finished.report).measure("ndcg_at_10_score").difference
    assert change is not None
    assert change.mean > 0
    page = (finished.home / "report.html").read_text()
    assert page.count("<svg") == 5
    assert "http" not in page.replace("http://www.w3.org", "")  # nothing is fetched


def test_the_model_of_the_base_is_refused_by_the_index(finished: Finished, home: Path) -> None:
    with pytest.raises(SpaceMismatch, match="weights: "):
        search(open_index(finished.index), TextEncoder.load(home / "bert"), "ba da")


def test_the_model_loads_in_sentence_transformers(finished: Finished) -> None:
    ours = TextEncoder.load(finished.model).encode(["ba da"], "query")
    theirs = SentenceTransformer(str(finished.home / "model"), device="cpu")
    assert (theirs.encode_query(["ba da"]) @ ours.numpy().T).item() > 0.999


def test_what_is_done_is_not_done_again(finished: Finished, home: Path) -> None:
    stamps = {path: path.stat().st_mtime_ns for path in finished.home.glob("*/stage.json")}
    again, said = walked(home, read_recipe(home / "tiny.toml"))
    assert len(stamps) == 6
    assert all("done already" in line for line in said if line.split(":")[0] in
               {"import", "check", "mine", "train", "evaluate", "index"})  # fmt: skip
    assert {p: p.stat().st_mtime_ns for p in finished.home.glob("*/stage.json")} == stamps
    assert again.model == finished.model


def test_another_setting_redoes_what_depends_on_it_alone(finished: Finished, home: Path) -> None:
    before = json.loads((finished.home / "run.json").read_text())
    recipe = read_recipe(home / "tiny.toml", ["index.storage=float16"])
    walked(home, recipe)
    after = json.loads((finished.home / "run.json").read_text())
    assert {name for name in before if before[name] != after[name]} == {"index"}
    walked(home, read_recipe(home / "tiny.toml"))


def test_a_stopped_run_goes_on_to_the_same_model(finished: Finished, home: Path) -> None:
    recipe = read_recipe(home / "tiny.toml", ["name=stopped"])

    from contextlib import nullcontext

    steps: list[int] = []

    def progress(what: str, done: int, total: int | None, note: str = "") -> None:
        if what == "training":
            steps.append(done)

    stopping = Talk(progress=progress, stoppable=lambda: nullcontext(lambda: steps[-1:] == [3]))
    with pytest.raises(Stopped, match="Stopped after step 3"):
        run(recipe, recipe_folder=home, runs=home / "runs", talk=stopping)
    assert not list((home / "runs" / "stopped").glob("train-*/stage.json"))
    again, _ = walked(home, recipe)
    assert TextEncoder.load(again.model).space == TextEncoder.load(finished.model).space


def test_the_second_round_mines_with_the_model_of_the_first(home: Path) -> None:
    change = ["name=twice", "mining.rounds=2", "training.epochs=1"]
    finished, said = walked(home, read_recipe(home / "tiny.toml", change))
    folders = json.loads((finished.home / "run.json").read_text())
    models = [
        TextEncoder.load(finished.home / folders[name] / "model") for name in ("train", "train2")
    ]
    mined = [Dataset.open(finished.home / folders[name] / "dataset") for name in ("mine", "mine2")]
    (parent,) = mined[1].manifest["parents"]
    assert parent["mined_with"]["space"] == models[0].space.fingerprint
    assert parent["digest"] == finished.dataset.digest
    assert mined[0].digest != mined[1].digest
    assert finished.model == finished.home / folders["train2"] / "model"
    again, later = walked(home, read_recipe(home / "tiny.toml", change))
    assert again.model == finished.model
    assert all("done already" in sentence for sentence in later if sentence.startswith("train"))
    assert any("A negative scores" in sentence for sentence in said)


def test_what_passes_its_policy_is_indexed_and_what_does_not_is_not(
    finished: Finished, home: Path
) -> None:
    """The stages are done already: only the gate is new."""
    change = "policy.changes=[{metric='ndcg_at_10_score', margin=0.9}]"
    passed, _ = walked(home, read_recipe(home / "tiny.toml", [change]))
    assert passed.verdict is not None
    assert (passed.verdict.outcome, passed.index) == ("PASS", finished.index)
    assert (passed.home / "index").exists()
    floor = "policy.floors=[{metric='ndcg_at_10_score', at_least=0.999}]"
    blocked, said = walked(home, read_recipe(home / "tiny.toml", [change, floor]))
    assert blocked.verdict is not None
    assert blocked.verdict.outcome != "PASS"
    assert blocked.index is None
    assert not (blocked.home / "index").exists()
    assert any("must reach 0.999" in sentence for sentence in said)
    assert (blocked.home / "gate/verdict.html").exists()
    assert walked(home, read_recipe(home / "tiny.toml"))[0].verdict is None
