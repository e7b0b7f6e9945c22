"""A dataset is written whole, read as it was, and split so that nothing leaks."""

import json
import random
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from making import dataset, document, judgment, query

from nearfar.data.dataset import Dataset
from nearfar.data.splits import Shares, split_of_group
from nearfar.data.writer import write_dataset
from nearfar.errors import BadFile, BadRecord, BadSetting
from nearfar.records import Document, Judgment, Query

Record = Document | Query | Judgment

texts = st.text(st.characters(codec="utf-8"), min_size=1).filter(str.strip)
scalars = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.booleans(),
    st.floats(allow_nan=False, allow_infinity=False),
    texts,
)


@st.composite
def worlds(draw: st.DrawFn) -> list[Record]:
    """A few documents in groups, and queries with answers and refusals among them."""
    groups = draw(st.lists(st.sampled_from(["", "g1", "g2", "g3"]), min_size=2, max_size=9))
    documents = [document(f"d{i}", group=group) for i, group in enumerate(groups)]
    queries = [query(f"q{i}") for i in range(draw(st.integers(1, 6)))]
    pairs = st.tuples(st.sampled_from(queries), st.sampled_from(documents), st.sampled_from([0, 1]))
    judged = draw(st.lists(pairs, min_size=1, max_size=12))
    return [*documents, *queries, *(judgment(q.id, d.id, grade) for q, d, grade in judged)]


@pytest.fixture(scope="module", autouse=True)
def _where_pytest_clears_up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    before, tempfile.tempdir = tempfile.tempdir, str(tmp_path_factory.mktemp("made"))
    yield
    tempfile.tempdir = before


def made(records: list[Record], shares: Shares | None = None) -> Dataset:
    """Return a dataset in a folder of its own; hypothesis does without pytest's tmp_path."""
    folder = Path(tempfile.mkdtemp()) / "set"
    with write_dataset(folder, licence="CC0-1.0", parents=[], shares=shares) as writer:
        for record in records:
            writer.add(record)
    return Dataset.open(folder)


@settings(max_examples=40, deadline=None)
@given(
    texts,
    texts,
    st.dictionaries(texts.map(lambda t: f"f_{t}"), scalars, max_size=4),
    st.floats(0, 1e9),
    st.none() | st.floats(-1e9, 1e9),
)
def test_what_is_written_is_read(
    content: str, asked: str, fields: dict[str, str | int | float | bool], grade: float,
    score: float | None,
) -> None:  # fmt: skip
    judged = judgment("q", "d", grade, "dev")
    records: list[Record] = [
        document("d", content, "g", **fields),
        query("q", asked),
        replace(judged, score=score, origin=replace(judged.origin, facts=fields)),
    ]
    found = made(records)
    assert [*found.documents(), *found.queries(), *found.judgments()] == records
    assert list(found.judgments("test")) == []


@settings(max_examples=25, deadline=None)
@given(worlds(), st.randoms(use_true_random=False))
def test_the_order_of_the_records_does_not_change_the_digest(
    records: list[Record], dice: random.Random
) -> None:
    shuffled = dice.sample(records, len(records))
    assert made(records).digest == made(shuffled).digest


def test_the_digest_changes_with_any_content(tmp_path: Path) -> None:
    base: list[Record] = [document("d"), query("q"), judgment("q", "d")]
    changed: list[list[Record]] = [
        [document("d", "other"), *base[1:]],
        [document("d", lang="en"), *base[1:]],
        [document("d", group="g"), *base[1:]],
        [base[0], query("q", "other"), base[2]],
        [*base[:2], judgment("q", "d", 2.0)],
        [*base[:2], judgment("q", "d", 1.0, "aside")],
        [*base, document("e")],
    ]
    digests = {dataset(tmp_path / str(i), r).digest for i, r in enumerate([base, *changed])}
    assert len(digests) == len(changed) + 1


@settings(max_examples=30, deadline=None)
@given(worlds())
def test_a_group_is_never_divided(records: list[Record]) -> None:
    found = made(records, Shares(dev=0.3, test=0.4))
    group_of = {d.id: d.group or d.id for d in found.documents()}
    splits: dict[str, set[str | None]] = {}
    for j in found.judgments():
        if j.grade > 0 and j.split != "aside":
            splits.setdefault(group_of[j.document_id], set()).add(j.split)
    assert all(len(each) == 1 for each in splits.values())


@settings(max_examples=30, deadline=None)
@given(worlds(), st.data())
def test_more_records_never_move_a_query_from_one_split_to_another(
    records: list[Record], data: st.DataObject
) -> None:
    shares = Shares(dev=0.3, test=0.4)
    texts = [r for r in records if not isinstance(r, Judgment)]
    judged = [r for r in records if isinstance(r, Judgment)]
    some = data.draw(st.lists(st.sampled_from(judged), min_size=1, unique_by=id))
    before = {j.query_id: j.split for j in made([*texts, *some], shares).judgments()}
    after = {j.query_id: j.split for j in made(records, shares).judgments()}
    for query_id, split in before.items():
        assert split == "aside" or after[query_id] in (split, "aside")


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
def test_a_query_whose_answers_lie_in_two_splits_is_set_aside(
    tmp_path: Path, order: tuple[str, str]
) -> None:
    shares = Shares(dev=0, test=0.5)
    groups = {split_of_group(f"g{i}", shares): f"g{i}" for i in range(20)}
    documents = [document("a", group=groups["train"]), document("b", group=groups["test"])]
    with write_dataset(tmp_path / "set", licence="", parents=[], shares=shares) as writer:
        for record in (*documents, query("q"), *(judgment("q", id) for id in order)):
            writer.add(record)
    assert {j.split for j in Dataset.open(tmp_path / "set").judgments()} == {"aside"}


