"""A process that is killed has paid for what it got, and its successor pays for the rest alone."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from llm_server import FakeClock, Server, llm, served
from town import synthesis, synthetic, town

from nearfar.synthesis.synthesise import Run, journal_of, synthesise


def test_nothing_that_was_paid_is_paid_again_after_a_kill(tmp_path: Path) -> None:
    data = town(tmp_path / "data", free=40)
    folder = tmp_path / "new"
    process: list[subprocess.Popen[bytes]] = []

    def kill(number: int, passage: str) -> str:
        if number == 15 and process:
            process[0].kill()  # SIGKILL: no handler, no farewell
        return ""

    with served(Server(trouble=kill)) as server:
        here = Path(__file__).parent
        paths = os.pathsep.join([str(here), *sys.path])
        process.append(
            subprocess.Popen(
                [sys.executable, str(here / "killed_synthesis.py"), server.address,
                 str(data.folder), str(folder)],
                env=os.environ | {"PYTHONPATH": paths},
            )
        )  # fmt: skip
        assert process[0].wait(timeout=60) == -9
        process.clear()
        assert not folder.exists()
        lines = journal_of(folder).read_text().splitlines()
        first = [json.loads(json.loads(line)["text"])[0] for line in lines]
        paid = {text.removesuffix(" query 0") for text in first}
        assert 8 <= len(paid) <= 16
        before = len(server.asked)

        settings = synthesis(llm(server.address, concurrency=4))
        assert settings.llm is not None
        run = Run(endpoint=server.endpoint(settings.llm), clock=FakeClock())
        found = synthesise(data, folder, settings, run)

        second = server.passages()[before:]
        assert not paid & set(second)  # what is in the journal is not asked for
        assert Counter(second).most_common(1)[0][1] == 1
        assert len(paid) + len(second) == 40  # and nothing else is left out
        assert found.kept == len(synthetic(folder)) == 80
        # At most what was under way when the process died was asked for twice.
        assert len(server.asked) <= 40 + 4
        lines = journal_of(folder).read_text().splitlines()
        assert found.paying is not None
        tokens = sum(json.loads(line)["input_tokens"] for line in lines[len(paid) :])
        assert found.paying.now.input_tokens == tokens


@pytest.mark.parametrize("size", [2, 40])  # without its newline alone it is whole
def test_a_line_torn_by_a_kill_is_asked_for_again(tmp_path: Path, size: int) -> None:
    data = town(tmp_path / "data")
    with served(Server()) as server:
        settings = synthesis(llm(server.address))
        assert settings.llm is not None
        run = Run(endpoint=server.endpoint(settings.llm), replace=True)
        synthesise(data, tmp_path / "new", settings, run)
        path = journal_of(tmp_path / "new")
        os.truncate(path, path.stat().st_size - size)
        assert synthesise(data, tmp_path / "new", settings, run).kept == 12
    assert len(server.asked) == 7
