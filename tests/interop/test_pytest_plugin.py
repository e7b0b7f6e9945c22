"""The plugin fails, skips or passes a team's test as the gate says, and is in nobody's way."""

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
import pytest

# Loaded here, since pytester throws away what is first loaded within it.
import nearfar.pipeline.gating  # noqa: F401
from nearfar.evaluation.scores import Scores, write_scores

pytest_plugins = ["pytester"]

PLUGIN = "nearfar.interop.pytest_plugin"
# A checkout that was installed before the plugin came does not have its entry point.
_KNOWN = any(one.value == PLUGIN for one in entry_points(group="pytest11"))
LOADED = () if _KNOWN else ("-p", PLUGIN)
TEST = """
def test_release(nearfar_gate):
    verdict = nearfar_gate("policy.toml", candidate="new", baseline="old", folder="verdict")
    assert verdict.outcome == "PASS"
"""


def measured(folder: Path, *, queries: int, lost: float = 0.0, noise: float = 0.0) -> None:
    """Write the scores of a system that lost something on every query."""
    dice = np.random.default_rng(queries)
    before = dice.uniform(0.3, 0.9, queries)
    values = np.clip(before - lost + noise * dice.standard_normal(queries), 0, 1)
    ids = tuple(f"q{i}" for i in range(queries))
    scores = Scores(
        system=folder.name, space=None, dataset="d" * 64, split="test", documents=1_000,
        queries=ids, clusters=ids, cohorts={"query.language": ("de",) * queries},
        values={"ndcg_at_10_score": values}, hits=((),) * queries,
    )  # fmt: skip
    write_scores(scores, folder)


def decided(
    pytester: pytest.Pytester, *arguments: str, policy: str = "", queries: int = 400,
    lost: float = 0.0, noise: float = 0.0,
) -> pytest.RunResult:  # fmt: skip
    pytester.makepyfile(TEST)
    (pytester.path / "policy.toml").write_text(policy)
    measured(pytester.path / "old", queries=queries)
    measured(pytester.path / "new", queries=queries, lost=lost, noise=noise)
    return pytester.runpytest_inprocess(*LOADED, "-p", "no:cacheprovider", "-rs", *arguments)


def test_a_pass_passes_and_junit_has_the_outcome(pytester: pytest.Pytester) -> None:
    decided(pytester, "--junitxml=junit.xml").assert_outcomes(passed=1)
    junit = (pytester.path / "junit.xml").read_text()
    assert 'name="nearfar_outcome" value="PASS"' in junit
    assert (pytester.path / "verdict/verdict.json").is_file()


def test_a_regression_fails_with_the_sentences_and_no_traceback(pytester: pytest.Pytester) -> None:
    result = decided(pytester, lost=0.2, noise=0.01)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["nearfar: REGRESSION. The candidate is blocked;*", "*DCG@10*"])
    result.stdout.no_fnmatch_line("*pytest_plugin.py*")


@pytest.mark.parametrize(("insufficient", "outcome"), [("hold", "failed"), ("canary", "skipped")])
def test_too_little_evidence_fails_unless_the_policy_lets_it_be_tried(
    pytester: pytest.Pytester, insufficient: str, outcome: str
) -> None:
    policy = f'insufficient = "{insufficient}"'
    result = decided(pytester, policy=policy, queries=30, noise=0.3)
    result.assert_outcomes(**{outcome: 1})
    result.stdout.fnmatch_lines(["*nearfar: INSUFFICIENT.*"])


def test_paths_are_taken_from_the_root_of_the_suite(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makeini("[pytest]")
    elsewhere = pytester.mkdir("elsewhere")
    measured(pytester.path / "old", queries=400)
    (elsewhere / "test_it.py").write_text(TEST.replace('"policy.toml", ', ""))
    measured(pytester.path / "new", queries=400)
    monkeypatch.chdir(elsewhere)
    pytester.runpytest_inprocess(*LOADED).assert_outcomes(passed=1)


def test_results_that_are_missing_fail_with_one_message(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(TEST.replace('"policy.toml", ', ""))
    result = pytester.runpytest_inprocess(*LOADED)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["nearfar: the gate cannot decide. */new*"])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_results_of_other_queries_fail_with_the_reason(pytester: pytest.Pytester) -> None:
    measured(pytester.path / "old", queries=401)
    pytester.makepyfile(TEST.replace('"policy.toml", ', ""))
    measured(pytester.path / "new", queries=400)
    result = pytester.runpytest_inprocess(*LOADED)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["nearfar: the gate cannot decide. *q400*"])


def test_tests_that_decide_can_be_run_alone_or_left_out(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(TEST + "\ndef test_other():\n    pass\n")
    alone = pytester.runpytest_inprocess(
        *LOADED, "--strict-markers", "--collect-only", "-q", "-m", "nearfar_gate"
    )
    alone.stdout.fnmatch_lines(["*::test_release", "*1 deselected*"])
    without = pytester.runpytest_inprocess(*LOADED, "-m", "not nearfar_gate")
    without.assert_outcomes(passed=1, deselected=1)


def test_loading_the_plugin_loads_nothing_else(tmp_path: Path) -> None:
    code = (
        "import sys, pytest; before = set(sys.modules); "
        f"import {PLUGIN}; new = set(sys.modules) - before; print(sorted(new))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True,
        env={"PYTHONPATH": str(Path("src").resolve())},
    )  # fmt: skip
    assert done.stdout.strip() == str(["nearfar", "nearfar.interop", PLUGIN])
