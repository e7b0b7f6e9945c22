"""Marks: kept whatever happens, taken back, compared, settled, and made into judgments."""

import datetime as dt
import itertools
import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from labelled import dataset, items
from sklearn.metrics import cohen_kappa_score

from nearfar.data.dataset import Dataset
from nearfar.errors import BadFile, BadRecord, BadSetting
from nearfar.records import Judgment
from nearfar.release.applying import Applied, apply_marks
from nearfar.release.labellers import agreement, weighted_kappa
from nearfar.release.labelling import Labeller
from nearfar.release.marks import Journal
from nearfar.release.queue import Item
from nearfar.release.texts import Texts, harmless, marked
from nearfar.teaching.agreement import Ratings

PAIRS = [("q0", "d1"), ("q0", "d2"), ("q1", "d1"), ("q1", "d3")]
NOON = dt.datetime(2026, 11, 21, 12, tzinfo=dt.UTC)


def labeller(path: Path, by: str = "ann", *, queue: Any = None, **more: Any) -> Labeller:
    return Labeller(queue or items(*PAIRS), Journal(path), by, more.pop("scale", "0-3"),
                    now=lambda: NOON, **more)  # fmt: skip


def say(path: Path, by: str, grades: list[int], **more: Any) -> None:
    one = labeller(path, by, **more)
    for grade in grades:
        item = one.current()
        assert item is not None
        assert one.mark(item.pair, grade, seconds=2.0) is None


def test_it_goes_on_where_one_stopped(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    say(path, "ann", [2, 0])
    again = labeller(path)
    current = again.current()
    assert current is not None
    assert current.pair == PAIRS[2]
    standing = again.standing()
    assert (standing.done, standing.total, standing.seconds_left) == (2, 4, 4.0)
    other = labeller(path, "bob").current()
    assert other is not None
    assert other.pair == PAIRS[0]
    say(path, "ann", [1, 1])
    assert labeller(path).current() is None


def test_what_is_skipped_comes_last_and_what_is_taken_back_comes_again(tmp_path: Path) -> None:
    one = labeller(tmp_path / "m.jsonl")
    one.skip(PAIRS[0])
    assert (c := one.current()) is not None
    assert c.pair == PAIRS[1]
    for pair in PAIRS[1:]:
        one.mark(pair, 1)
    assert (c := one.current()) is not None
    assert c.pair == PAIRS[0]
    one.mark(PAIRS[0], 3)
    assert one.current() is None
    for pair in (PAIRS[0], PAIRS[3]):
        taken = one.undo()
        assert taken is not None
        assert taken.pair == pair
    assert one.standing().done == 2
    for _ in range(3):  # two marks and the skip
        assert one.undo() is not None
    assert one.undo() is None
    again = labeller(tmp_path / "m.jsonl")
    assert again.standing().done == again.standing().skipped == 0


def test_a_line_that_was_never_finished_is_cut_off_and_no_mark_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    say(path, "ann", [2, 0])
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:40])  # killed in the middle
    say(path, "ann", [1])
    assert len(path.read_bytes().splitlines()) == 3
    assert len(Journal(path).standing()) == 3
    path.write_bytes(path.read_bytes().rstrip(b"\n"))  # saved so by an editor
    say(path, "ann", [1])
    assert len(Journal(path).standing()) == 4


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    say(path, "ann", [2])
    line = json.loads(path.read_text())
    for bad in ({**line, "grade": 4}, {**line, "did": "undo"}, {**line, "scale": "x"}, {"a": 1}):
        path.write_text(json.dumps(line) + "\n" + json.dumps(bad) + "\n")
        with pytest.raises(BadFile, match=r"m.jsonl:2"):
            Journal(path)


