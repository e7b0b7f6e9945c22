"""What was scored is on disk, is found again, and is never scored twice."""

from pathlib import Path

import numpy as np
import pytest
import torch
from school import NumberReranker

from nearfar.errors import BadFile
from nearfar.teaching import scores
from nearfar.teaching.scores import Remembering, open_scores, pair_keys

QUERIES = ["ask 0", "ask 5"]
DOCUMENTS = [f"say {place}" for place in range(30)]
PAIRS = torch.cartesian_prod(torch.arange(2), torch.arange(30))


def remember(
    folder: Path, reranker: NumberReranker, pairs: torch.Tensor = PAIRS, block: int = 7
) -> torch.Tensor:
    with open_scores(folder, reranker.fingerprint) as file:
        return Remembering(reranker, file, block).score_pairs(QUERIES, DOCUMENTS, pairs)


def test_no_pair_is_scored_twice(tmp_path: Path) -> None:
    reranker = NumberReranker()
    first = remember(tmp_path, reranker, PAIRS[:25])
    whole = remember(tmp_path, reranker)
    assert len(reranker.scored) == len(set(reranker.scored)) == 60
    assert torch.equal(whole, NumberReranker().score_pairs(QUERIES, DOCUMENTS, PAIRS))
    assert torch.equal(whole[:25], first)


def test_a_query_with_more_pairs_than_a_block_is_scored_in_blocks(tmp_path: Path) -> None:
    class Counting(NumberReranker):
        def score_pairs(self, *args: object, **options: object) -> torch.Tensor:
            self.sizes = [*getattr(self, "sizes", []), len(args[2])]  # type: ignore[arg-type]
            return super().score_pairs(*args, **options)  # type: ignore[arg-type]

    reranker = Counting()
    remember(tmp_path, reranker)
    assert reranker.sizes == [7] * 8 + [4]


def test_the_same_texts_under_other_places_are_scored_once(tmp_path: Path) -> None:
    reranker = NumberReranker()
    with open_scores(tmp_path, "b" * 16) as file:
        twice = Remembering(reranker, file, 10)
        pairs = torch.tensor([(0, 0), (1, 1), (0, 1)])
        found = twice.score_pairs(["ask 0", "ask 0"], ["say 2", "say 2"], pairs)
    assert found.tolist() == [1, 1, 1]
    assert len(reranker.scored) == 1


def test_another_reranker_is_never_answered_from_it(tmp_path: Path) -> None:
    one, other = NumberReranker(), NumberReranker("c" * 16)
    remember(tmp_path, one)
    remember(tmp_path, other)
    assert len(other.scored) == 60
    whole = (tmp_path / f"scores-{one.fingerprint}.bin").read_bytes()
    (tmp_path / f"scores-{other.fingerprint}.bin").write_bytes(whole)
    with pytest.raises(BadFile, match="expected the scores of reranker cccc"):
        remember(tmp_path, other)


def test_a_record_torn_at_any_byte_is_scored_again(tmp_path: Path) -> None:
    path = tmp_path / f"scores-{'a' * 16}.bin"
    whole = remember(tmp_path, NumberReranker())
    data = path.read_bytes()
    for size in [*range(40), *range(len(data) - 45, len(data))]:
        path.write_bytes(data[:size])
        reranker = NumberReranker()
        assert torch.equal(remember(tmp_path, reranker), whole)
        assert len(reranker.scored) == 60 - max(size - 36, 0) // 20
        assert sorted(_records(path.read_bytes())) == sorted(_records(data))


def _records(data: bytes) -> list[bytes]:
    return [data[start : start + 20] for start in range(36, len(data), 20)]


