"""Several processes share what a check reads, and all decide by the same numbers."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from marked import DEV, marked
from several_checks import checked
from tiny import tiny_bert, tiny_cross


def test_each_of_two_processes_reads_half_and_both_say_what_one_would(tmp_path: Path) -> None:
    cross, encoder = tiny_cross(tmp_path / "cross"), tiny_bert(tmp_path / "bert")
    data = marked(tmp_path / "data").folder
    script = Path(__file__).with_name("several_checks.py")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone",
               "--nproc-per-node", 2, script, cross, encoder, data, tmp_path]  # fmt: skip
    ended = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    here = checked(str(cross), str(encoder), str(data))
    there = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1)]
    for name, (scores, read) in here.items():
        for found, _ in (one[name] for one in there):
            assert found == pytest.approx(scores)
        if "sharded" in name:  # each forward needs all processes: everyone reads everything
            assert [one[name][1] for one in there] == [read, read]
        else:
            reads = [one[name][1] for one in there]
            assert sum(reads) == read
            assert max(reads) - min(reads) <= 2  # queries and documents, an odd one each
    assert here["cross plain"][1] == 2 * DEV
