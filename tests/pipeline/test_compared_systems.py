"""Systems of every kind answer the same task, are measured once, and cost what they cost."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from doubles import LetterEncoder
from embedding_server import VectorServer, vectors_served
from tiny import tiny_bert, tiny_dataset

from nearfar.data.dataset import Dataset
from nearfar.data.words import words_of
from nearfar.errors import BadFile, BadRecord, BadSetting
from nearfar.evaluation.embedded import embed, rankings, read_task
from nearfar.evaluation.metrics import per_query
from nearfar.evaluation.runs import read_run, write_run
from nearfar.evaluation.scores import read_scores
from nearfar.evaluation.scoring import with_price
from nearfar.evaluation.settings import Evaluation
from nearfar.model.text import TextEncoder
from nearfar.pipeline.comparing import Asked, Compared, compare_into
from nearfar.pipeline.systems import Prompts


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return tiny_dataset(tmp_path_factory.mktemp("data") / "d", pairs=48)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("model") / "m")


@pytest.fixture
def server() -> Iterator[VectorServer]:
    with vectors_served(VectorServer()) as found:
        yield found


def measured(folder: Path, dataset: Dataset, **facts: object) -> tuple[Compared, list[str]]:
    told: list[str] = []
    found = compare_into(folder, dataset, Asked(**facts), say=told.append)  # type: ignore[arg-type]
    return found, told


def expected(dataset: Dataset, ranked: dict[str, list[str]]) -> np.ndarray:
    task = read_task(dataset, "test")
    values = per_query(ranked, task.judged)
    return np.array([values[query.id]["ndcg_at_10_score"] for query in task.queries])


def bm25_ranking(query: str, documents: dict[str, str]) -> list[str]:
    """Rank by loops; equals stay in the order of the documents."""
    words = {id_: words_of(text) for id_, text in documents.items()}
    mean = sum(map(len, words.values())) / len(words)
    found = {}
    for id_, own in words.items():
        score = 0.0
        for word in words_of(query):
            held = sum(word in other for other in words.values())
            rarity = math.log(1 + (len(words) - held + 0.5) / (held + 0.5))
            often = own.count(word)
            score += rarity * often / (often + 1.5 * (1 - 0.75 + 0.75 * len(own) / mean))
        if score > 0:
            found[id_] = float(np.float32(score))
    return sorted(found, key=lambda id_: -found[id_])


def ndcg(folder: Path, name: str) -> np.ndarray:
    return read_scores(folder / "systems" / name).values["ndcg_at_10_score"]


def test_a_model_scores_as_its_rankings_do(dataset: Dataset, model: Path, tmp_path: Path) -> None:
    measured(tmp_path, dataset, systems={"m": str(model)})
    encoder = TextEncoder.load(model)
    ranked = rankings(embed(encoder, dataset, read_task(dataset, "test")), 100)
    assert np.array_equal(ndcg(tmp_path, "m"), expected(dataset, ranked))
    found = read_scores(tmp_path / "systems" / "m")
    assert found.space == encoder.space.to_json()
    assert found.costs["parameters"] == sum(w.numel() for w in encoder.network.parameters())
    assert found.costs["bytes_per_document"] == 4 * found.costs["dimensions"] == 4 * 32
    files = [file for file in model.rglob("*") if file.is_file()]
    assert found.costs["download_bytes"] == sum(file.stat().st_size for file in files)
    assert 0 < found.costs["median_seconds"] <= found.costs["p95_seconds"]
    lengths = encoder.tokens.count([d.content for d in dataset.documents()], "document")
    assert found.costs["tokens_per_document"] == pytest.approx(sum(lengths) / len(lengths))


def test_words_score_as_a_loop_over_them(dataset: Dataset, tmp_path: Path) -> None:
    measured(tmp_path, dataset, systems={"words": "bm25"}, runs=True)
    documents = {d.id: d.content for d in dataset.documents()}
    queries = read_task(dataset, "test").queries
    ranked = {query.id: bm25_ranking(query.content, documents) for query in queries}
    assert dict(read_run(tmp_path / "runs" / "words.trec")) == ranked
    assert np.array_equal(ndcg(tmp_path, "words"), expected(dataset, ranked))
    assert read_scores(tmp_path / "systems" / "words").space is None


def test_a_server_scores_as_the_model_behind_it(
    dataset: Dataset, server: VectorServer, tmp_path: Path
) -> None:
    found, _ = measured(
        tmp_path, dataset, systems={"s": f"{server.address}/#letters"}, prices={"s": 2.0}
    )
    task = read_task(dataset, "test")
    ranked = rankings(embed(LetterEncoder(), dataset, task), 100)
    assert np.array_equal(ndcg(tmp_path, "s"), expected(dataset, ranked))
    kept = read_scores(tmp_path / "systems" / "s")
    assert kept.space is not None
    assert {name: kept.space[name] for name in ("address", "model", "dim")} == {
        "address": server.address, "model": "letters", "dim": 26}  # fmt: skip
    words = [len(query.content.split()) for query in task.queries]
    costs = found.comparison.systems[0].costs
    assert costs["tokens_per_query"] == pytest.approx(sum(words) / len(words))
    assert costs["usd_per_1000_queries"] == pytest.approx(2e-6 * 1000 * sum(words) / len(words))
    assert {body["model"] for body in server.asked} == {"letters"}


def test_prompts_stand_before_the_texts(
    dataset: Dataset, model: Path, server: VectorServer, tmp_path: Path
) -> None:
    prompts = Prompts("bada ", "goru ")
    both = {"s": f"{server.address}#m", "m": str(model)}
    measured(tmp_path, dataset, systems=both, prompts={"s": prompts, "m": prompts})
    starts = {text[:5] for text in server.texts()}
    assert starts == {"bada ", "goru "}
    space = read_scores(tmp_path / "systems" / "m").space
    assert space is not None
    assert (space["query_prompt"], space["document_prompt"]) == ("bada ", "goru ")
    before = len(server.asked)
    measured(tmp_path, dataset, systems=both)  # another space, and another question
    assert len(server.asked) == 2 * before


def test_a_server_of_two_models_is_refused(
    dataset: Dataset, server: VectorServer, tmp_path: Path
) -> None:
    server.trouble = lambda number: "shorter" if number else ""
    with pytest.raises(Exception, match="expected vectors of one length, found"):
        measured(tmp_path, dataset, systems={"s": f"{server.address}#m"})
    assert not (tmp_path / "systems").exists()


def test_a_run_comes_back_as_what_wrote_it(dataset: Dataset, model: Path, tmp_path: Path) -> None:
    measured(tmp_path, dataset, systems={"m": str(model)}, runs=True)
    path = tmp_path / "runs" / "m.trec"
    both = {"m": str(model), "again": f"run:{path}"}
    found, _ = measured(tmp_path, dataset, systems=both)
    assert found.comparison.systems[1].differences["recall_at_100_score"].p == 1
    for name, of in read_scores(tmp_path / "systems" / "m").values.items():
        assert np.array_equal(read_scores(tmp_path / "systems" / "again").values[name], of), name


def test_a_run_of_what_was_called_so_before_does_not_stay(
    dataset: Dataset, model: Path, tmp_path: Path
) -> None:
    for what, runs in (("bm25", True), (str(model), False), (str(model), True)):
        measured(tmp_path / "a", dataset, systems={"x": what}, runs=runs)
    measured(tmp_path / "b", dataset, systems={"x": str(model)}, runs=True)
    found, expected = (dict(read_run(tmp_path / one / "runs/x.trec")) for one in ("a", "b"))
    assert found == expected


def test_what_a_run_lacks_counts_nothing_and_is_told(dataset: Dataset, tmp_path: Path) -> None:
    task = read_task(dataset, "test")
    first, second = (query.id for query in task.queries[:2])
    run = {first: ["stranger", task.best_answer(first)], "nobody": ["d1"]}
    write_run(tmp_path / "r.trec", run, tag="t")
    found, _ = measured(tmp_path, dataset, systems={"r": f"run:{tmp_path / 'r.trec'}"})
    values = read_scores(tmp_path / "systems" / "r").values["mrr_at_10_score"]
    assert values.tolist() == [0.5] + [0.0] * (len(task.queries) - 1)
    missing, strange, unknown = found.notes
    assert f"nothing for {len(task.queries) - 1} of {len(task.queries)}" in missing
    assert repr(second) in missing
    assert "'nobody'" in strange
    assert "1 document that the dataset lacks, such as 'stranger'" in unknown


def test_nothing_is_measured_twice_unless_it_changed(
    dataset: Dataset, server: VectorServer, tmp_path: Path
) -> None:
    what = {"s": f"{server.address}#m"}
    measured(tmp_path, dataset, systems=what)
    once = len(server.asked)
    _, told = measured(tmp_path, dataset, systems=what, prices={"s": 1.0})
    assert len(server.asked) == once
    assert told == ["s was measured before on this data; it is not measured again."]
    for changed in ({"systems": {"s": f"{server.address}#other"}}, {"systems": what}):
        before = len(server.asked)
        _, told = measured(tmp_path, dataset, **changed)
        assert len(server.asked) == before + once
        assert told == []
    measured(tmp_path, dataset, systems=what, again=True)
    assert len(server.asked) == 4 * once
    (tmp_path / "systems" / "s" / "system.json").unlink()  # killed between two files
    measured(tmp_path, dataset, systems=what)
    assert len(server.asked) == 5 * once


def test_other_data_is_measured_anew(
    dataset: Dataset, server: VectorServer, tmp_path: Path
) -> None:
    what = {"s": f"{server.address}#m"}
    other = tiny_dataset(tmp_path / "other", pairs=40)
    asked = []
    for data, settings in ((dataset, Evaluation()), (other, Evaluation()),
                           (other, Evaluation(split="dev")),
                           (other, Evaluation(split="dev", depth=200))):  # fmt: skip
        _, told = measured(tmp_path, data, systems=what, evaluation=settings)
        assert told == []
        asked.append(len(server.asked))
    assert asked == sorted(set(asked))


def test_cohorts_are_those_of_today(dataset: Dataset, tmp_path: Path) -> None:
    queries = [query.id for query in read_task(dataset, "test").queries]
    write_run(tmp_path / "r.trec", {id_: ["d0"] for id_ in queries}, tag="t")
    what = {"r": f"run:{tmp_path / 'r.trec'}"}
    measured(tmp_path, dataset, systems=what)
    assert read_scores(tmp_path / "systems" / "r").cohorts == {}
    by_words = Evaluation(cohorts=("short = query.words < 9",))
    found, told = measured(tmp_path, dataset, systems=what, evaluation=by_words)
    assert "not measured again" in told[0]
    assert [(row.field, row.n) for row in found.comparison.cohorts] == [("short", len(queries))]
    assert set(read_scores(tmp_path / "systems" / "r").cohorts) == {"short"}


def test_a_price_is_written_and_taken_back(
    dataset: Dataset, server: VectorServer, tmp_path: Path
) -> None:
    what = {"s": f"{server.address}#m"}
    for price, expected in (({}, False), ({"s": 2.0}, True), ({}, False)):
        measured(tmp_path, dataset, systems=what, prices=price)
        assert ("usd_per_1000_queries" in read_scores(tmp_path / "systems/s").costs) is expected
    server.says_usage = False
    with pytest.raises(BadSetting, match="does not say how many tokens"):
        measured(tmp_path / "new", dataset, systems=what, prices={"s": 2.0})
    asked = len(server.asked)
    measured(tmp_path / "new", dataset, systems=what)
    assert len(server.asked) == asked  # what was paid for is kept
    priced = with_price({"tokens_per_query": 10.0}, 0.5)
    assert priced["usd_per_1000_queries"] == pytest.approx(10 * 1_000 * 0.5 / 1e6)
    assert "usd_per_1000_documents" not in priced


def test_a_folder_of_something_else_is_left_alone(dataset: Dataset, tmp_path: Path) -> None:
    mine = tmp_path / "systems" / "words" / "thesis.tex"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(BadFile, match="expected the scores of a system or nothing"):
        measured(tmp_path, dataset, systems={"words": "bm25"})
    assert mine.read_text() == "mine"


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({"systems": {}}, "--system must be given once or more"),
        ({"systems": {"../a": "bm25"}}, "expected a short name"),
        ({"systems": {"a": ""}}, "found nothing"),
        ({"systems": {"a": "run:none.trec"}}, "none.trec is no file"),
        ({"systems": {"a": "http://localhost:1/v1"}}, "expected the model after a '#'"),
        ({"systems": {"a": "http://:1/v1#m"}}, "an address such as"),
        ({"systems": {"a": "http://[1/v1#m"}}, "an address such as"),
        ({"systems": {"a": "http://me:secret@h/v1#m"}}, "--system a: expected an address without"),
        ({"systems": {"a": "https://h/v1?key=secret"}}, "--system a: expected an address without"),
        ({"systems": {"a": "bm25"}, "reference": "b"}, "--reference must be the name of a system"),
        ({"systems": {"a": "m"}, "prices": {"b": 1.0}}, "--price must be the name of a system"),
        ({"systems": {"a": "m"}, "prices": {"a": float("nan")}}, "--price of a must be 0 or more"),
        ({"systems": {"a": "bm25"}, "prompts": {"a": Prompts("q: ")}}, "a prompt is for a model"),
        ({"systems": {"a": "bm25"}, "metrics": ("ndgc_at_5_score",)}, "mean 'ndcg_at_5_score'"),
        (
            {"systems": {"a": "bm25"}, "prices": {"a": 1.0}},
            "--price is for a model, and bm25 is none",
        ),
    ],
)
def test_what_cannot_be_compared_is_said_at_once(facts: dict[str, object], says: str) -> None:
    with pytest.raises(BadSetting, match=says):
        Asked(**facts)  # type: ignore[arg-type]


def test_a_bad_run_leaves_what_was_measured_before_it(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "r.trec").write_text("q0 Q0 d0 1 high t\n")
    with pytest.raises(BadRecord, match=r"r.trec:1: expected a number"):
        measured(tmp_path, dataset, systems={"w": "bm25", "r": f"run:{tmp_path / 'r.trec'}"})
    assert [path.name for path in (tmp_path / "systems").iterdir()] == ["w"]
    assert not (tmp_path / "compare.json").exists()
