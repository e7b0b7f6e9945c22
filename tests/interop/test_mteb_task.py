"""A dataset under `mteb` gives the figures that our own evaluation gives, cohort by cohort."""

import gc
import json
from pathlib import Path

import pytest
from shop import Lengths, Roles, shop

from nearfar.data.dataset import Dataset
from nearfar.errors import BadFile, BadRecord, BadSetting
from nearfar.evaluation.embedded import read_task
from nearfar.evaluation.evaluate import evaluate
from nearfar.evaluation.metrics import per_query
from nearfar.evaluation.settings import Evaluation
from nearfar.interop.mteb_models import NearfarEncoder
from nearfar.interop.mteb_results import evaluate_under_mteb
from nearfar.interop.mteb_search import NearfarSearch, Stages
from nearfar.interop.mteb_task import Corpus, dataset_task, safe_name
from nearfar.search.index import build_index
from nearfar.search.reranked import retrieve_then_rerank

mteb = pytest.importorskip("mteb")

OURS = {"ndcg_at_10_score": "ndcg_at_10", "recall_at_100_score": "recall_at_100",
        "recall_at_10_score": "recall_at_10", "mrr_at_10_score": "mrr_at_10"}  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return shop(tmp_path_factory.mktemp("shop") / "my shop")


def test_every_figure_is_ours(data: Dataset, tmp_path: Path) -> None:
    encoder = Roles()
    report = evaluate(encoder, None, data, Evaluation()).report
    model = NearfarSearch(encoder, "nearfar/roles")
    found = evaluate_under_mteb(model, dataset_task(data), tmp_path)
    assert list(found.scores) == ["default"]
    ours = {measure.name: measure.base.mean for measure in report.measures}
    for name, theirs in OURS.items():
        assert 0.02 < ours[name] <= 1
        # mteb rounds to five places
        assert found.scores["default"][theirs] == pytest.approx(ours[name], abs=5.1e-6), name


@pytest.mark.parametrize("cohort", ["query.language", "document.kind"])
def test_every_cohort_is_ours(data: Dataset, tmp_path: Path, cohort: str) -> None:
    encoder = Roles()
    report = evaluate(encoder, None, data, Evaluation(cohorts=(cohort,))).report
    ours = {one.value: one.base for one in report.cohorts if one.name == "ndcg_at_10_score"}
    encoder.asked.clear()
    task = dataset_task(data, cohort=cohort)
    found = evaluate_under_mteb(NearfarSearch(encoder, "nearfar/roles"), task, tmp_path)
    assert [size for role, size in encoder.asked if role == "document"] == [80]  # embedded once
    assert list(found.scores) == list(ours)
    assert len(ours) >= 2
    for value, base in ours.items():
        assert found.scores[value]["ndcg_at_10"] == pytest.approx(base.mean, abs=5.1e-6)
    assert task.metadata.name == f"my_shop-by-{cohort}"


def test_an_expression_and_a_crossing_are_cohorts_too(data: Dataset) -> None:
    tasks = [dataset_task(data, cohort=f"query.language {sign} 'de'") for sign in ("==", "!=")]
    assert all({"yes", "no"} <= set(task.hf_subsets) for task in tasks)
    assert len({task.metadata.name for task in tasks}) == 2
    crossed = dataset_task(data, cohort="query.language & document.kind")
    assert crossed.metadata.name == "my_shop-by-query.language_document.kind"
    assert "other" in crossed.hf_subsets


def test_tasks_of_one_corpus_have_it_embedded_once(data: Dataset, tmp_path: Path) -> None:
    encoder, corpus = Roles(), Corpus(data)
    model = NearfarSearch(encoder, "nearfar/roles")
    for cohort in (None, "query.language", "document.kind"):
        evaluate_under_mteb(model, dataset_task(data, cohort=cohort, corpus=corpus), tmp_path)
    assert [size for role, size in encoder.asked if role == "document"] == [80]


@pytest.mark.parametrize("kind", [NearfarSearch, NearfarEncoder])
def test_each_query_gets_the_same_to_a_millionth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[NearfarSearch | NearfarEncoder]
) -> None:
    """Among equal texts `mteb` orders the hits of an encoder by id: here are none."""
    data, encoder = shop(tmp_path / "data", twins=0), Roles()
    found: dict[str, float] = {}

    def keep(scores: dict[str, dict[str, float]], *_: object, **__: object) -> dict[str, float]:
        found.update({query: own["ndcg_cut_10"] for query, own in scores.items()})
        return {}

    task = dataset_task(data, cohort="query.language")
    monkeypatch.setattr(task, "task_specific_scores", keep)
    task.evaluate(kind(encoder, "nearfar/x"), encode_kwargs={"show_progress_bar": False})
    measured = evaluate(encoder, None, data, Evaluation())
    ids = [query.id for query in measured.task.queries]
    ours = dict(zip(ids, measured.base.values["ndcg_at_10_score"], strict=True))
    assert len(set(ours.values())) > 5
    assert found == pytest.approx(ours, abs=1e-6)