def test_scores_are_found_among_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scores, "_RECENT", 64)  # so that some are sorted in, and some are not
    dice = np.random.default_rng(0)
    keys = [dice.bytes(16) for _ in range(1_000)]
    keys += [keys[place][:8] + dice.bytes(8) for place in range(50)]  # share their first half
    values = dice.standard_normal(len(keys)).astype(np.float32)
    with open_scores(tmp_path, "d" * 16) as file:
        for start in range(0, len(keys), 30):
            file.add(keys[start : start + 30], values[start : start + 30])
        assert np.array_equal(file.get(keys), values)
        assert len(file) == len(keys)
        assert np.isnan(
            file.get([dice.bytes(16) for _ in range(9)] + [keys[0][:8] + b"x" * 8])
        ).all()
    with open_scores(tmp_path, "d" * 16) as file:
        assert np.array_equal(file.get(keys), values)
    assert (tmp_path / f"scores-{'d' * 16}.bin").stat().st_size == 36 + 20 * len(keys)


def test_two_at_once_are_refused(tmp_path: Path) -> None:
    with (
        open_scores(tmp_path, "e" * 16),
        pytest.raises(BadFile, match="another process"),
        open_scores(tmp_path, "e" * 16),
    ):
        pass


def test_what_has_no_number_is_asked_for_again(tmp_path: Path) -> None:
    class Silent(NumberReranker):
        def score_pairs(self, *args: object, **options: object) -> torch.Tensor:
            found = super().score_pairs(*args, **options)  # type: ignore[arg-type]
            return torch.where(found < 0, torch.nan, found)

    reranker = Silent()
    first = remember(tmp_path, reranker)
    again = remember(tmp_path, reranker)
    assert first.isnan().any()
    assert torch.equal(first.isnan(), again.isnan())
    assert len(reranker.scored) == 60 + int(first.isnan().sum())


def test_an_infinite_score_is_none_and_kept_for_no_one(tmp_path: Path) -> None:
    class Overflowing(NumberReranker):
        def score_pairs(self, *args: object, **options: object) -> torch.Tensor:
            found = super().score_pairs(*args, **options)  # type: ignore[arg-type]
            return torch.where(found < 0, torch.inf * found, found)

    with open_scores(tmp_path, "a" * 16) as file:
        remembering = Remembering(Overflowing(), file, 7)
        found = remembering.score_pairs(QUERIES, DOCUMENTS, PAIRS)
        assert remembering.infinite == int(found.isnan().sum()) > 0
        assert len(file) == remembering.new == 60 - remembering.infinite
    healed = remember(tmp_path, NumberReranker())  # in a higher precision, say
    assert torch.equal(healed, NumberReranker().score_pairs(QUERIES, DOCUMENTS, PAIRS))


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_an_infinite_score_on_disk_is_scored_again(bad: float, tmp_path: Path) -> None:
    whole = remember(tmp_path, NumberReranker())
    path = tmp_path / f"scores-{'a' * 16}.bin"
    data = bytearray(path.read_bytes())
    data[36 + 16 : 36 + 20] = np.float32(bad).tobytes()
    path.write_bytes(bytes(data))
    reranker = NumberReranker()
    assert torch.equal(remember(tmp_path, reranker), whole)
    assert len(reranker.scored) == 1
    assert torch.equal(remember(tmp_path, reranker), whole)
    assert len(reranker.scored) == 1  # and that is there to stay


def test_keys_tell_a_query_from_a_document() -> None:
    there, back = torch.tensor([(0, 0)]), torch.tensor([(0, 0)])
    assert pair_keys(["a"], ["b"], there) != pair_keys(["b"], ["a"], back)
    assert pair_keys(["ab"], ["c"], there) != pair_keys(["a"], ["bc"], there)


def test_a_full_disk_leaves_whole_records(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    signal = pytest.importorskip("signal")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with open_scores(tmp_path, "f" * 16) as file:
        file.add([b"k" * 16], np.ones(1, dtype=np.float32))
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (56 + 30, before[1]))
            with pytest.raises(OSError, match="too large"):
                file.add([b"l" * 16, b"m" * 16], np.ones(2, dtype=np.float32))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            signal.signal(signal.SIGXFSZ, old)
        assert (tmp_path / f"scores-{'f' * 16}.bin").stat().st_size == 56
        file.add([b"l" * 16], np.ones(1, dtype=np.float32))
    with open_scores(tmp_path, "f" * 16) as file:
        assert file.get([b"k" * 16, b"l" * 16]).tolist() == [1, 1]
