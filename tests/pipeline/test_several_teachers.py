"""Several teachers in a recipe: rerankers fused, and a language model within its limit."""

import json
from pathlib import Path

import pytest
import typer
from llm_server import PRICES, JudgeServer, served
from tiny import WORDS, tiny_bert
from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification
from typer.testing import CliRunner

from nearfar.cli.run import run as command
from nearfar.data.dataset import Dataset
from nearfar.errors import BadModel, BadSetting
from nearfar.lineage.walk import lineage
from nearfar.lineage.workspace import scan
from nearfar.model.rerankers import load_reranker
from nearfar.pipeline.recipe import read_recipe
from nearfar.pipeline.run import run
from nearfar.pipeline.talk import Talk

RECIPE = """\
name = "{name}"
[data]
source = "pairs.jsonl"
shares = {{test = 0.2, dev = 0}}
[model]
base = "{folder}/bert"
[training]
pairs_per_step = 16
[distillation]
candidates = false
training = {{pairs_per_step = 16}}
[evaluation]
map_points = 10
"""
FUSED = """\
[distillation.teaching]
fusion = "logit"
weights = [1, 3]
[[distillation.rerankers]]
base = "{folder}/one"
[[distillation.rerankers]]
base = "{folder}/two"
"""
JUDGED = '[distillation.judge]\nrepeats = 1\nllm = {model = "m", base_url = "http://127.0.0.1:1"}\n'


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("several")
    tiny_bert(folder / "bert")
    config = BertConfig.from_pretrained(folder / "bert")
    config.num_labels = 1
    for name in ("one", "two"):
        BertForSequenceClassification(config).save_pretrained(folder / name)
        AutoTokenizer.from_pretrained(folder / "bert").save_pretrained(folder / name)
    rows = [
        {
            "query": f"{WORDS[i]} {WORDS[2 * i]}",
            "document": f"{WORDS[i]} {WORDS[i + 40]}",
            "negative": f"{WORDS[i + 1]} {WORDS[i + 50]}",
        }
        for i in range(30)
    ]
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for name, more in (("fused", FUSED), ("judged", JUDGED)):
        text = RECIPE.format(name=name, folder=folder) + more.replace("{folder}", str(folder))
        (folder / f"{name}.toml").write_text(text)
    return folder


def walked(home: Path, name: str, *changes: str) -> list[str]:
    said: list[str] = []
    recipe = read_recipe(home / f"{name}.toml", changes)
    run(recipe, recipe_folder=home, runs=home / "runs", talk=Talk(say=said.append))
    return said


def scored(home: Path, name: str) -> Dataset:
    stages = json.loads((home / "runs" / name / "run.json").read_text())
    return Dataset.open(home / "runs" / name / stages["teach"] / "dataset")


def test_rerankers_are_fused_and_the_manifest_and_the_lineage_name_them(home: Path) -> None:
    walked(home, "fused")
    found = scored(home, "fused")
    one, two = (load_reranker(home / name) for name in ("one", "two"))
    (parent,) = found.manifest["parents"]
    assert parent["taught_with"]["teachers"] == [
        {"kind": "reranker", "name": str(home / name), "fingerprint": each.fingerprint}
        for name, each in (("one", one), ("two", two))
    ]
    queries = {query.id: query.content for query in found.queries()}
    documents = {document.id: document.content for document in found.documents()}
    some = [each for each in found.judgments("train") if each.score is not None][:3]
    for each in some:
        pair = queries[each.query_id], [documents[each.document_id]]
        expected = (one.score(*pair).item() + 3 * two.score(*pair).item()) / 4
        assert each.score == pytest.approx(expected, abs=1e-4)
    walk = lineage(found.folder, scan(home / "runs"))
    (root,) = walk.roots
    making = walk.things[root].making
    assert making is not None
    assert making.kind == "teach"
    labels = {thing.label for role, thing in walk.used_by(root) if role == "scored by"}
    assert labels == {f"reranker {home / name}" for name in ("one", "two")}


