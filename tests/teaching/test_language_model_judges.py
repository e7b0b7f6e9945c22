"""A language model as a judge: what it is asked, what its answers come to, and what goes wrong."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from llm_server import PRICES, FakeClock, JudgeServer, llm, served
from school import JUDGED, TEXTS, Judged, judgments, number, school

from nearfar.data.dataset import Dataset
from nearfar.errors import BadRecord
from nearfar.llm.client import Client
from nearfar.llm.journal import open_journal
from nearfar.model.reranker import Reranker
from nearfar.teaching.llm_judge import Comparer, Grader, LlmJudge
from nearfar.teaching.prompts import DUEL, RUBRIC
from nearfar.teaching.questions import Judging, Questioner
from nearfar.teaching.teach import Run, teach

DOCUMENTS = ["say 0", "say 1", "say 5", "say 9"]


def grade(query: str, document: str) -> int:
    return max(0, 3 - round(abs(number(query) - number(document))))


@contextmanager
def judge(
    server: JudgeServer,
    path: Path,
    kind: type[LlmJudge] = Grader,  # type: ignore[valid-type]
    *,
    limit: dict[str, object] | None = None,
    **facts: object,
) -> Iterator[LlmJudge]:
    settings = llm(server.address, **(limit or {}))
    judging = Judging(llm=settings, **facts)  # type: ignore[arg-type]
    with open_journal(path) as journal:
        spent = journal.before.total_usd(settings) or 0.0
        client = Client(server.endpoint(settings), settings, FakeClock(), spent_usd=spent)
        yield kind(Questioner(judging, client, journal))


def z(mean: float) -> float:
    p = (mean + 0.25) / 3.5
    return float(np.log(p / (1 - p)))


@pytest.mark.parametrize("together", [1, 3, 9])
def test_grades_become_logits_in_the_order_given(together: int, tmp_path: Path) -> None:
    with served(JudgeServer(grade=grade)) as server, judge(
        server, tmp_path / "j", documents_per_request=together
    ) as found:  # fmt: skip
        assert isinstance(found, Reranker)
        scores = found.score("ask 0", DOCUMENTS)
    assert scores.tolist() == pytest.approx([z(3), z(2), z(0), z(0)])
    assert len(server.asked) == 2 * -(-4 // together)  # each pair twice
    assert found.ratings.share == found.ratings.alpha == 1


def test_documents_stand_in_another_order_each_time(tmp_path: Path) -> None:
    with served(JudgeServer(grade=grade)) as server, judge(
        server, tmp_path / "j", documents_per_request=4, repeats=6
    ) as found:  # fmt: skip
        found.score("ask 0", DOCUMENTS)
    orders = {tuple(request["documents"]) for request in server.asked}
    assert len(orders) > 3
    assert {tuple(sorted(order)) for order in orders} == {tuple(DOCUMENTS)}


def test_the_mean_of_repeats_counts_and_disagreement_is_measured(tmp_path: Path) -> None:
    calls = iter(range(99))
    with served(JudgeServer(grade=lambda q, d: 3 if next(calls) % 2 else 1)) as server, judge(
        server, tmp_path / "j", repeats=2, limit={"concurrency": 1}
    ) as found:  # fmt: skip
        scores = found.score("ask 0", ["say 0"])
    assert scores.tolist() == pytest.approx([z(2)])
    assert found.ratings.share == 0


@pytest.mark.parametrize("trouble", ["malformed", "refuse", "400"])
def test_what_is_no_grade_is_set_aside_and_nothing_is_guessed(trouble: str, tmp_path: Path) -> None:
    server = JudgeServer(grade=grade, trouble=lambda n, q: trouble if q == "ask 9" else "")
    with served(server), judge(server, tmp_path / "j", repeats=1) as found:
        pairs = torch.tensor([(0, 0), (1, 0)])
        scores = found.score_pairs(["ask 0", "ask 9"], DOCUMENTS, pairs)
        assert scores[0].item() == pytest.approx(z(3))
        assert scores[1].isnan()
        asked = found.questioner
        if trouble == "400":
            assert (asked.failed, asked.states["open"]) == (1, 1)
        else:
            assert asked.states[{"refuse": "refused"}.get(trouble, trouble)] == 1
            assert len(server.asked) == 1 + (3 if trouble == "malformed" else 1)


def test_nothing_is_paid_twice(tmp_path: Path) -> None:
    with served(JudgeServer(grade=grade)) as server:
        for documents in (DOCUMENTS[:2], DOCUMENTS, DOCUMENTS):
            with judge(server, tmp_path / "j", repeats=2) as found:
                found.score("ask 0", documents)
        assert len(server.asked) == 8
        with judge(server, tmp_path / "j", repeats=3) as found:
            found.score("ask 0", DOCUMENTS)
        assert len(server.asked) == 12


def test_equal_texts_are_asked_about_once(tmp_path: Path) -> None:
    with served(JudgeServer(grade=grade)) as server, judge(
        server, tmp_path / "j", repeats=1
    ) as found:  # fmt: skip
        assert found.score("ask 0", ["say 0"] * 8).tolist() == pytest.approx([z(3)] * 8)
    assert len(server.asked) == 1


def test_the_limit_holds_and_what_is_there_is_used(tmp_path: Path) -> None:
    with served(JudgeServer(grade=grade)) as server:
        limit = {**PRICES, "limit_usd": 3.0, "max_tokens": 1, "concurrency": 1}
        with judge(server, tmp_path / "j", repeats=1, limit=limit) as found:
            scores = found.score("ask 0", [f"say {place}" for place in range(36)])
            assert found.questioner.limit_reached
        bill = (server.input_tokens * 1_000 + server.output_tokens * 5_000) / 1e6
    assert 0 < int((~scores.isnan()).sum()) < 36
    assert bill <= 3.0


@pytest.mark.parametrize("repeats", [1, 2])
def test_comparisons_become_strengths(repeats: int, tmp_path: Path) -> None:
    with served(JudgeServer(grade=grade)) as server, judge(
        server, tmp_path / "j", Comparer, repeats=repeats, cycles=3
    ) as found:  # fmt: skip
        pairs = torch.tensor([(0, k) for k in range(4)] + [(1, 0)])
        scores = found.score_pairs(["ask 0", "ask 5"], DOCUMENTS, pairs)
    assert scores[0] > scores[1] > max(scores[2], scores[3])
    assert scores[2] == pytest.approx(scores[3].item(), abs=1e-6)  # both grade 0: a tie
    assert scores[4].isnan()  # alone: no one to meet
    assert all(len(request["documents"]) == 2 for request in server.asked)


def test_a_judge_that_favours_the_first_place_learns_nothing_from_it(tmp_path: Path) -> None:
    class First(JudgeServer):
        def judge(self, said: str, query: str, documents: list[str]) -> list[int]:
            return [1]

    with served(First()) as server, judge(server, tmp_path / "j", Comparer, repeats=2) as found:
        scores = found.score("ask 0", DOCUMENTS)
    assert scores.tolist() == pytest.approx([0, 0, 0, 0], abs=1e-6)
    assert found.ratings.share == 0


def test_a_fingerprint_names_model_prompt_and_settings() -> None:
    base = Judging(llm=llm("http://localhost"))
    names = {
        kind(Questioner(judging, None, None)).fingerprint
        for kind in (Grader, Comparer)
        for judging in (
            base,
            replace(base, seed=1),
            replace(base, repeats=3),
            replace(base, llm=llm("http://localhost", model="n")),
        )
    }
    assert len(names) == 8
    elsewhere = replace(base, llm=llm("http://elsewhere", concurrency=9))
    one, other = (Grader(Questioner(judging, None, None)) for judging in (base, elsewhere))
    assert one.fingerprint == other.fingerprint  # where it stands moves no score


@pytest.mark.parametrize(
    "text", ["", "[1", "1", "[1]", "[1, 2, 3]", "[1, 4]", "[1, -1]", "[1, 2.0]", "[true, 1]",
             '["1", "2"]', "[1, 2] as asked", "[[1, 2]]", "null"],
)  # fmt: skip
def test_an_answer_is_read_strictly(text: str) -> None:
    assert RUBRIC.parse(text, 2) is None


def test_a_fence_is_taken_off() -> None:
    assert RUBRIC.parse("```json\n[1, 2]\n```", 2) == [1, 2]
    assert DUEL.parse("[0]", 2) == [0]


def test_a_taught_dataset_names_model_and_prompt(tmp_path: Path) -> None:
    old = school(tmp_path / "data", TEXTS, JUDGED)
    with served(JudgeServer(grade=grade)) as server, judge(server, tmp_path / "j") as found:
        teach(found, old, tmp_path / "new")
    answer = judgments(tmp_path / "new")["q", "answer"]
    assert answer.score == pytest.approx(z(3))
    assert answer.origin.facts["prompt"] == RUBRIC.hash
    (dataset, prompt) = Dataset.open(tmp_path / "new").manifest["parents"]
    assert prompt == {"kind": "prompt", "path": RUBRIC.hash, "text": RUBRIC.text}
    assert dataset["taught_with"]["judging"]["model"] == "m"
    assert "127.0.0.1" not in str(dataset)


def test_a_judge_that_disagrees_with_people_is_stopped_early(tmp_path: Path) -> None:
    documents = {f"d{i}": f"text {i}" for i in range(80)}
    queries = {f"q{i}": f"ask {i}" for i in range(60)}
    kinds = ["human"] * 12 + ["click"] * 48
    judged: list[Judged] = [(f"q{i}", f"d{i}", 1, "train", kinds[i]) for i in range(60)]
    old = school(tmp_path / "data", documents, judged, queries=queries)
    with served(JudgeServer(grade=lambda q, d: 0)) as server, judge(
        server, tmp_path / "j", repeats=1
    ) as found:  # fmt: skip
        with pytest.raises(BadRecord, match=r"0% of 12 pairs .*--allow-disagreement"):
            teach(found, old, tmp_path / "new", run=Run(least_agreement=0.4))
        assert len(server.asked) == 12  # of 60
        teach(found, old, tmp_path / "new", run=Run(least_agreement=None))
        assert len(server.asked) == 60
