"""What a report says of cohorts, clusters and nothing at all, and what it refuses."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from asked import asked
from doubles import LetterEncoder

from nearfar.cli.evaluate import show_table
from nearfar.data.dataset import Dataset
from nearfar.data.writer import write_dataset
from nearfar.errors import BadFile, BadSetting
from nearfar.evaluation.evaluate import Evidence, evaluate, write_per_query
from nearfar.evaluation.intervals import Estimate
from nearfar.evaluation.measure import Measure
from nearfar.evaluation.pictures import cohort_bars
from nearfar.evaluation.report import read_report, write_report
from nearfar.evaluation.settings import Evaluation
from nearfar.fingerprint import content_id
from nearfar.pipeline.evaluating import evaluate_into
from nearfar.pipeline.recipe import free_settings
from nearfar.records import Document, Judgment, Origin, Query

SPACE = ("uniformity_loss", "isotropy_score", "effective_rank_score", "hubness_loss")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Sixty queries: the first half of sessions of five, the others of documents in pairs."""
    documents = {f"d{i}": "abcdefghijklmnopqrstuvwxyz"[i % 26] * (i // 26 + 1) for i in range(60)}
    documents["d60"] = "zebra"
    queries = {f"q{i}": documents[f"d{i}"] + "a" for i in range(60)}
    groups = {f"q{i}": f"session {i // 5}" for i in range(30)}
    groups |= {f"d{i}": f"page {i // 2}" for i in range(60)}
    judged = [(f"q{i}", f"d{i}", 1.0, "test") for i in range(60)]
    folder = tmp_path_factory.mktemp("report") / "d"
    return asked(folder, documents, queries, judged, groups)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def same(dataset: Dataset) -> Evidence:
    return evaluate(LetterEncoder(), LetterEncoder(), dataset, Evaluation())


def test_a_query_belongs_to_its_own_group_else_to_that_of_its_answer(same: Evidence) -> None:
    found = same.report.measure("map_score").base
    assert (found.n, found.clusters) == (60, 6 + 15)


def test_of_equal_models_every_difference_is_nothing_at_all(same: Evidence) -> None:
    for found in same.report.measures:
        if found.name not in SPACE:
            change = found.difference
            assert change is not None
            assert (change.mean, change.n, change.clusters) == (0, 60, 21)
            # "Nothing differed in 21 groups" still leaves room for what was not seen.
            assert change.low is not None
            assert change.high is not None
            assert change.low < 0 < change.high
        assert found.verdict == "unclear"


def test_a_report_holds_no_nan_and_is_read_as_written(same: Evidence, tmp_path: Path) -> None:
    write_report(same.report, tmp_path)
    text = (tmp_path / "report.json").read_text()
    assert "NaN" not in text
    assert "Infinity" not in text
    assert read_report(tmp_path) == same.report


def test_a_nan_is_never_written(same: Evidence, tmp_path: Path) -> None:
    bad = Measure(name="x", base=Estimate(math.nan, None, None, 1, 1))
    with pytest.raises(ValueError, match="JSON"):
        write_report(replace(same.report, measures=(bad,)), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["", "[]", "null", "{", '{"format": 1, "measures": 3}', "\udc00"])
def test_a_damaged_report_is_refused_in_one_message(text: str, tmp_path: Path) -> None:
    (tmp_path / "report.json").write_bytes(text.encode(errors="surrogatepass"))
    with pytest.raises(BadFile, match=r"report\.json: expected a report .* `nearfar evaluate`"):
        read_report(tmp_path)


def test_a_report_of_another_version_is_refused(same: Evidence, tmp_path: Path) -> None:
    write_report(same.report, tmp_path)
    facts = json.loads((tmp_path / "report.json").read_text())
    (tmp_path / "report.json").write_text(json.dumps(facts | {"format": 2}))
    with pytest.raises(BadFile, match="its format is 2, not 1"):
        read_report(tmp_path)


def test_alignment_is_the_mean_over_the_answers_of_a_query(tmp_path: Path) -> None:
    documents = {"same": "ab", "apart": "cd", "none": "ef"}
    judged = [("q", "same", 1.0, "test"), ("q", "apart", 1.0, "test"), ("q", "none", 0.0, "test")]
    dataset = asked(tmp_path / "d", documents, {"q": "ab"}, judged)  # type: ignore[arg-type]
    found = evaluate(LetterEncoder(), None, dataset, Evaluation()).report
    assert found.measure("alignment_loss").base.mean == pytest.approx((0 + 2) / 2)


def test_hits_are_kept_query_by_query(same: Evidence, tmp_path: Path) -> None:
    write_per_query(same, tmp_path)
    table = pq.read_table(tmp_path / "per_query.parquet").to_pylist()
    assert [row["query_id"] for row in table] == [f"q{i}" for i in range(60)]
    for row in table:
        answer = row["query_id"].replace("q", "d")
        place = row["base_hits"].index(answer) + 1 if answer in row["base_hits"] else math.inf
        assert row["base_mrr_at_10_score"] == pytest.approx(1 / place)
        assert row["base_hits"] == row["tuned_hits"]


def test_a_misspelled_cohort_is_refused_with_the_choices(dataset: Dataset) -> None:
    with pytest.raises(BadSetting, match=r"query\.sise is no field"):
        evaluate(LetterEncoder(), None, dataset, Evaluation(cohorts=("query.sise",)))


def test_a_depth_that_would_make_recall_at_100_a_lie_is_refused() -> None:
    with pytest.raises(BadSetting, match="depth must be 100 or more, got 50"):
        Evaluation(depth=50)


def test_judgments_that_are_set_aside_are_no_choice() -> None:
    with pytest.raises(BadSetting, match="'train', 'dev' or 'test', got 'aside'"):
        free_settings(["evaluation.split=aside"])


def test_more_of_a_loss_is_worse() -> None:
    base, more = Estimate(1, 0.9, 1.1, 99, 99), Estimate(0.5, 0.4, 0.6, 99, 99)
    less = Estimate(-0.5, -0.6, -0.4, 99, 99)
    for name, up, down in [("map_score", "better", "worse"), ("alignment_loss", "worse", "better")]:
        assert Measure(name=name, base=base, tuned=base, difference=more).verdict == up
        assert Measure(name=name, base=base, tuned=base, difference=less).verdict == down


def test_one_query_is_no_queries(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts, judged = {"d": "abc", "e": "xyz"}, [("q", "d", 1.0, "test"), ("r", "e", 0.0, "test")]
    data = asked(tmp_path / "d", texts, {"q": "ab", "r": "xy"}, judged)  # type: ignore[arg-type]
    found = evaluate_into(tmp_path / "r", data, (LetterEncoder(), LetterEncoder()), Evaluation())
    show_table(found)
    told = " ".join(capsys.readouterr().out.split())
    assert "over 1 query." in told
    assert "1 query of the test split against 2 documents;" in told
    page = " ".join((tmp_path / "r/report.html").read_text().split())
    assert "1 query of the test split, each against all 2 documents." in page
    assert "1 judged query without an answer was left out." in page


def test_a_field_whose_values_are_all_rare_makes_no_cohort(tmp_path: Path) -> None:
    origin = Origin(kind="human", source="x")
    with write_dataset(tmp_path / "d", licence="CC0-1.0", parents=[]) as writer:
        for i in range(40):
            fields = {"rare": f"v{i % 4}", "half": i % 2 == 0, "unique": i}
            fields["many"] = str(max(i, 19))  # 21 values, one of them of twenty queries
            writer.add(Document(id=f"d{i}", content=f"{i} apple", source="x"))
            writer.add(Query(id=f"q{i}", content=f"{i} apple", source="x", fields=fields))
            writer.add(Judgment(query_id=f"q{i}", document_id=f"d{i}", grade=1, split="test",
                                origin=origin))  # fmt: skip
    dataset = Dataset.open(tmp_path / "d")
    found = evaluate(LetterEncoder(), None, dataset, Evaluation()).report.cohorts
    assert {(c.field, c.value) for c in found} == {("query.half", "True"), ("query.half", "False")}
    settings = Evaluation(cohorts=("query.rare",))
    asked_for = evaluate(LetterEncoder(), None, dataset, settings).report.cohorts
    assert {(c.field, c.value, c.base.n) for c in asked_for} == {("query.rare", "other", 40)}


def test_a_value_with_dollars_is_no_formula() -> None:
    found = Estimate(0.5, 0.4, 0.6, 30, 30)
    price = Measure(name="ndcg_at_10_score", base=found, field="query.price", value="$A\\new$")
    drawn = cohort_bars([price])
    assert drawn is not None
    assert "$A\\new$" in drawn


def test_what_is_new_since_training_is_known_where_that_is(dataset: Dataset) -> None:
    wanted = Evaluation(cohorts=("derived.new_since_training",))
    learned = frozenset(content_id(d.content) for d in dataset.documents() if d.id < "d3")
    found = evaluate(LetterEncoder(), None, dataset, wanted, trained=learned)
    sizes = {one.value: one.base.n for one in found.report.cohorts if one.name == "map_score"}
    assert sizes == {"yes": 37, "no": 23}
    with pytest.raises(BadSetting, match="nearfar evaluate --trained-on"):
        evaluate(LetterEncoder(), None, dataset, wanted)
