"""The commands as a person types them: one message for a mistake, never a traceback."""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny import tiny_bert

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def nearfar(tmp_path: Path) -> Run:
    def run(
        *words: object, file_bytes: int | None = None, **more: object
    ) -> "subprocess.CompletedProcess[str]":
        environment = os.environ | {"HF_HUB_OFFLINE": "1", "COLUMNS": "100", "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "nearfar", *map(str, words)]
        if file_bytes is not None:
            command = ["prlimit", f"--fsize={file_bytes}", *command]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
            **more,  # type: ignore[call-overload]
        )  # fmt: skip

    return run


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    rows = [{"question": f"what is {w}?", "answer": f"{w} is a thing"} for w in "abcdefghijkl"]
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def refused(done: "subprocess.CompletedProcess[str]", *parts: str) -> None:
    """One message on standard error, exit code 2, nothing on standard output."""
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("nearfar: ") == 1
    for part in parts:
        assert part in done.stderr
    assert done.stdout == ""


def test_help_is_there_at_once_and_does_not_load_torch() -> None:
    heavy = "{'torch', 'numpy', 'pyarrow', 'pydantic'} & set(sys.modules)"
    code = f"import sys, nearfar, nearfar.cli; sys.exit(bool({heavy}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    "verb", ["run", "import", "check", "mine", "train", "evaluate", "index", "search"]
)
def test_every_verb_explains_itself(verb: str, nearfar: Run) -> None:
    done = nearfar(verb, "--help")
    assert done.returncode == 0
    assert "Usage" in done.stdout


def test_from_a_file_to_an_answer(nearfar: Run, pairs: Path, tmp_path: Path) -> None:
    tiny_bert(tmp_path / "bert")
    import_ = ("import", pairs, "data", "--licence", "CC0-1.0", "--dev", "0")
    done = nearfar(*import_)
    assert done.returncode == 0, done.stderr
    assert "Guessed" in done.stderr
    assert "12 documents, 12 queries, 12 judgments" in done.stdout
    assert "unchanged" in nearfar(*import_).stdout
    assert nearfar("check", "data", "--model", "bert").returncode == 0
    done = nearfar("train", "data", "run", "--model", "bert", "--set", "training.epochs=2")
    assert done.returncode == 0, done.stderr
    assert nearfar("index", "data", "index", "--model", "run/model").returncode == 0
    ask = ("search", "what is b?", "--index", "index", "--model")
    hits = [json.loads(line) for line in nearfar(*ask, "run/model", "--json").stdout.splitlines()]
    assert [hit["rank"] for hit in hits] == [1, 2, 3, 4, 5]
    assert "pairs.jsonl:" in nearfar(*ask, "run/model").stdout
    refused(nearfar(*ask, "bert"), "Cannot search this index", "weights:")


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (b"", ("pairs.jsonl",)),
        (b'{"question": "a", "answer": "b"}\n{"question": \n', ("pairs.jsonl:2",)),
        (b'{"question": "a", "answer": "\xe9"}\n', ("pairs.jsonl:1", "UTF-8")),
        (b'{"question": "a", "answer": ""}\n', ("pairs.jsonl:1",)),
        (b'{"q1": "a", "zz": "b"}\n', ("pairs.jsonl", "q1", "zz")),
        (b'{"question": "a", "answer": "b", "score": NaN}\n', ("pairs.jsonl:1", "nan")),
    ],
)
def test_a_bad_file_gets_one_message_and_leaves_nothing(
    content: bytes, parts: tuple[str, ...], nearfar: Run, pairs: Path, tmp_path: Path
) -> None:
    pairs.write_bytes(content)
    refused(nearfar("import", pairs, "data"), *parts)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pairs.jsonl"]


def test_missing_things_are_named(nearfar: Run, tmp_path: Path) -> None:
    refused(nearfar("import", "none.jsonl", "data"), "none.jsonl")
    refused(nearfar("check", "none"), "none: no such dataset folder", "nearfar import")
    refused(nearfar("run", "none.toml"), "none.toml")
    (tmp_path / "empty").mkdir()
    refused(nearfar("search", "x", "--index", "empty", "--model", "y"), "empty")


def test_a_recipe_with_an_unknown_key_is_refused_by_name(nearfar: Run, tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text('name = "x"\n[data]\nsource = "y"\nlicense = "z"\n')
    refused(nearfar("run", "r.toml"), "r.toml: data.license is not a setting", "'licence'")


def test_an_empty_split_is_said(nearfar: Run, pairs: Path, tmp_path: Path) -> None:
    tiny_bert(tmp_path / "bert")
    nearfar("import", pairs, "data", "--test", "0", "--dev", "0")
    done = nearfar("evaluate", "data", "report", "--model", "bert")
    refused(done, "expected queries with an answer in the test split")


def test_a_full_disk_is_said_and_nothing_half_written_stays(nearfar: Run, tmp_path: Path) -> None:
    rows = [{"question": f"what is {i}?", "answer": f"{i} is a thing " * 9} for i in range(3_000)]
    (tmp_path / "big.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    done = nearfar("import", "big.jsonl", "data", file_bytes=100_000)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "room" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["big.jsonl"]


def test_a_disk_that_fills_up_while_training_is_said(
    nearfar: Run, pairs: Path, tmp_path: Path
) -> None:
    tiny_bert(tmp_path / "bert")
    nearfar("import", pairs, "data", "--test", "0", "--dev", "0")

    done = nearfar("train", "data", "run", "--model", "bert", file_bytes=60_000)
    refused(done, "expected room to write it", "the same command goes on")
    assert not list((tmp_path / "run").glob("checkpoint-*"))
    assert nearfar("train", "data", "run", "--model", "bert").returncode == 0


def test_ctrl_c_keeps_what_is_done_and_says_how_to_go_on(
    nearfar: Run, pairs: Path, tmp_path: Path
) -> None:
    import signal

    tiny_bert(tmp_path / "bert")
    nearfar("import", pairs, "data", "--test", "0", "--dev", "0")
    command = [sys.executable, "-m", "nearfar", "train", "data", "run", "--model", "bert",
               "--set", "training.epochs=100000"]  # fmt: skip
    process = subprocess.Popen(
        command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    log = tmp_path / "run" / "log.jsonl"
    while not (log.exists() and log.stat().st_size):  # no step was taken yet
        assert process.poll() is None
        os.sched_yield()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "The same command goes on from there." in errors
    assert list((tmp_path / "run").glob("checkpoint-*"))


def test_the_version_is_told(nearfar: Run) -> None:
    assert nearfar("--version").stdout.startswith("nearfar 0.")


def test_help_answers_in_half_a_second() -> None:
    # CPU time of the best of three, so that a busy machine does not fail it.
    spent = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "nearfar", "--help"], capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(spent) < 0.5
