"""What a dry run counts: each message once, and of very many a sample."""

from pathlib import Path

import numpy as np
import pytest
import torch
from asked_judges import grade, judge
from llm_server import PRICES, JudgeServer, served, words

from nearfar.teaching import estimating
from nearfar.teaching.estimating import Estimate, Estimator
from nearfar.teaching.questions import Questioner


def asked(tmp_path: Path, documents: list[str], blocks: int) -> tuple[Estimate, JudgeServer, int]:
    """Estimate the same questions so many times; return also how many tokens they truly have."""
    with served(JudgeServer(grade=grade)) as server, judge(
        server, tmp_path / "j", repeats=2, limit={**PRICES, "api": "anthropic"}
    ) as found:  # fmt: skip
        pairs = torch.tensor([(0, place) for place in range(len(documents))])
        questions = found.questions(["ask 0"], documents, pairs)
        estimator = Estimator(found.questioner)
        for _ in range(blocks):
            estimator.add(questions)
        told = ["\n".join([one.messages[1].content, one.messages[0].content]) for one in questions]
        truth = sum(words(text) for text in told)
        return estimator.settle(), server, truth


@pytest.mark.parametrize("blocks", [1, 3])
def test_each_message_is_counted_once_and_each_question_paid_once(
    blocks: int, tmp_path: Path
) -> None:
    found, server, truth = asked(tmp_path, [f"say {i}" for i in range(20)], blocks)
    assert (found.messages, found.requests, server.counted) == (20, 40, 20)
    assert (found.counted, found.sampled) == (True, 0)
    assert found.input_tokens == truth
    assert found.most_input_tokens == 3 * truth
    assert not server.asked


def test_of_very_many_a_sample_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimating, "_SAMPLE", 50)
    dice = np.random.default_rng(0)
    documents = [f"{'word ' * int(dice.integers(1, 60))}{i}" for i in range(300)]
    found, server, truth = asked(tmp_path, documents, 2)
    assert (found.messages, found.requests, found.sampled, server.counted) == (300, 600, 50, 50)
    assert found.input_tokens == pytest.approx(truth, rel=0.05)
    assert found.most_input_tokens == pytest.approx(3 * found.input_tokens, abs=2)
    (tmp_path / "again").mkdir()
    again, _, _ = asked(tmp_path / "again", documents, 1)
    assert again == found  # the same dice


def test_without_a_counter_all_bytes_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimating, "_SAMPLE", 5)
    with served(JudgeServer(grade=grade)) as server, judge(server, tmp_path / "j") as found:
        blind = Questioner(found.questioner.judging, None, None)
        estimator = Estimator(blind)
        pairs = torch.tensor([(0, place) for place in range(9)])
        estimator.add(found.questions(["ask 0"], [f"say {i}" for i in range(9)], pairs))
    estimate = estimator.settle()
    assert (estimate.counted, estimate.sampled, estimate.requests) == (False, 0, 18)
    assert estimate.input_tokens > 18 * 500