def test_many_write_at_once_and_every_mark_is_there(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    names = [f"labeller {n}" for n in range(6)]
    threads = [threading.Thread(target=say, args=(path, name, [1, 2, 3, 0])) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = Journal(path).standing()
    assert {(pair, by) for pair, by, _ in found} == set(itertools.product(PAIRS, names))


def test_two_windows_of_one_person_do_not_overwrite_each_other(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    first, second = labeller(path), labeller(path)
    assert first.mark(PAIRS[0], 2) is None
    assert second.mark(PAIRS[0], 2) is None  # the same again: nothing to write
    assert "Marked 2 in another window" in str(second.mark(PAIRS[0], 3))
    assert len(path.read_text().splitlines()) == 1
    assert (c := second.current()) is not None
    assert c.pair == PAIRS[1]
    assert second.undo() is not None
    assert first.standing().done == 1  # not looked yet
    assert (c := first.current()) is not None
    assert c.pair == PAIRS[0]


def test_who_has_nothing_to_mark_or_another_scale_is_told(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    say(path, "ann", [2])
    with pytest.raises(BadSetting, match="on the scale yes-no, found 0-3"):
        labeller(path, scale="yes-no")
    with pytest.raises(BadSetting, match="--by must"):
        labeller(path, " ")
    with pytest.raises(BadSetting, match="only for ann"):
        labeller(path, "bob", queue=items(*PAIRS, labellers=("ann",)))
    for pair, grade, message in ((PAIRS[0], 4, "0 to 3"), (("q9", "d1"), 1, "not in the queue")):
        with pytest.raises(BadSetting, match=message):
            labeller(path).mark(pair, grade)


@pytest.mark.parametrize("seed", range(3))
def test_agreement_is_that_of_others(tmp_path: Path, seed: int) -> None:
    dice = np.random.default_rng(seed)
    first = dice.integers(0, 4, 60)
    second = np.where(dice.random(60) < 0.6, first, dice.integers(0, 4, 60))
    table = np.zeros((4, 4))
    np.add.at(table, (first, second), 1)
    assert weighted_kappa(table) == pytest.approx(
        cohen_kappa_score(first, second, weights="quadratic")
    )
    pairs = [(f"q{n // 5}", f"d{n}") for n in range(60)]
    for by, grades in (("ann", first), ("bob", second)):
        say(tmp_path / "m.jsonl", by, grades.tolist(), queue=items(*pairs))
    found = agreement([Journal(tmp_path / "m.jsonl")], "0-3")
    ratings = Ratings(4)
    ratings.add(np.stack([first, second], 1).astype(float))
    assert found.alpha.number == pytest.approx(ratings.alpha)
    two = found.twos[0]
    assert (two.first, two.second, two.pairs) == ("ann", "bob", 60)
    assert two.same == pytest.approx(float((first == second).mean()))
    assert set(found.apart) == {pairs[n] for n in np.flatnonzero(first != second)}
    assert None not in (two.kappa.low, two.kappa.high, two.kappa.number)
    assert two.kappa.low < two.kappa.number < two.kappa.high  # type: ignore[operator]
    assert found == agreement([Journal(tmp_path / "m.jsonl")], "0-3")


def test_few_pairs_without_a_disagreement_promise_little(tmp_path: Path) -> None:
    pairs = [(f"q{n}", "d1") for n in range(10)]
    for by in ("ann", "bob"):
        say(tmp_path / "m", by, [0, 3] * 5, queue=items(*pairs))
    kappa = agreement([Journal(tmp_path / "m")], "0-3").twos[0].kappa
    assert (kappa.number, kappa.high) == (1.0, 1.0)
    assert kappa.low is not None
    assert kappa.low < 0.6
    for by in ("eve", "kim"):
        say(tmp_path / "same", by, [2] * 10, queue=items(*pairs))
    assert agreement([Journal(tmp_path / "same")], "0-3").alpha.number is None


def applied(tmp_path: Path, queue: tuple[Item, ...], **more: Any) -> tuple[Applied, Any]:
    """The marks of m.jsonl in a new dataset, and its judgments by pair."""
    data = (
        dataset(tmp_path / "d") if not (tmp_path / "d").exists() else Dataset.open(tmp_path / "d")
    )
    done = apply_marks(data, queue, [Journal(tmp_path / "m.jsonl")], tmp_path / "new",
                       queue="queue.jsonl", replace=True, **more)  # fmt: skip
    judged: dict[tuple[str, str], list[Judgment]] = {}
    for one in Dataset.open(tmp_path / "new").judgments():
        judged.setdefault((one.query_id, one.document_id), []).append(one)
    return done, judged


def test_marks_become_judgments_of_people_and_take_the_place_of_clicks(tmp_path: Path) -> None:
    queue = items(("q0", "d0"), ("q0", "d4"), ("q1", "d5"))
    say(tmp_path / "m.jsonl", "ann", [0, 3], queue=queue)
    done, judged = applied(tmp_path, queue)
    assert (done.answers, done.wrong, done.replaced, done.new_queries) == (1, 1, 1, 0)
    (click,) = judged["q0", "d0"]  # that was a click, of grade 1
    assert (click.grade, click.split, click.origin.kind) == (0.0, "test", "human")
    origin = judged["q0", "d4"][0].origin
    assert (origin.by, origin.source, origin.at) == ("ann", "m.jsonl:2", NOON.isoformat())
    assert dict(origin.facts) == {"scale": "0-3", "seconds": 2.0}
    assert ("q1", "d5") not in judged
    assert judged["q1", "d1"][0].origin.kind == "click"
    manifest = json.loads((tmp_path / "new/manifest.json").read_text())
    assert list(manifest["parents"][0]["marked_with"]) == ["m.jsonl"]


@pytest.mark.parametrize(
    ("content", "group", "split"),
    [("quite new", "", "test"), ("of a learned session", "session 7", "train"),
     ("What was  LEARNED", "", "train"), ("tea 1?", "session 7", "aside")],
)  # fmt: skip
def test_a_new_query_goes_where_its_kin_is_and_never_from_train_to_test(
    tmp_path: Path, content: str, group: str, split: str
) -> None:
    queue = items(("new", "d1"), content=content, group=group)
    say(tmp_path / "m.jsonl", "ann", [2], queue=queue)
    done, judged = applied(tmp_path, queue)
    assert (done.new_queries, done.splits) == (1, ((split, 1),))
    assert judged["new", "d1"][0].split == split


def test_a_query_keeps_its_own_split_whatever_the_queue_says(tmp_path: Path) -> None:
    queue = items(("learned", "d1"))
    say(tmp_path / "m.jsonl", "ann", [2], queue=queue)
    assert applied(tmp_path, queue)[1]["learned", "d1"][0].split == "train"


def test_where_labellers_disagree_someone_settles_it(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    say(path, "ann", [3, 1, 0, 2])
    say(path, "bob", [3, 2, 3, 2])
    done, judged = applied(tmp_path, items(*PAIRS))
    assert (done.undecided, done.answers, done.wrong) == (2, 2, 0)
    assert judged[PAIRS[0]][0].origin.by == "ann, bob"
    done, judged = applied(tmp_path, items(*PAIRS), settle="median")
    assert [judged[pair][0].grade for pair in PAIRS] == [3.0, 1.0, 0.0, 2.0]
    judge = labeller(path, "kim", settles=True)
    assert list(judge.items) == PAIRS[1:3]
    judge.mark(PAIRS[1], 2)
    done, judged = applied(tmp_path, items(*PAIRS))
    assert (done.undecided, judged[PAIRS[1]][0].grade) == (1, 2.0)
    assert (judged[PAIRS[1]][0].origin.by, judged[PAIRS[1]][0].origin.facts["settled"]) == (
        "kim", True)  # fmt: skip
    assert list(labeller(path, "lee", settles=True).items) == [PAIRS[2]]
    assert list(labeller(path, "kim", settles=True).items) == PAIRS[1:3]  # and may take it back


def test_marks_of_a_pair_on_two_scales_are_not_taken_together(tmp_path: Path) -> None:
    queue = items(*PAIRS)
    for by, scale, grades in (("ann", "0-3", [1, 1, 1, 1]), ("bob", "yes-no", [1])):
        say(tmp_path / f"{by}.jsonl", by, grades, queue=queue, scale=scale)
    journals = [Journal(tmp_path / "ann.jsonl"), Journal(tmp_path / "bob.jsonl")]
    with pytest.raises(BadSetting, match=r"ann\.jsonl:1, bob\.jsonl:1: expected one scale"):
        apply_marks(dataset(tmp_path / "d"), queue, journals, tmp_path / "out", queue="q")
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_taken_over_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    data = dataset(tmp_path / "d")
    say(tmp_path / "m.jsonl", "ann", [1])
    for queue, journal, message in (
        (items(("q5", "d1")), "m.jsonl", "m.jsonl:1: expected a pair of the queue"),
        (items(*PAIRS), "empty.jsonl", "found none"),
    ):
        with pytest.raises(BadRecord, match=message):
            apply_marks(data, queue, [Journal(tmp_path / journal)], tmp_path / "new", queue="q")
    assert not (tmp_path / "new").exists()
    with pytest.raises(BadRecord, match=r"q:1: expected a document .* found 'd77'"):
        Texts(data, items(("q0", "d77")), "q")
    with pytest.raises(BadSetting, match="--settle"):
        apply_marks(data, items(*PAIRS), [], tmp_path / "new", queue="q",
                    settle="mean")  # type: ignore[arg-type]  # fmt: skip


def test_texts_are_harmless_and_their_words_found() -> None:
    assert harmless("a\x1b[2J\x07\u202eb\r\nc\td") == "a\ufffd[2J\ufffd\ufffdb\nc\td"
    parts = marked("Zoë's TEA, teapots; tea_pot", {"tea", "zoë"})
    assert [words for words, hit in parts if hit] == ["Zoë", "TEA"]
    assert "".join(words for words, _ in parts) == "Zoë's TEA, teapots; tea_pot"
    assert marked("", {"a"}) == []
