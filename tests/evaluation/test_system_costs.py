"""What a system costs is known whole, or not at all."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from asked import asked
from doubles import LetterEncoder

from nearfar.data import dataset as stored
from nearfar.evaluation.embedded import read_task
from nearfar.evaluation.systems import served_system
from nearfar.progress import silent
from nearfar.records import Role

TEXTS = {f"d{i}": "abcdef"[i] * 3 for i in range(6)}


@pytest.mark.parametrize(("left_out", "expected"), [(None, 3.0), ("ccc", None)])
def test_a_sum_of_tokens_that_lacks_a_part_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left_out: str | None, expected: float | None
) -> None:
    monkeypatch.setattr(stored, "_ROWS_PER_BATCH", 2)  # as of many documents: several requests
    data = asked(tmp_path / "d", TEXTS, {"q": "ab"}, [("q", "d0", 1, "test")])

    def count(texts: Sequence[str], role: Role) -> int:
        return 0 if left_out in texts else sum(map(len, texts))

    system = served_system("s", LetterEncoder(), count, {})
    costs = system.find(data, read_task(data, "test"), 3, progress=silent).costs
    assert costs.get("tokens_per_document") == expected
    assert costs["tokens_per_query"] == 2.0
