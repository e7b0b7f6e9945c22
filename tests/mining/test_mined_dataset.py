"""Mining writes a dataset anew: the old one, and what slow loops would have mined."""

import json
import math
import random
from pathlib import Path

import pytest
from flat_world import ANSWER, FAR, LEARN, Angles, Judged, mined, world

from nearfar.data.dataset import Dataset
from nearfar.errors import BadFile, BadRecord, BadSetting
from nearfar.mining import negatives
from nearfar.mining.negatives import mine_negatives
from nearfar.mining.settings import Mining
from nearfar.model import kept_vectors
from nearfar.records import Split


def test_each_judgment_says_where_it_came_from(tmp_path: Path) -> None:
    dataset = world(tmp_path / "data", FAR | ANSWER, LEARN)
    mine_negatives(Angles(), dataset, tmp_path / "mined")
    found = [j for j in Dataset.open(tmp_path / "mined").judgments("train") if j.grade == 0]
    assert [j.origin.source for j in found] == [f"q rank {rank}" for rank in (2, 3, 4, 5)]
    space = Angles.space.fingerprint
    assert {j.origin.by for j in found} == {f"nearfar encoder top-50, space {space}"}
    nearest = found[0].origin.facts
    assert nearest["score"] == pytest.approx(math.cos(math.radians(40)), abs=1e-6)
    assert nearest["answer_score"] == pytest.approx(math.cos(math.radians(20)), abs=1e-6)
    assert (nearest["rank"], nearest["miner"], nearest["space"]) == (2, "encoder", space)
    assert str(nearest["reason"]).startswith("top of those below 0.89")


def test_the_new_dataset_is_the_old_one_and_the_negatives(tmp_path: Path) -> None:
    queries = {"q": "ask 0", "exam": "else 170"}
    judged: list[Judged] = [*LEARN, ("exam", "n80", 2, "test")]
    old = world(tmp_path / "data", FAR | ANSWER, judged, queries=queries)
    mine_negatives(Angles(), old, tmp_path / "mined")
    new = Dataset.open(tmp_path / "mined")
    assert list(new.documents()) == list(old.documents())
    assert list(new.queries()) == list(old.queries())
    assert [j for j in new.judgments() if j.origin.kind == "human"] == list(old.judgments())
    (parent,) = new.manifest["parents"]
    assert parent["digest"] == old.digest
    assert parent["mined_with"]["space"] == Angles.space.fingerprint
    assert new.manifest["licence"] == "CC0-1.0"


def by_loops(dataset: Dataset, settings: Mining) -> list[tuple[str, str]]:
    """The slow twin: every rule by itself, over plain lists."""

    def vector(text: str) -> tuple[float, float]:
        angle = math.radians(float(text.split()[-1]))
        return math.cos(angle), math.sin(angle)

    def alike(one: str, other: str) -> float:
        return sum(a * b for a, b in zip(vector(one), vector(other), strict=True))

    documents, queries = list(dataset.documents()), list(dataset.queries())
    text = {document.id: document.content for document in documents}
    asks = {query.id: query.content for query in queries}
    judgments = list(dataset.judgments())
    exam = {text[j.document_id] for j in judgments if j.grade > 0 and j.split in ("dev", "test")}
    found = []
    for query in queries:
        ours = [j for j in judgments if j.query_id == query.id]
        answers = [j.document_id for j in ours if j.grade > 0]
        if not answers or any(j.split != "train" for j in ours):
            continue
        positive = [j for j in judgments if j.grade > 0]
        same = [j.document_id for j in positive if asks[j.query_id] == query.content]
        lowest = min(alike(query.content, text[one]) for one in answers)
        free = [document for document in documents if document.content not in exam]
        free.sort(key=lambda document: -alike(query.content, document.content))
        good = [
            document.id
            for document in free[: settings.depth]
            if document.id not in {j.document_id for j in ours} | set(same)
            and document.content not in {text[one] for one in same} | {query.content}
            and all(alike(document.content, text[one]) < 0.98 for one in same)
            and alike(query.content, document.content) <= lowest - 0.05 * abs(lowest)
        ]
        found += [(query.id, one) for one in good[: settings.negatives_per_query]]
    return found


