"""Several datasets in one run: each has its share, its prompts, its loss and its batches."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from courses import SETTINGS, drawn, texts_of
from looking import infonce_of

from nearfar.data.dataset import Dataset
from nearfar.errors import BadFile, BadSetting, Stopped
from nearfar.losses import LossSettings
from nearfar.model.text import TextEncoder
from nearfar.training.batch import Batch
from nearfar.training.course import Course, Task
from nearfar.training.learner import Learner
from nearfar.training.order import Floats
from nearfar.training.store import TokenStore
from nearfar.training.train import Hooks, train


@pytest.mark.parametrize(("weight", "share"), [(0.5, 3), (1.0, 6), (3.0, 18), (0.01, 1)])
def test_a_weight_of_two_is_twice_as_many_passes(
    dataset: Dataset, other: Dataset, opened: Callable[..., Course], weight: float, share: int
) -> None:
    course = opened(Task(dataset=dataset), Task(dataset=other, weight=weight))
    # 36 and 12 pairs, two passes, 4 pairs a batch.
    assert Counter(task for task, _ in drawn(course)) == {0: 18, 1: share}


def test_the_batches_of_all_tasks_come_mixed(
    dataset: Dataset, other: Dataset, opened: Callable[..., Course]
) -> None:
    course = opened(Task(dataset=dataset), Task(dataset=other, weight=3.0))
    came = [task for task, _ in drawn(course)]
    for third in range(0, 36, 12):
        assert 3 <= sum(came[third : third + 12]) <= 9
    seed = opened(
        Task(dataset=dataset), Task(dataset=other, weight=3.0), settings=replace(SETTINGS, seed=1)
    )
    assert came != [task for task, _ in drawn(seed)]


def test_each_task_meets_each_of_its_pairs_once_a_pass_whatever_comes_between(
    dataset: Dataset, other: Dataset, opened: Callable[..., Course]
) -> None:
    course = opened(Task(dataset=dataset), Task(dataset=other))
    for wanted, batches in ((0, 9), (1, 3)):
        known = course.stores[wanted].known
        pairs = set(zip(known.query.tolist(), known.document.tolist(), strict=True))
        came = [met for task, met in drawn(course) if task == wanted]
        for start in (0, batches):
            assert set().union(*came[start : start + batches]) == pairs


def test_a_run_can_be_cut_short_without_another_order(
    dataset: Dataset, other: Dataset, opened: Callable[..., Course]
) -> None:
    tasks = Task(dataset=dataset), Task(dataset=other)
    short = opened(*tasks, settings=replace(SETTINGS, max_steps=7))
    assert short.steps == 7
    assert drawn(short) == drawn(opened(*tasks))[:7]


def test_each_task_has_its_own_prompts(
    dataset: Dataset, other: Dataset, opened: Callable[..., Course], learner: TextEncoder
) -> None:
    tokens = replace(learner.tokens, query_prompt="pa ", document_prompt="ta ")
    learner.tokens = tokens
    course = opened(
        Task(dataset=dataset, query_prompt="ba "),
        Task(dataset=dataset, document_prompt=""),
        Task(dataset=other),
    )
    begins = {0: ("ba ", "ta "), 1: ("pa ", ""), 2: ("pa ", "ta ")}
    met = set()
    plain = {document.content for document in dataset.documents()}
    for step in range(course.steps):
        task, _ = course[step]
        met.add(task)
        queries, documents = texts_of(course, learner, step)
        assert all(text.startswith(begins[task][0]) for text in queries)
        assert all(text.startswith(begins[task][1]) for text in documents)
        if task == 1:
            assert set(documents) <= plain
    assert met == {0, 1, 2}
    assert learner.tokens == tokens  # how the model itself reads texts stays


def test_each_task_has_its_own_batch_size(
    dataset: Dataset, other: Dataset, opened: Callable[..., Course]
) -> None:
    course = opened(Task(dataset=dataset), Task(dataset=other, pairs_per_step=6))
    sizes = {(task, batch.pairs) for task, batch in map(course.__getitem__, range(course.steps))}
    assert sizes == {(0, 4), (1, 6)}
    assert Counter(task for task, _ in drawn(course)) == {0: 18, 1: 4}


def test_each_task_has_its_own_loss_and_temperature(
    dataset: Dataset, other: Dataset, opened: Callable[..., Course], learner: TextEncoder
) -> None:
    course = opened(
        Task(dataset=dataset, loss=LossSettings(temperature=0.2)),
        Task(dataset=other, loss=LossSettings(name="cosine_mse")),
        Task(dataset=other, loss=LossSettings(temperature=0.7)),
    )
    learns = Learner(learner, [task.loss for task in course.tasks], SETTINGS, course.steps)
    seen = set()
    for step in range(8):
        task, batch = course[step]
        learned = learns.learn(step, (task, 0, 1), batch, course.stores[task])
        q, d = learned.outputs[batch.query], learned.outputs[batch.document]
        edges = batch.edges
        cosines = (q[edges.query] * d[edges.document]).sum(1)
        expected = {
            0: lambda: infonce_of(q, d, edges, 0.2),  # noqa: B023 (called at once)
            1: lambda: float((cosines - edges.grade).square().mean()),  # noqa: B023
            2: lambda: infonce_of(q, d, edges, 0.7),  # noqa: B023
        }[task]()
        assert learned.loss == pytest.approx(expected, abs=1e-5)
        assert learned.numbers.get("temperature") == (
            None if task == 1 else pytest.approx((0.2, 0, 0.7)[task])
        )
        seen.add(task)
    assert seen == {0, 1, 2}


def by_length(store: TokenStore) -> Floats:
    """A curriculum: long documents are difficult."""
    return store.lengths[store.known.document].astype(np.float64)


def test_a_curriculum_leans_to_what_is_easy_in_the_first_pass_alone(
    dataset: Dataset, opened: Callable[..., Course]
) -> None:
    course = opened(Task(dataset=dataset, difficulty=by_length))
    lengths = course.stores[0].lengths
    means = np.array([
        np.mean([lengths[document] for _, document in met]) for _, met in drawn(course)
    ])  # fmt: skip
    first, second = means[:9], means[9:]
    assert first[6:].mean() - first[:3].mean() > 4
    assert abs(second[6:].mean() - second[:3].mean()) < 4
    plain = opened(Task(dataset=dataset))
    assert drawn(plain)[9:] == drawn(course)[9:]  # from then on as without one


def test_a_run_with_another_curriculum_is_another_run(
    dataset: Dataset, bert: Path, tmp_path: Path
) -> None:
    def go(difficulty: Callable[[TokenStore], Floats], stop: bool) -> None:
        task = Task(dataset=dataset, difficulty=difficulty)
        train(TextEncoder.load(bert), task, tmp_path, SETTINGS, Hooks(stop=lambda: stop))

    with pytest.raises(Stopped):
        go(by_length, stop=True)
    with pytest.raises(BadFile, match="found one of"):
        go(lambda store: -by_length(store), stop=False)
    go(by_length, stop=False)  # the same goes on


def test_a_curriculum_is_never_silently_lost(
    dataset: Dataset, opened: Callable[..., Course]
) -> None:
    together = replace(SETTINGS, queries_per_document=2)
    with pytest.raises(BadSetting, match="a curriculum orders single pairs"):
        opened(Task(dataset=dataset, difficulty=by_length), settings=together)


def alike(one: Batch, two: Batch) -> bool:
    edges = zip(
        (one.edges.query, one.edges.document, one.edges.grade, one.query, one.document),
        (two.edges.query, two.edges.document, two.edges.grade, two.query, two.document),
        strict=True,
    )
    return one.texts.tolist() == two.texts.tolist() and all(torch.equal(a, b) for a, b in edges)


def test_the_same_course_opened_again_is_the_same_from_any_step_on(
    dataset: Dataset, other: Dataset, opened: Callable[..., Course]
) -> None:
    tasks = Task(dataset=dataset, difficulty=by_length), Task(dataset=other, query_prompt="ba ")
    first = opened(*tasks)
    for where in ("run", "elsewhere"):
        again = opened(*tasks, where=where)
        assert again.steps == first.steps
        for step in (17, 3, first.steps - 1, 0, 9, 10):
            (task, batch), (of, expected) = again[step], first[step]
            assert task == of
            assert alike(batch, expected)
    assert not any(alike(first[one][1], first[two][1]) for one, two in pairwise(range(6)))
