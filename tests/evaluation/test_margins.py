"""Margins: negatives that no model chose, and cosines that can be checked by hand."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from asked import Judged, asked
from doubles import LetterEncoder

from nearfar.data.dataset import Dataset
from nearfar.errors import BadRecord
from nearfar.evaluation.embedded import embed, read_task
from nearfar.evaluation.margins import digest, pin_negatives, similarities
from nearfar.records import Role
from nearfar.vectors.similarity import unit

WORDS = ["apple", "bear", "cello", "dune", "ember", "flute", "grape", "heron"]


class Collapsed(LetterEncoder):
    """Puts every document at the same place, wherever the queries are."""

    def encode(self, contents: Sequence[str], role: Role, **_: object) -> torch.Tensor:
        dice = torch.Generator().manual_seed(0)
        place = unit(torch.randn(1, 26, generator=dice))
        if role == "document":
            return place.repeat(len(contents), 1)
        return unit(torch.randn(len(contents), 26, generator=dice))


def many(folder: Path, *, turned: bool = False, last: str = "heron") -> Dataset:
    """Sixty documents of three words; each asks for one, and two of them for another as well."""
    words = [*WORDS[:-1], last]
    texts = {f"d{i}": f"{words[i % 8]} {words[i // 8]} {words[(3 * i) % 8]}" for i in range(60)}
    queries = {f"q{i}": texts[f"d{i}"] for i in range(30)}
    judged = [(f"q{i}", f"d{i}", 1.0, "test") for i in range(30)]
    judged += [("q0", "d40", 1.0, "train"), ("q1", "d41", 1.0, "test")]
    if turned:
        texts, judged = dict(reversed(texts.items())), judged[::-1]
    return asked(folder, texts, queries, judged)  # type: ignore[arg-type]


def test_a_world_of_three_documents_is_as_by_hand(tmp_path: Path) -> None:
    documents = {"right": "ab", "near": "ac", "far": "dd"}
    dataset = asked(tmp_path / "d", documents, {"q": "ab"}, [("q", "right", 1, "test")])
    task = read_task(dataset, "test")
    pinned = pin_negatives(dataset, task, seed=0)
    assert set(pinned["q"]) == {"near", "far"}
    found = similarities(embed(LetterEncoder(), dataset, task), pinned)
    assert found.positive == pytest.approx([1.0])
    assert sorted(found.negative[0]) == pytest.approx([0.0, 0.5])
    assert found.margins == pytest.approx([0.75])  # 1 - (0.5 + 0) / 2
    assert found.wins == pytest.approx([1.0])


def test_an_answer_that_beats_half_of_its_negatives_wins_half(tmp_path: Path) -> None:
    documents = {"right": "ab", "nearer": "aaab", "far": "dd"}
    dataset = asked(tmp_path / "d", documents, {"q": "aaab"}, [("q", "right", 1, "test")])
    task = read_task(dataset, "test")
    pinned = pin_negatives(dataset, task, seed=0)
    found = similarities(embed(LetterEncoder(), dataset, task), pinned)
    assert found.wins.tolist() == [0.5]
    assert found.margins == pytest.approx([4 / np.sqrt(20) - 0.5])


def test_a_space_in_one_place_tells_nothing_apart(tmp_path: Path) -> None:
    # Summed by two routes, equal cosines differ by their last bit, and 4 of 10 would be won.
    dataset = many(tmp_path / "d")
    task = read_task(dataset, "test")
    pinned = pin_negatives(dataset, task, seed=0)
    found = similarities(embed(Collapsed(), dataset, task), pinned)
    assert not found.wins.any()
    assert found.margins == pytest.approx(np.zeros(30), abs=1e-6)


def test_negatives_are_the_same_whatever_the_order_of_the_dataset(tmp_path: Path) -> None:
    one, two = many(tmp_path / "one"), many(tmp_path / "two", turned=True)
    assert one.digest == two.digest
    ours, theirs = (
        pin_negatives(dataset, read_task(dataset, "test"), seed=0) for dataset in (one, two)
    )
    assert dict(ours) == dict(theirs)
    assert digest(ours) == digest(theirs)


def test_the_digest_of_negatives_changes_with_what_is_written(tmp_path: Path) -> None:
    one, two = many(tmp_path / "one"), many(tmp_path / "two", last="flute apple")
    found = {digest(pin_negatives(d, read_task(d, "test"), seed=0)) for d in (one, two)}
    assert len(found) == 2


def test_an_answer_of_another_split_is_no_negative(tmp_path: Path) -> None:
    dataset = many(tmp_path / "d")
    task = read_task(dataset, "test")
    assert "d40" not in task.judged["q0"]
    for seed in range(8):  # of the far ones any can be chosen
        pinned = pin_negatives(dataset, task, seed=seed)
        assert not {"d0", "d40"} & set(pinned["q0"])
        assert not {"d1", "d41"} & set(pinned["q1"])


def test_what_is_called_neither_is_no_negative(tmp_path: Path) -> None:
    documents = {"right": "ab", "near": "ac", "far": "dd"}
    judged: list[Judged] = [("q", "right", 1, "test"), ("q", "near", math.nan, "test")]
    dataset = asked(tmp_path / "d", documents, {"q": "ab"}, judged)
    assert pin_negatives(dataset, read_task(dataset, "test"), seed=0) == {"q": ("far",)}


def test_half_of_the_negatives_share_words_with_the_query(tmp_path: Path) -> None:
    dataset = many(tmp_path / "d")
    task = read_task(dataset, "test")
    pinned = pin_negatives(dataset, task, seed=0)
    texts = {d.id: set(d.content.split()) for d in dataset.documents()}
    for query in task.queries:
        assert all(set(query.content.split()) & texts[id_] for id_ in pinned[query.id][:8])


def test_the_best_answer_does_not_depend_on_the_order_of_the_judgments(tmp_path: Path) -> None:
    one, two = many(tmp_path / "one"), many(tmp_path / "two", turned=True)
    assert {read_task(d, "test").best_answer("q1") for d in (one, two)} == {"d1"}


def test_texts_without_words_have_negatives_too(tmp_path: Path) -> None:
    dataset = asked(tmp_path / "d", {"x": "a", "y": "?!"}, {"q": "a"}, [("q", "x", 1, "test")])
    assert pin_negatives(dataset, read_task(dataset, "test"), seed=0) == {"q": ("y",)}


def test_where_all_is_right_there_is_no_margin(tmp_path: Path) -> None:
    judged: list[tuple[str, str, float, str]] = [("q", "x", 1, "test"), ("q", "y", 1, "test")]
    dataset = asked(tmp_path / "d", {"x": "apple", "y": "pear"}, {"q": "a"}, judged)  # type: ignore[arg-type]
    with pytest.raises(BadRecord, match="expected a document that is no answer to query 'q'"):
        pin_negatives(dataset, read_task(dataset, "test"), seed=0)
