"""Tasks beyond retrieval on datasets: what fits, what comes out, and what two models differ by."""

from pathlib import Path

import pytest
from asked import asked
from doubles import LETTERS, LetterEncoder
from scipy import stats
from sklearn.metrics import average_precision_score
from task_data import WORDS, EndEncoder, Pair, classified, graded, labelled, written

from nearfar.data.dataset import Dataset
from nearfar.errors import BadFile, BadRecord, BadSetting
from nearfar.evaluation.judged_pairs import fitting, read_judged_pairs
from nearfar.evaluation.scores import read_scores
from nearfar.evaluation.task_scores import (
    TaskScores,
    TaskSettings,
    clusters_of_pairs,
    compare_tasks,
)
from nearfar.evaluation.tasks import evaluate_task
from nearfar.pipeline.task_evaluating import measure_tasks, require_tasks
from nearfar.records import Document, Query, Split


def named(found: TaskScores) -> dict[str, float]:
    return {measure.name: measure.base.mean for measure in compare_tasks(found)}


def test_sts_is_the_correlation_of_cosines_and_grades(tmp_path: Path) -> None:
    dataset, encoder = graded(tmp_path / "d"), LetterEncoder()
    found = evaluate_task(encoder, dataset, "test", "sts")
    pairs = read_judged_pairs(dataset, "test")
    one, other = encoder.encode(pairs.query, "query"), encoder.encode(pairs.document, "document")
    cosines = (one * other).sum(1).numpy()
    assert named(found) == pytest.approx({
        "spearman_score": stats.spearmanr(cosines, pairs.grades)[0],
        "pearson_score": stats.pearsonr(cosines, pairs.grades)[0],
    }, abs=1e-6)  # fmt: skip
    assert found.scores.queries[0] == f"{pairs.query[0]} {pairs.document[0]}"
    (spearman, _) = compare_tasks(found)
    assert spearman.base.low is not None
    assert -1 < spearman.base.low < spearman.base.mean
    assert fitting(dataset, "test") == ("sts", "similarity")


def test_pairs_are_told_apart_by_a_threshold_of_another_split(tmp_path: Path) -> None:
    dataset, encoder = classified(tmp_path / "d", ("dev", "test")), LetterEncoder()
    found = evaluate_task(encoder, dataset, "test", "pairs")
    pairs = read_judged_pairs(dataset, "test")
    one, other = encoder.encode(pairs.query, "query"), encoder.encode(pairs.document, "document")
    cosines = (one * other).sum(1).double().numpy()
    means = named(found)
    expected = average_precision_score(pairs.grades > 0, cosines)
    assert means["pair_average_precision_score"] == pytest.approx(expected)
    threshold = float(found.facts["accuracy_threshold"])
    right = (cosines >= threshold) == (pairs.grades > 0)
    assert found.scores.values["pair_accuracy_score"].tolist() == right.astype(float).tolist()
    assert 0.5 < means["pair_accuracy_score"] <= 1
    assert found.facts["chosen_on"] == "dev"
    alone = classified(tmp_path / "alone", ("test",))
    without = evaluate_task(encoder, alone, "test", "pairs")
    assert list(named(without)) == ["pair_average_precision_score"]
    assert "the dev split has not both kinds" in str(without.facts["no_threshold"])


def test_triplets_are_counted_for_each_query(tmp_path: Path) -> None:
    judged: list[tuple[str, str, float, Split]] = [
        ("a", "same", 1, "test"),
        ("a", "far", 0, "test"),
        ("a", "near", 0, "test"),
        ("b", "near", 1, "test"),
        ("b", "far", 0, "test"),
        ("c", "same", 1, "test"),
    ]
    texts = {"same": "abcd", "near": "abce", "far": "wxyz"}
    asks = {"a": "abcd", "b": "wxyz", "c": "abcd"}
    dataset = asked(tmp_path / "d", texts, asks, judged)
    found = evaluate_task(LetterEncoder(), dataset, "test", "triplets")
    assert dict(zip(found.scores.queries, found.scores.values["triplet_accuracy_score"].tolist(),
                    strict=True)) == {"a": 1.0, "b": 0.0}  # fmt: skip
    assert found.scores.clusters == ("a", "b")
    assert fitting(dataset, "test") == ("pairs", "similarity", "triplets")


def test_labels_are_guessed_from_what_is_known_and_never_from_what_is_asked(
    tmp_path: Path,
) -> None:
    dataset = labelled(tmp_path / "d")
    found = evaluate_task(LetterEncoder(), dataset, "test", "labels")
    assert named(found) == {"neighbours_accuracy_score": 1.0, "neighbours_macro_f1_score": 1.0}
    asks = len(set(read_judged_pairs(dataset, "test").query))
    learned = len(set(read_judged_pairs(dataset, "train").query))
    assert found.facts == {"field": "intent", "labels": 3, "labels_known": 3, "neighbours": 5,
                           "texts_known": 12 + learned}  # fmt: skip
    assert len(found.scores.queries) == asks
    assert found.scores.cohorts["query.intent"].count("late") == asks // 3
    assert fitting(dataset, "test") == ("labels", "clustering")