@pytest.mark.parametrize("seed", range(12))
def test_it_mines_what_loops_mine(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dice = random.Random(seed)
    angles = [dice.uniform(-180, 180) for _ in range(40)]
    documents = {f"d{i}": f"text {angle}" for i, angle in enumerate(angles)}
    documents["copy"] = f"text {angles[0]}"
    queries = {f"q{i}": f"text {dice.uniform(-180, 180)}" for i in range(12)}
    queries["q11"] = queries["q10"]
    judged: list[Judged] = []
    for query in queries:
        split: Split = dice.choice(["train", "train", "dev", "test"])
        for document in dice.sample(sorted(documents), dice.randint(1, 3)):
            judged.append((query, document, dice.choice([0, 1, 2]), split))
    judged.append(("q0", "d1", 1, "train"))
    dataset = world(tmp_path / "data", documents, judged, queries=queries)
    monkeypatch.setattr(negatives, "_QUERIES_PER_CHUNK", 5)
    monkeypatch.setattr(kept_vectors, "_ROWS_PER_CHUNK", 7)
    settings = Mining(negatives_per_query=3, depth=12)
    if not any(split == "train" for _, _, grade, split in judged if grade):
        pytest.skip("nothing to learn from in this world")
    summary = mine_negatives(Angles(), dataset, tmp_path / "mined", settings)
    want = by_loops(dataset, settings)
    assert mined(tmp_path / "mined") == want
    assert summary.negatives == len(want)


def test_mining_twice_gives_the_same_dataset(tmp_path: Path) -> None:
    dataset = world(tmp_path / "data", FAR | ANSWER, LEARN)
    mine_negatives(Angles(), dataset, tmp_path / "one")
    mine_negatives(Angles(), dataset, tmp_path / "two")
    assert Dataset.open(tmp_path / "one").digest == Dataset.open(tmp_path / "two").digest


def test_progress_is_told_to_the_end(tmp_path: Path) -> None:
    told: dict[str, tuple[int, int | None]] = {}

    def tell(what: str, done: int, total: int | None, note: str = "") -> None:
        told[what] = (done, total)

    dataset = world(tmp_path / "data", FAR | ANSWER, LEARN)
    mine_negatives(Angles(), dataset, tmp_path / "mined", progress=tell)
    assert told == {"embed documents": (6, 6), "mine negatives": (1, 1)}


def test_the_mined_dataset_does_not_take_the_place_of_its_parent(tmp_path: Path) -> None:
    dataset = world(tmp_path / "data", FAR | ANSWER, LEARN)
    with pytest.raises(BadFile, match="stays as it is"):
        mine_negatives(Angles(), dataset, tmp_path / "mined" / ".." / "data", replace=True)
    assert json.loads((tmp_path / "data" / "manifest.json").read_text()) == dataset.manifest


def test_nothing_to_mine_for_is_said(tmp_path: Path) -> None:
    dataset = world(tmp_path / "data", FAR | ANSWER, [("q", "answer", 1, "test")])
    with pytest.raises(BadRecord, match="expected queries of the train split"):
        mine_negatives(Angles(), dataset, tmp_path / "mined")
    assert not (tmp_path / "mined").exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("negatives_per_query", 0),
        ("depth", 0),
        ("relative_margin", -0.1),
        ("relative_margin", float("nan")),
        ("near_duplicate_cosine", float("nan")),
    ],
)
def test_an_impossible_setting_is_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(BadSetting, match=rf"mining\.{name} must be .* got"):
        Mining(**{name: value})  # type: ignore[arg-type]
