"""Our models do tasks of `mteb` that we did not make: here the small ones that it brings along."""

import math

import pytest
from shop import Lengths, Roles

from nearfar.interop.mteb_models import NearfarCrossEncoder, NearfarEncoder
from nearfar.interop.mteb_search import NearfarSearch, Stages

mteb = pytest.importorskip("mteb")
mocks = pytest.importorskip("mteb.mocks.mock_tasks")

ENCODER = NearfarEncoder(Roles(), "nearfar/encoder")
SEARCH = NearfarSearch(Roles(), "nearfar/search")
TWO_STAGES = NearfarSearch(Roles(), "nearfar/two", Stages(reranker=Lengths(), candidates=5))
CROSS = NearfarCrossEncoder(Lengths(), "nearfar/cross")


def score(model: object, task: str) -> float:
    found = mteb.evaluate(
        model, getattr(mocks, task)(), cache=None, co2_tracker=False, show_progress_bar=False
    )
    return float(found.task_results[0].get_score())


@pytest.mark.parametrize("task", ["MockSTSTask", "MockTextZeroShotClassificationTask"])
def test_an_encoder_does_tasks_without_sides(task: str) -> None:
    assert math.isfinite(score(ENCODER, task))


@pytest.mark.parametrize("task", ["MockRetrievalTask", "MockRerankingTask"])
def test_a_search_finds_what_its_encoder_finds(task: str) -> None:
    assert score(SEARCH, task) == score(ENCODER, task)


@pytest.mark.parametrize("task", ["MockRerankingTask", "MockInstructionReranking"])
def test_a_reranking_task_is_ordered_alike_by_a_pipeline_and_its_reranker(task: str) -> None:
    assert score(TWO_STAGES, task) == score(CROSS, task)