def test_clusters_find_labels_again(tmp_path: Path) -> None:
    found = evaluate_task(LetterEncoder(), labelled(tmp_path / "d"), "test", "clustering")
    assert named(found)["v_measure_score"] > 0.7
    assert found.facts["seeds"] == 5
    assert not found.scores.values
    few = TaskSettings(clustered_texts=9, seeds=(3,))
    part = evaluate_task(LetterEncoder(), labelled(tmp_path / "e"), "test", "clustering",
                         settings=few)  # fmt: skip
    assert len(part.scores.queries) == 9


def test_translations_are_found(tmp_path: Path) -> None:
    pairs: list[Pair] = [(word, word[::-1].upper(), 1.0, "test") for word in WORDS]
    dataset = written(tmp_path / "d", pairs, kind="translation")
    assert set(named(evaluate_task(LetterEncoder(), dataset, "test", "bitext")).values()) == {1.0}
    assert fitting(dataset, "test") == ("bitext", "analogies")


def test_two_models_are_compared_text_by_text(tmp_path: Path) -> None:
    dataset = labelled(tmp_path / "d")
    for task in ("labels", "clustering"):
        good, bad = (evaluate_task(encoder, dataset, "test", task)
                     for encoder in (LetterEncoder(), EndEncoder()))  # fmt: skip
        for measure in compare_tasks(bad, good):
            assert measure.difference is not None
            assert measure.tuned is not None
            change = measure.tuned.mean - measure.base.mean
            assert measure.difference.mean == pytest.approx(change)
            assert change > 0
    other = evaluate_task(LetterEncoder(), graded(tmp_path / "e"), "test", "sts")
    with pytest.raises(ValueError, match="on the same texts"):
        compare_tasks(other, good)


def test_a_dataset_without_the_judgments_says_what_it_has(tmp_path: Path) -> None:
    dataset = labelled(tmp_path / "d")
    with pytest.raises(BadRecord, match=r"as the task sts needs.*120 of origin label") as caught:
        evaluate_task(LetterEncoder(), dataset, "test", "sts")
    assert "It does for labels, clustering. See `nearfar import --as`" in str(caught.value)
    with pytest.raises(BadRecord, match="found judgments: none"):
        evaluate_task(LetterEncoder(), dataset, "dev", "bitext")
    with pytest.raises(BadSetting, match=r"no task 'label'\. Did you mean 'labels'"):
        evaluate_task(LetterEncoder(), dataset, "test", "label")
    with pytest.raises(BadSetting, match=r"tasks\.neighbours must be 1 or more, got 0"):
        TaskSettings(neighbours=0)


def test_texts_without_a_label_are_refused(tmp_path: Path) -> None:
    pairs: list[Pair] = [(f"{one}{other}", other, 1.0, "test") for one in "ab" for other in "xy"]
    dataset = written(tmp_path / "d", pairs, kind="label", fields={"x": {"lang": "en"}})
    with pytest.raises(BadRecord, match="a field with two labels or more"):
        evaluate_task(LetterEncoder(), dataset, "test", "clustering")


def test_what_a_renamed_origin_was_read_as_still_counts(tmp_path: Path) -> None:
    dataset = written(tmp_path / "d", [(a, a + "!", 1.0, "test") for a in WORDS], kind="human")
    assert fitting(dataset, "test") == ()
    told = Dataset(dataset.folder, {**dataset.manifest, "parents": [{"kind": "translations"}]})
    assert fitting(told, "test") == ("bitext", "analogies")


def test_everything_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    dataset, folder = labelled(tmp_path / "d"), tmp_path / "out"
    models = (EndEncoder(), LetterEncoder())
    with pytest.raises(BadRecord):
        measure_tasks(folder, dataset, models, "test", ["labels", "sts"])
    assert not folder.exists()
    reports = measure_tasks(folder, dataset, models, "test", ["labels", "retrieval", "clustering"])
    assert [report.task for report in reports] == ["labels", "clustering"]
    base, tuned = (read_scores(folder / name / "labels") for name in ("base", "tuned"))
    assert base.queries == tuned.queries
    assert tuned.space == LETTERS.to_json()
    assert tuned.values["neighbours_accuracy_score"].mean() == reports[0].measures[0].tuned.mean  # type: ignore[union-attr]
    with pytest.raises(BadFile):
        measure_tasks(folder, dataset, models, "test", ["labels"])
    measure_tasks(folder, dataset, (models[0], None), "test", ["labels"], replace=True)
    assert not (folder / "tuned").exists()
    require_tasks(dataset, "test", ["retrieval", "labels"])


def test_all_pairs_of_a_query_hang_together_whatever_the_groups_of_their_documents() -> None:
    one, other = (Query(id=id_, content=id_, source="x") for id_ in ("q1", "q2"))
    session = Query(id="q3", content="q3", group="session", source="x")
    pages = [Document(id=f"d{i}", content="d", group=f"page {i}", source="x") for i in range(2)]
    plain = Document(id="d2", content="d", source="x")
    pairs = [(one, pages[0]), (one, pages[1]), (other, plain), (session, pages[0]), (other, None)]
    assert clusters_of_pairs(pairs) == ("page 0", "page 0", "q2", "session", "q2")
