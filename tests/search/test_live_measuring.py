"""Two versions of an index, asked the same: scores, overlap and times are those of plain loops."""

import pytest
from doubles import LETTERS, LetterEncoder
from live_world import OTHER, filled
from shelf import QUERIES

from nearfar.errors import BadRecord
from nearfar.search.live_measuring import compare_versions
from nearfar.search.reindexing import build_version
from nearfar.stores.memory import MemoryShelf


def test_both_versions_are_asked_the_same() -> None:
    shelf = MemoryShelf()
    old = filled(shelf, LetterEncoder())

    class Half(LetterEncoder):
        """Knows the second half of the letters alone."""

        def encode(self, contents, role, **options):  # type: ignore[no-untyped-def]
            vectors = super().encode(contents, role, **options)
            vectors[:, :3] = 0
            return vectors + 1e-6

    new = build_version(shelf, Half(OTHER))
    queries = {f"q{n}": query for n, query in enumerate(QUERIES)}
    ranked = {
        version: [[hit.document.id for hit in a.hits] for a in index.search(QUERIES, exact=True)]
        for version, index in (("old", old), ("new", new))
    }
    judged = {"q0": {ranked["new"][0][0]: 1.0}, "q1": {ranked["new"][1][0]: 1.0, "d00": 0.0},
              "q2": {"d01": 0.0}, "q9": {"d01": 1.0}}  # fmt: skip
    times = iter(range(1_000))
    found = compare_versions(old, new, queries, judged, clock=lambda: float(next(times)))
    shared = [len(set(a) & set(b)) / 10 for a, b in zip(ranked["old"], ranked["new"], strict=True)]
    assert found.overlap_at_10 == pytest.approx(sum(shared) / len(shared))
    assert found.overlap_at_10 < 1
    assert (found.queries, found.judged) == (5, 2)
    assert found.other.scores is not None
    assert found.other.scores["mrr_at_10_score"] == 1
    assert found.live.scores is not None
    assert found.live.scores["ndcg_at_10_score"] < 1
    assert (found.live.space, found.other.space) == (LETTERS.fingerprint, OTHER.fingerprint)
    assert found.to_json()["live"]["version"] == "v1"
    assert compare_versions(old, old, queries).live.scores is None
    assert compare_versions(old, old, queries).overlap_at_10 == 1
    with pytest.raises(BadRecord, match="found none"):
        compare_versions(old, new, {})
