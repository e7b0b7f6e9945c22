"""A pytest plugin: `nearfar_gate` lets a team's own test suite decide a release.

    def test_release(nearfar_gate):
        nearfar_gate("policy.toml", candidate="results/candidate", baseline="results/production")

Every pytest of an environment with nearfar loads this file: it imports nothing else of nearfar
until a test asks for the gate.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from nearfar.release.verdict import Verdict

MARKER = "nearfar_gate"


def pytest_configure(config: pytest.Config) -> None:
    """Name the marker, so that `--strict-markers` knows it."""
    config.addinivalue_line(
        "markers", f"{MARKER}: decides a release; set on every test that asks for {MARKER}"
    )


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark the tests that decide, so that `-m nearfar_gate` runs them alone, or leaves them out."""
    if MARKER in getattr(item, "fixturenames", ()):
        item.add_marker(MARKER)


@pytest.fixture
def nearfar_gate(request: pytest.FixtureRequest) -> "Callable[..., Verdict]":
    """Return a function that holds a candidate against a baseline by a policy.

    Its arguments are those of the command `nearfar gate`; paths are taken from the root of the
    test suite. A pass is returned. A regression fails the test with the sentences of the verdict.
    So does evidence that is not enough, unless the policy then lets a part of the traffic try the
    candidate (`insufficient = "canary"`): that skips the test, with the same sentences as its
    reason. Results that do not measure the same thing fail it, too.
    """

    def decide(
        policy: str | Path | None = None,
        *,
        candidate: str | Path,
        baseline: str | Path | None = None,
        folder: str | Path | None = None,  # of the verdict and, unless told, the ledger
        ledger: str | Path | None = None,
        space: str | None = None,
        dataset: str | Path | None = None,
        trained_on: Sequence[str | Path] = (),
    ) -> "Verdict":
        __tracebackhide__ = True
        from nearfar.errors import NearfarError
        from nearfar.pipeline.gating import Compared, gate

        def at(path: str | Path | None) -> Path | None:
            return None if path is None else request.config.rootpath / path

        root = request.config.rootpath
        compared = Compared(
            candidate=root / candidate,
            baseline=at(baseline),
            space=space,
            dataset=at(dataset),
            trained_on=[root / one for one in trained_on],
        )
        try:
            verdict = gate(at(policy), compared, at(folder), ledger=at(ledger))
        except NearfarError as problem:
            pytest.fail(f"nearfar: the gate cannot decide. {problem}", pytrace=False)
        request.node.user_properties.append(("nearfar_outcome", verdict.outcome))  # JUnit has it
        told = "nearfar: " + "\n".join(verdict.sentences())
        if verdict.outcome == "PASS":
            return verdict
        if verdict.action == "canary":
            pytest.skip(told)
        pytest.fail(told, pytrace=False)

    return decide