def test_a_judge_stops_at_its_limit_and_the_same_recipe_goes_on(home: Path) -> None:
    def grade(query: str, document: str) -> int:
        return 3 * (query.split()[0] == document.split()[0])

    with served(JudgeServer(grade=grade)) as server:
        prices = [f"distillation.judge.llm.{key}={value}" for key, value in PRICES.items()]
        asked = [f"distillation.judge.llm.base_url='{server.address}/v1'", *prices,
                 "distillation.judge.llm.max_tokens=8"]  # fmt: skip
        limit = "distillation.judge.llm.limit_usd"
        for _ in range(2):  # what the first try has spent counts against the limit of the second
            with pytest.raises(BadSetting, match=r"limit of 4\.0 dollars is reached and \d+ quest"):
                walked(home, "judged", *asked, f"{limit}=4.0")
            assert (server.input_tokens * 1_000 + server.output_tokens * 5_000) / 1e6 <= 4
        first = len(server.asked)
        assert 0 < first < 48
        said = walked(home, "judged", *asked, f"{limit}=1000.0")
    # The train split has as many pairs as were asked about, over both runs, and each but once.
    pairs = {
        (each.query_id, each.document_id) for each in scored(home, "judged").judgments("train")
    }
    assert len(server.asked) == len(pairs) > first
    assert any("agrees with people" in sentence for sentence in said)
    assert any("with those before" in sentence for sentence in said)
    (parent, _) = scored(home, "judged").manifest["parents"]
    (judge,) = parent["taught_with"]["teachers"]
    assert (judge["kind"], judge["name"]) == ("language model", "m")
    walk = lineage(scored(home, "judged").folder)
    assert "language model m" in {thing.label for thing in walk.things.values()}
    # What is done needs neither server nor key.
    again = walked(home, "judged", "distillation.judge.llm={model='m'}")
    assert all(line.endswith("done already") for line in again if ": " in line)


@pytest.mark.parametrize(
    ("name", "change", "error", "message"),
    [
        ("judged", "distillation.judge.llm={model='m'}", BadSetting, "m needs an API key"),
        ("fused", "distillation.rerankers=[{base='/nowhere'}, {base='/nor/here'}]", BadModel,
         "/nowhere"),
    ],
)  # fmt: skip
def test_a_teacher_that_is_not_there_is_missed_before_anything_is_trained(
    home: Path, name: str, change: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        walked(home, name, "name=other", change)
    assert not (home / "runs" / "other").exists()


def test_the_command_says_where_the_key_belongs(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"):
        monkeypatch.delenv(variable, raising=False)
    app = typer.Typer()
    app.command()(command)
    words = [str(home / "judged.toml"), "--runs", str(home / "none"),
             "--set", "distillation.judge.llm={model='m'}"]  # fmt: skip
    found = CliRunner().invoke(app, words).exception
    assert isinstance(found, BadSetting)
    assert "set ANTHROPIC_API_KEY" in str(found)


def test_what_a_table_leaves_out_stays_as_it_is_without_the_table(home: Path) -> None:
    changes = ["distillation.teaching={fusion='ranks'}", "distillation.loss.temperature=0.02"]
    found = read_recipe(home / "judged.toml", changes).distillation
    assert found is not None
    assert (found.teaching.fusion, found.teaching.depth) == ("ranks", 10)
    assert (found.loss.name, found.loss.temperature) == ("listwise_kl", 0.02)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("distillation.teaching.weights=[1]", "2 teachers"),
        ("distillation.cross_encoder=true", "needs someone who scores"),
        ("distillation.rerankers={base='x'}", r"a list of tables, \[\[distillation.rerankers\]\]"),
        ("distillation.judge=[{}]", r"one table, \[distillation.judge\]"),
        ("distillation.judge={}", r"distillation.judge.llm is missing"),
        ("distillation.judge={llm={model='m'}, repeats=0}", "judge.repeats must be 1 or more"),
        ("distillation.judge={llm={model='m', limit_usd=1.0}}", "needs the prices"),
        ("distillation.judge={llm={model='m'}, pairwize=true}", "Did you mean 'pairwise'"),
    ],
)
def test_what_makes_no_sense_is_refused_when_the_recipe_is_read(
    home: Path, change: str, message: str
) -> None:
    with pytest.raises(BadSetting, match=message):
        read_recipe(home / "fused.toml", [change])
