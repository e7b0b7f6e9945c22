"""The example of a workflow is sound: it is read as GitHub reads it, and its commands are ours."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from nearfar.cli import app

PATH = Path("docs/examples/gate.yml")


@pytest.fixture(scope="module")
def workflow() -> dict[Any, Any]:
    read: dict[Any, Any] = yaml.safe_load(PATH.read_text())
    return read


def steps(workflow: dict[Any, Any]) -> list[dict[str, Any]]:
    (job,) = workflow["jobs"].values()
    found: list[dict[str, Any]] = job["steps"]
    return found


def test_every_step_does_one_thing_at_a_pinned_version(workflow: dict[Any, Any]) -> None:
    for step in steps(workflow):
        assert ("uses" in step) != ("run" in step), step
        assert re.fullmatch(r"actions/[a-z-]+@v\d+", step.get("uses", "actions/x@v1"))


def test_the_job_may_write_nothing_and_nothing_swallows_the_verdict(
    workflow: dict[Any, Any],
) -> None:
    assert workflow["permissions"] == {"contents": "read"}
    assert "pull_request" in workflow[True]  # YAML 1.1 reads the key `on` so
    names = [step.get("name") for step in steps(workflow)]
    decide = steps(workflow)[names.index("Decide")]
    assert "continue-on-error" not in decide
    assert "||" not in decide["run"]
    evidence = steps(workflow)[names.index("Keep the evidence")]
    assert names.index("Decide") < names.index("Keep the evidence")
    assert evidence["if"] == "${{ !cancelled() }}"


def test_its_commands_have_the_arguments_that_they_are_given(workflow: dict[Any, Any]) -> None:
    script = "\n".join(step.get("run", "") for step in steps(workflow)).replace("\\\n", " ")
    lines = [shlex.split(line) for line in script.splitlines() if line.startswith("nearfar ")]
    assert [line[1] for line in lines] == ["compare", "gate"]
    group: Any = typer.main.get_command(app)
    for _, verb, *arguments in lines:
        command = group.commands[verb]
        parsed = command.make_context(verb, arguments).params  # refuses what is unknown
        assert parsed["folder"]


def test_what_is_asked_of_the_environment_is_set(workflow: dict[Any, Any]) -> None:
    text = PATH.read_text()
    asked = set(re.findall(r"\$([A-Z]+)\b", text)) | set(re.findall(r"env\.([A-Z]+)", text))
    assert asked == set(workflow["env"])
