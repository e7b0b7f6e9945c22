"""Views of a text are changed as they say, and the same ones each time."""

from pathlib import Path
from random import Random

import pytest
from making import write_lines

from nearfar.data.importing import ImportOptions, import_source
from nearfar.data.views import VIEWS
from nearfar.errors import BadSetting

TEXT = "the river runs past the old mill and turns its wheel all through the night"


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_depends_on_its_dice_alone(name: str) -> None:
    for text in (TEXT, "two words", "水が流れる", "ab"):
        views = [VIEWS[name](text, Random(i)) for i in range(50)]
        assert views == [VIEWS[name](text, Random(i)) for i in range(50)]
        assert all(views)
    views = [VIEWS[name](TEXT, Random(i)) for i in range(50)]
    assert (len(set(views)) > 10) == (name != "same")


def test_a_deletion_keeps_the_order_of_what_it_keeps() -> None:
    for seed in range(50):
        words = VIEWS["deletion"](TEXT, Random(seed)).split()
        rest = iter(TEXT.split())
        assert all(word in rest for word in words)  # a subsequence
        assert len(words) < len(TEXT.split())


def test_a_crop_is_a_stretch() -> None:
    crops = [VIEWS["crop"](TEXT, Random(seed)) for seed in range(50)]
    assert all(crop in TEXT and 0.3 < len(crop.split()) / 15 < 0.9 for crop in crops)


@pytest.mark.parametrize("name", ["letters", "keyboard"])
def test_slips_change_few_words(name: str) -> None:
    for seed in range(50):
        changed = VIEWS[name](TEXT, Random(seed)).split()
        different = sum(a != b for a, b in zip(changed, TEXT.split(), strict=True))
        assert different <= 8


def test_texts_become_documents_and_their_views_queries(tmp_path: Path) -> None:
    source = write_lines(tmp_path / "a.txt", TEXT, "x", TEXT + " again")
    options = ImportOptions(kind="texts", views=("crop", "keyboard"), seed=3)
    found = import_source(source, tmp_path / "set", options)
    judged = list(found.dataset.judgments())
    assert [j.origin.facts for j in judged[:2]] == [
        {"view": "crop", "seed": 3}, {"view": "keyboard", "seed": 3},
    ]  # fmt: skip
    assert {j.origin.kind for j in judged} == {"augmented"}
    assert len(judged) == 4
    assert found.tally.left_out == {"texts too short for a view": 1}


def test_the_same_text_twice_is_one_pair(tmp_path: Path) -> None:
    source = write_lines(tmp_path / "a.txt", TEXT)
    found = import_source(source, tmp_path / "set", ImportOptions(kind="texts")).dataset
    (judgment,) = found.judgments()
    assert judgment.query_id == judgment.document_id


def test_an_unknown_view_is_answered_with_those_there_are(tmp_path: Path) -> None:
    source = write_lines(tmp_path / "a.txt", TEXT)
    with pytest.raises(BadSetting, match="same, deletion, crop, letters, keyboard"):
        import_source(source, tmp_path / "set", ImportOptions(kind="texts", views=("crops",)))