@pytest.mark.parametrize("count", [2_000])
def test_the_shares_are_kept_about(count: int) -> None:
    splits = [split_of_group(str(i), Shares(dev=0.1, test=0.2)) for i in range(count)]
    assert splits.count("dev") / count == pytest.approx(0.1, abs=0.03)
    assert splits.count("test") / count == pytest.approx(0.2, abs=0.03)


@pytest.mark.parametrize(("dev", "test"), [(-0.1, 0.1), (0.5, 0.5), (float("nan"), 0.1)])
def test_shares_that_leave_nothing_to_train_on_are_refused(dev: float, test: float) -> None:
    with pytest.raises(BadSetting, match="leave something to train on"):
        Shares(dev=dev, test=test)


def test_repeated_records_are_merged_and_counted(tmp_path: Path) -> None:
    records: list[Record] = [document("d"), query("q"), judgment("q", "d")]
    found = dataset(tmp_path / "set", [*records, *records])
    assert found.manifest["merged"] == {"documents": 1, "queries": 1, "judgments": 1}
    assert found.manifest["rows"] == {"documents": 1, "queries": 1, "judgments": 1}


def test_the_same_judgment_in_two_splits_is_kept_for_the_check(tmp_path: Path) -> None:
    both: list[Record] = [judgment("q", "d", 1.0, "train"), judgment("q", "d", 1.0, "test")]
    found = dataset(tmp_path / "set", [document("d"), query("q"), *both])
    assert {j.split for j in found.judgments()} == {"train", "test"}


BAD_RECORDS: dict[str, tuple[list[Record], str]] = {
    "no text": ([document("d", " \n")], "d:d: the document 'd' has no text"),
    "no id": ([document("")], "d:: the document has an empty id"),
    "two texts": ([document("d", "a"), document("d", "b")], "d:d: id 'd' already names another"),
    "two queries": ([query("q", "a"), query("q", "b")], "q:q: id 'q' already names another"),
    "no number": ([judgment("q", "d", float("nan"))], "j:q:d: a grade must be a number"),
    "below 0": ([judgment("q", "d", -1)], "j:q:d: a grade must be a number of 0 or more"),
    "a taken name": (
        [Document(id="d", content="t", source="d:d", fields={"group": "g"})],
        "d:d: a field may not be called 'group'",
    ),
}


@pytest.mark.parametrize("case", BAD_RECORDS)
def test_a_bad_record_is_named_with_its_source(tmp_path: Path, case: str) -> None:
    records, message = BAD_RECORDS[case]
    with pytest.raises(BadRecord, match=message):
        dataset(tmp_path / "set", records)
    assert list(tmp_path.iterdir()) == []  # nothing is left behind


@pytest.mark.parametrize("missing", ["q", "d"])
def test_a_judgment_of_an_unknown_text_is_named(tmp_path: Path, missing: str) -> None:
    pair = {"q": "q", "d": "d"} | {missing: "x"}
    with pytest.raises(BadRecord, match=f"j:{pair['q']}:{pair['d']}: .*'x'"):
        dataset(tmp_path / "set", [document("d"), query("q"), judgment(pair["q"], pair["d"])])


def test_nothing_at_all_is_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(BadRecord, match="found no documents"):
        dataset(tmp_path / "set", [])


def test_a_dataset_is_not_written_over(tmp_path: Path) -> None:
    records: list[Record] = [document("d"), query("q"), judgment("q", "d")]
    dataset(tmp_path / "set", records)
    with pytest.raises(BadFile, match="exists already"):
        dataset(tmp_path / "set", records)


@pytest.mark.parametrize(
    ("manifest", "message"),
    [(None, "manifest.json cannot be read"), ("{", "cannot be read"), ('{"format": 99}', "99")],
)
def test_a_folder_that_is_no_dataset_is_named(
    tmp_path: Path, manifest: str | None, message: str
) -> None:
    if manifest is not None:
        (tmp_path / "manifest.json").write_text(manifest)
    with pytest.raises(BadFile, match=message):
        Dataset.open(tmp_path)
    with pytest.raises(BadFile, match="no such dataset folder"):
        Dataset.open(tmp_path / "none")


def test_a_damaged_table_is_named(tmp_path: Path) -> None:
    found = dataset(tmp_path / "set", [document("d"), query("q"), judgment("q", "d")])
    (found.folder / "documents.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(BadFile, match=r"documents\.parquet: cannot be read as Parquet"):
        list(found.documents())


def test_the_manifest_counts_the_splits(tmp_path: Path) -> None:
    records: list[Record] = [document("d"), document("e"), query("q"), query("r")]
    judged = [judgment("q", "d", 1, "train"), judgment("q", "e", 1, "train"), judgment("r", "d")]
    found = dataset(tmp_path / "set", [*records, *judged])
    splits = json.loads((found.folder / "manifest.json").read_text())["splits"]
    assert splits["train"]["judgments"] >= 2
    assert sum(split["judgments"] for split in splits.values()) == 3
