"""The table of tasks beyond retrieval, as a person reads it."""

import pytest

from nearfar.cli.tasks_report import show_tasks
from nearfar.evaluation.intervals import Estimate
from nearfar.evaluation.measure import Measure
from nearfar.evaluation.task_scores import Band
from nearfar.pipeline.task_evaluating import TaskReport


def test_every_number_stands_with_its_interval_and_what_it_depends_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    some = Estimate(0.75, 0.7, 0.8, 1_200, 1_200)
    bare = Estimate(0.5, None, None, 12, 12)
    change = Estimate(0.1, 0.05, 0.15, 1_200, 1_200)
    labels = Measure(name="neighbours_accuracy_score", base=some, tuned=some, difference=change)
    reports = (
        TaskReport("labels", (labels,), {"field": "[intent]", "neighbours": 5}),
        TaskReport("clustering", (Measure(name="v_measure_score", base=bare),), {}),
    )
    show_tasks(reports, "test")
    told = capsys.readouterr().out
    lines = [" ".join(line.split()) for line in told.splitlines()]
    assert "Tasks on the test split; brackets are 95 % intervals." in lines
    place = lines.index("labels: n 1,200, field [intent], neighbours 5")
    assert lines[place + 1] == "base tuned difference"
    both = "0.750 [0.700, 0.800]"
    assert lines[place + 2] == f"accuracy {both} {both} +0.100 [+0.050, +0.150]"
    assert lines[place + 3 : place + 6] == ["", "clustering: n 12", "v measure 0.500"]
    bands = (Band(0.0, 0.2, 0.123, Estimate(0.25, None, None, 4, 4)),
             Band(0.8, 1.0, 0.9, Estimate(0.88, 0.81, 0.95, 1_100, 9)))  # fmt: skip
    likeness = Measure(name="similarity_brier_error", base=bare)
    show_tasks([TaskReport("similarity", (likeness,), {}, bands)], "test")
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[-4:] == [
        "brier\u2193 0.500",
        "likeness pairs it says it is",
        "0.0 to 0.2 4 0.123 0.250",
        "0.8 to 1.0 1,100 0.900 0.880 [0.810, 0.950]",
    ]
    show_tasks(reports[1:], "dev")
    alone = " ".join(capsys.readouterr().out.split())
    assert "difference" not in alone
    assert "clustering: n 12 v measure 0.500" in alone
