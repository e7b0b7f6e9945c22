"""A judge reads what models find: per query, for two models alike, and on disk."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from asked import asked
from doubles import LetterEncoder
from task_data import WORDS, EndEncoder

from nearfar.data.dataset import Dataset
from nearfar.errors import BadSetting
from nearfar.evaluation.relevance_task import ListJudging, judge_lists
from nearfar.evaluation.scores import read_scores
from nearfar.evaluation.task_scores import Asking
from nearfar.pipeline.task_evaluating import measure_tasks, require_tasks


def data(folder: Path) -> Dataset:
    return asked(
        folder, {f"d-{word}": f"{word}s" for word in WORDS}, {f"q-{word}": word for word in WORDS},
        [(f"q-{word}", f"d-{word}", 1, "test") for word in WORDS],
    )  # fmt: skip


def shares(query: str, documents: Sequence[str], repeat: int) -> list[float]:
    """How many letters two texts share; strict in odd repeats."""
    both = [len(set(query) & set(one)) / len(set(query) | set(one)) for one in documents]
    return [share**2 for share in both] if repeat % 2 else both


def test_each_query_gets_the_mean_of_what_its_first_documents_are_worth(tmp_path: Path) -> None:
    dataset, encoder = data(tmp_path / "d"), LetterEncoder()
    judging = ListJudging(judge=shares, facts={"judge": "letters"}, depth=3, repeats=2)
    models = (EndEncoder(), encoder)
    [report] = measure_tasks(tmp_path / "out", dataset, models, "test", ["relevance"],
                             judging=judging)  # fmt: skip
    found = read_scores(tmp_path / "out/tuned/relevance")
    queries, documents = encoder.encode(WORDS, "query"), [f"{word}s" for word in WORDS]
    cosines = (queries @ encoder.encode(documents, "document").T).tolist()
    for row, word in enumerate(WORDS):
        best = sorted(range(len(WORDS)), key=lambda place: -cosines[row][place])[:3]
        lists = [shares(word, [documents[place] for place in best], repeat) for repeat in (0, 1)]
        means = [math.fsum(own) / 3 for own in lists]
        place = found.queries.index(f"q-{word}")
        assert found.values["context_relevance_score"][place] == pytest.approx(np.mean(means))
        spread = found.values["relevance_spread_error"][place]
        assert spread == pytest.approx(np.std(means, ddof=1))
        assert found.hits[place] == tuple(f"d-{WORDS[i]}" for i in best)
    relevance, spread_ = report.measures
    assert relevance.verdict == "better"  # than a model that sees the last letter alone
    assert spread_.tuned is not None
    told = json.loads((tmp_path / "out/tasks.json").read_text())["tasks"][0]["facts"]
    assert told == {"judge": "letters", "depth": 3, "repeats": 2, "not_judged_queries": 0,
                    "not_judged_documents": 0}  # fmt: skip


def test_a_query_that_one_list_is_not_judged_of_is_left_out_for_both(tmp_path: Path) -> None:
    dataset = data(tmp_path / "d")
    first = True

    def judge(query: str, documents: Sequence[str], repeat: int) -> list[float]:
        nonlocal first
        silent, first = query == "fig" and first, first and query != "fig"
        return [math.nan if silent else 0.5] * len(documents)

    askings = [Asking(encoder=one, dataset=dataset, split="test")
               for one in (LetterEncoder(), EndEncoder())]  # fmt: skip
    base, tuned = judge_lists(askings, ListJudging(judge=judge, depth=4))
    assert base.scores.queries == tuned.scores.queries
    assert "q-fig" not in base.scores.queries
    assert len(base.scores.queries) == len(WORDS) - 1
    assert (base.facts["not_judged_documents"], tuned.facts["not_judged_documents"]) == (4, 0)
    assert base.facts["not_judged_queries"] == tuned.facts["not_judged_queries"] == 1
    assert list(base.scores.values) == ["context_relevance_score"]  # asked once: no spread


def test_some_of_the_queries_are_the_same_each_time(tmp_path: Path) -> None:
    asking = Asking(encoder=LetterEncoder(), dataset=data(tmp_path / "d"), split="test")
    judging = ListJudging(judge=shares, depth=1, queries=5)
    [one], [other] = judge_lists([asking], judging), judge_lists([asking], judging)
    assert len(one.scores.queries) == 5
    assert one.scores.queries == other.scores.queries


def test_without_a_judge_nothing_is_written(tmp_path: Path) -> None:
    dataset = data(tmp_path / "d")
    require_tasks(dataset, "test", ["relevance"])
    with pytest.raises(BadSetting, match="expected a judge, found none"):
        measure_tasks(tmp_path / "out", dataset, (LetterEncoder(), None), "test", ["relevance"])
    assert not (tmp_path / "out").exists()
    for wrong in ({"depth": 0}, {"repeats": 0}, {"queries": 0}):
        with pytest.raises(BadSetting, match=f"{next(iter(wrong))} must be 1 or more, got 0"):
            ListJudging(judge=shares, **wrong)