def test_two_stages_are_measured_as_one_model(data: Dataset, tmp_path: Path) -> None:
    encoder = Roles()
    model = NearfarSearch(encoder, "nearfar/two", Stages(reranker=Lengths(), candidates=20))
    found = evaluate_under_mteb(model, dataset_task(data), tmp_path / "results")
    index = build_index(encoder, data, tmp_path / "index")
    task = read_task(data, "test")
    texts = [query.content for query in task.queries]
    answers = retrieve_then_rerank(index, encoder, Lengths(), texts, k=20, candidates=20)
    rankings = {
        query.id: [hit.document.id for hit in answer.hits]
        for query, answer in zip(task.queries, answers, strict=True)
    }
    ours = [one["ndcg_at_10_score"] for one in per_query(rankings, task.judged).values()]
    mean = sum(ours) / len(ours)
    assert found.scores["default"]["ndcg_at_10"] == pytest.approx(mean, abs=5.1e-6)


def test_results_lie_as_mteb_lays_them(data: Dataset, tmp_path: Path) -> None:
    encoder = Roles()
    model = NearfarSearch(encoder, "team/my model")
    found = evaluate_under_mteb(model, dataset_task(data, language="deu-Latn"), tmp_path)
    place = tmp_path / "results" / "team__my_model" / encoder.space.fingerprint
    assert found.path == place / "my_shop.json"
    written = json.loads(found.path.read_text())
    assert written["dataset_revision"] == data.digest
    assert written["scores"]["test"][0]["languages"] == ["deu-Latn"]
    assert written["scores"]["test"][0]["main_score"] == found.scores["default"]["ndcg_at_10"]
    meta = json.loads((place / "model_meta.json").read_text())
    assert (meta["name"], meta["revision"]) == ("team/my model", encoder.space.fingerprint)
    read = mteb.ResultCache(tmp_path).load_results(models=["team/my model"], tasks=["my_shop"])
    assert len(read.model_results) == 1


def test_what_is_filed_is_taken_unless_the_data_changed(data: Dataset, tmp_path: Path) -> None:
    encoder = Roles()
    model = NearfarSearch(encoder, "nearfar/x")
    first = evaluate_under_mteb(model, dataset_task(data, name="t"), tmp_path)
    asked = len(encoder.asked)
    again = evaluate_under_mteb(model, dataset_task(data, name="t"), tmp_path)
    assert len(encoder.asked) == asked
    assert again.scores["default"]["ndcg_at_10"] == first.scores["default"]["ndcg_at_10"]
    changed = Dataset(data.folder, {**data.manifest, "digest": "0" * 64})
    other = evaluate_under_mteb(model, dataset_task(changed, name="t"), tmp_path)
    assert len(encoder.asked) > asked
    assert other.dataset_revision == "0" * 64
    other.path.write_text("{}")
    with pytest.raises(BadFile, match=r"t\.json: expected results of mteb"):
        evaluate_under_mteb(model, dataset_task(data, name="t"), tmp_path)


def test_a_task_says_what_it_is_and_leaves_no_file(data: Dataset) -> None:
    task = dataset_task(data, cohort="query.language", split="test")
    assert task.metadata.eval_langs == {"de": ["und-Zyyy"], "en": ["und-Zyyy"],
                                        "other": ["und-Zyyy"]}  # fmt: skip
    assert task.metadata.license == "cc0-1.0"
    task.load_data()
    parts = [task.dataset[subset]["test"] for subset in task.hf_subsets]
    assert [len(part["queries"]) for part in parts] == [30, 25, 6]
    assert all(part["corpus"] is parts[0]["corpus"] for part in parts)
    grades = parts[0]["relevant_docs"]["q1"]
    assert sorted(grades.values()) == [0, 1, 1]  # 0.4 is an answer, and not 0
    assert parts[0]["corpus"][7]["text"].startswith("  ")
    (file,) = parts[0]["corpus"].cache_files
    folder = Path(file["filename"]).parent
    assert folder.exists()
    del task, parts
    gc.collect()
    assert not folder.exists()


def test_what_a_dataset_does_not_have_is_refused(data: Dataset) -> None:
    for unknown in ("query.colour", "document.language", "language"):
        with pytest.raises(BadSetting, match=f"cohort.*{unknown}"):
            dataset_task(data, cohort=unknown)
    with pytest.raises(BadSetting, match="cohort must be one field, not 2"):
        dataset_task(data, cohort="fields")
    with pytest.raises(BadSetting, match="such as deu-Latn"):
        dataset_task(data, language="german")
    with pytest.raises(BadRecord, match="dev split"):
        dataset_task(data, split="dev")
    assert safe_name("a b/c:ä.1") == "a_b_c_ä.1"
