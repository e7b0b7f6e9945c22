"""What else can be set: who brings candidates, who refuses them, and which are taken."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from doubles import LetterEncoder
from flat_world import ANSWER, FAR, LEARN, Angles, Judged, mined, world
from torch import Tensor

from nearfar.data.dataset import Dataset
from nearfar.errors import BadRecord, BadSetting
from nearfar.mining.asking import ANSWER_TO_GUIDE, ANSWER_TO_TEACHER
from nearfar.mining.judges import Judges
from nearfar.mining.negatives import mine_negatives
from nearfar.mining.settings import Mining
from nearfar.mining.summary import MiningSummary
from nearfar.progress import Progress, silent
from nearfar.records import Role


def mine(
    tmp_path: Path, dataset: Dataset, judges: Judges | None = None, **settings: object
) -> tuple[list[str], MiningSummary]:
    mining = Mining(**settings)  # type: ignore[arg-type]
    summary = mine_negatives(
        Angles(), dataset, tmp_path / "mined", mining, judges=judges, replace=True
    )
    return [document for query, document in mined(tmp_path / "mined") if query == "q"], summary


class Turned(Angles):
    """Another model: it sees each text some degrees from where the first one does."""

    space = replace(Angles.space, weights="turned")

    def __init__(self, **moved: float) -> None:
        self.moved = moved

    def encode(self, contents: Sequence[str], role: Role, *, progress: Progress = silent) -> Tensor:
        seen = [
            f"{float(text.split()[-1]) + self.moved.get(text.split()[0], 0.0)}" for text in contents
        ]
        return super().encode(seen, role)


class Pages:
    """A reranker of angles: its logit falls with the distance, but for words it likes."""

    fingerprint = "pages"

    def __init__(self, **logits: float) -> None:
        self.logits = logits
        self.asked: list[int] = []

    def score(self, query: str, documents: Sequence[str]) -> Tensor:
        pairs = torch.tensor([(0, i) for i in range(len(documents))])
        return self.score_pairs([query], documents, pairs)

    def score_pairs(
        self,
        queries: Sequence[str],
        documents: Sequence[str],
        pairs: Tensor,
        *,
        progress: Progress = silent,
    ) -> Tensor:
        self.asked.append(len(pairs))
        return torch.tensor([self.logits.get(documents[d].split()[0], -4.0) for _, d in pairs])


SIX = {f"n{a}": f"w{a} {a}" for a in (40, 50, 60, 70, 80, 85)} | {"answer": "an answer 20"}


def test_ranks_before_the_first_are_passed_over(tmp_path: Path) -> None:
    dataset = world(tmp_path / "data", FAR | ANSWER, LEARN)
    assert mine(tmp_path, dataset, first_rank=4)[0] == ["n60", "n70", "n80"]


def test_an_absolute_margin_is_a_difference_of_cosines(tmp_path: Path) -> None:
    dataset = world(tmp_path / "data", FAR | ANSWER, LEARN)
    margin = math.cos(math.radians(20)) - math.cos(math.radians(55))
    found, _ = mine(tmp_path, dataset, relative_margin=None, absolute_margin=margin)
    assert found == ["n60", "n70", "n80"]


def test_without_any_margin_what_is_nearer_than_the_answer_is_taken(tmp_path: Path) -> None:
    dataset = world(tmp_path / "data", FAR | ANSWER | {"above": "high -10"}, LEARN)
    found, summary = mine(tmp_path, dataset, relative_margin=None)
    assert found[0] == "above"
    assert summary.audit.share_above_answer == 1 / 4


def test_a_guide_refuses_what_it_takes_for_an_answer(tmp_path: Path) -> None:
    dataset = world(tmp_path / "data", SIX, LEARN)
    guide = Turned(w40=-25.0)  # sees n40 at 15, nearer than the answer at 20
    found, summary = mine(tmp_path, dataset, Judges(guide=guide))
    assert found == ["n50", "n60", "n70", "n80"]
    assert summary.refused[ANSWER_TO_GUIDE] == 1
    assert mine(tmp_path, dataset, Judges(guide=guide), guide_margin=-0.2)[0][0] == "n40"


def test_a_teacher_refuses_what_comes_near_the_answer(tmp_path: Path) -> None:
    dataset = world(tmp_path / "data", SIX, LEARN)
    teacher = Pages(an=2.0, w50=1.9, w70=1.0)  # probabilities 0.88, 0.87, 0.73
    found, summary = mine(tmp_path, dataset, Judges(teacher=teacher))
    assert found == ["n40", "n60", "n70", "n80"]
    assert summary.refused[ANSWER_TO_TEACHER] == 1
    found, _ = mine(tmp_path, dataset, Judges(teacher=teacher), teacher_threshold=0.5)
    assert found == ["n40", "n60", "n80", "n85"]


def test_a_teacher_is_asked_in_few_large_batches_about_what_is_needed(tmp_path: Path) -> None:
    queries = {f"q{i}": f"ask{i} 0" for i in range(20)}
    documents = SIX | {f"a{i}": f"an a{i} 19.5" for i in range(20)}
    judged: list[Judged] = [(f"q{i}", f"a{i}", 1, "train") for i in range(20)]
    dataset = world(tmp_path / "data", documents, judged, queries=queries)
    teacher = Pages(an=2.0)
    _, summary = mine(tmp_path, dataset, Judges(teacher=teacher), allow_random=True,
                      negatives_per_query=3)  # fmt: skip
    assert summary.negatives == 60
    assert teacher.asked == [20, 60]  # the answers of all queries, then three of each


def test_the_teacher_can_say_which_are_hardest(tmp_path: Path) -> None:
    dataset = world(tmp_path / "data", SIX, LEARN)
    teacher = Pages(an=2.0, w80=1.0, w60=0.5)
    found, _ = mine(tmp_path, dataset, Judges(teacher=teacher), rank_by="teacher",
                    negatives_per_query=2)  # fmt: skip
    assert found == ["n80", "n60"]
    with pytest.raises(BadSetting, match="no teacher was named"):
        mine(tmp_path, dataset, rank_by="teacher")


@pytest.mark.parametrize("sampling", ["random", "score"])
def test_what_is_drawn_is_of_the_safe_ones_and_follows_the_seed(
    tmp_path: Path, sampling: str
) -> None:
    dataset = world(tmp_path / "data", SIX | {"above": "high 0"}, LEARN)
    drawn = [
        tuple(
            mine(
                tmp_path,
                dataset,
                sampling=sampling,
                negatives_per_query=2,
                seed=seed,
                sampling_temperature=0.5,
            )[0]
        )
        for seed in range(12)
    ]
    again = mine(
        tmp_path,
        dataset,
        sampling=sampling,
        negatives_per_query=2,
        seed=3,
        sampling_temperature=0.5,
    )[0]
    assert tuple(again) == drawn[3]
    assert len(set(drawn)) > 3
    assert all(len(some) == 2 and set(some) <= SIX.keys() - {"answer"} for some in drawn)
    assert all(list(some) == sorted(some) for some in drawn)  # the hardest first


def test_sampling_by_score_leans_to_what_is_near(tmp_path: Path) -> None:
    dataset = world(tmp_path / "data", SIX, LEARN)
    times: Counter[str] = Counter()
    for seed in range(60):
        times.update(mine(tmp_path, dataset, sampling="score", negatives_per_query=1, seed=seed,
                          sampling_temperature=0.2)[0])  # fmt: skip
    weights = {f"n{a}": math.exp(math.cos(math.radians(a)) / 0.2) for a in (40, 50, 60, 70, 80, 85)}
    assert times["n40"] / 60 == pytest.approx(weights["n40"] / sum(weights.values()), abs=0.15)


def letters(folder: Path) -> Dataset:
    documents = {f"d{i}": chr(97 + i % 26) * (1 + i % 7) + chr(97 + i % 11) for i in range(60)}
    queries = {f"q{i}": chr(97 + i) * 3 + "m" for i in range(20)}
    judged: list[Judged] = [(f"q{i}", f"d{i}", 1, "train") for i in range(20)]
    return world(folder, documents, judged, queries=queries)


def test_kept_vectors_are_those_of_the_same_space_and_texts_alone(tmp_path: Path) -> None:
    class Counting(LetterEncoder):
        texts = 0

        def encode(
            self, contents: Sequence[str], role: Role, *, progress: Progress = silent
        ) -> Tensor:
            if role == "document":
                Counting.texts += len(contents)
            return super().encode(contents, role)

    dataset, cache = letters(tmp_path / "data"), tmp_path / "cache"

    def again(name: str, encoder: Counting, dataset: Dataset = dataset) -> int:
        Counting.texts = 0
        mine_negatives(encoder, dataset, tmp_path / name, Mining(allow_random=True), cache=cache)
        return Counting.texts

    assert again("one", Counting()) == 60
    assert again("two", Counting()) == 0
    assert Dataset.open(tmp_path / "one").digest == Dataset.open(tmp_path / "two").digest
    assert again("three", Counting(replace(LetterEncoder().space, weights="new"))) == 60
    assert again("four", Counting(), Dataset.open(tmp_path / "one")) == 0  # the texts are the same
    other = world(tmp_path / "other", FAR | ANSWER, LEARN)
    assert again("five", Counting(), other) == 6


def test_kept_texts_are_those_of_the_rows_as_they_stand(tmp_path: Path) -> None:
    # The digest of a dataset does not know the order of its rows.
    one = world(tmp_path / "one", SIX, LEARN)
    other = world(tmp_path / "other", dict(reversed(SIX.items())), LEARN)
    assert one.digest == other.digest
    teacher = Judges(teacher=Pages(an=2.0, w50=1.9))
    found = []
    for name, dataset in (("a", one), ("b", other)):
        mine_negatives(Angles(), dataset, tmp_path / name, judges=teacher, cache=tmp_path / "kept")
        found.append(sorted(mined(tmp_path / name)))
    assert found[0] == found[1]
    assert ("q", "n50") not in found[1]


def test_negatives_no_harder_than_chance_are_refused_unless_wanted(tmp_path: Path) -> None:
    dice = np.random.default_rng(0)
    documents = {f"d{i}": f"t{i} {dice.uniform(0, 360):.3f}" for i in range(300)}
    queries = {f"q{i}": f"t{i} {dice.uniform(0, 360):.3f}" for i in range(40)}
    judged: list[Judged] = [(f"q{i}", f"d{i}", 1, "train") for i in range(40)]
    dataset = world(tmp_path / "data", documents, judged, queries=queries)
    easy = {"depth": 300, "sampling": "random", "relative_margin": None}
    with pytest.raises(BadRecord, match="no harder than documents drawn by chance"):
        mine(tmp_path, dataset, **easy)
    assert not (tmp_path / "mined").exists()
    _, summary = mine(tmp_path, dataset, **easy, allow_random=True)
    assert any("no harder" in sentence for sentence in summary.audit.sentences())
    assert mine(tmp_path, dataset, relative_margin=None)[1].audit.hardness > 1


def test_the_audit_counts_what_was_mined(tmp_path: Path) -> None:
    dataset = world(tmp_path / "data", SIX, LEARN)
    teacher = Pages(an=2.0, w40=-1.0)
    _, summary = mine(tmp_path, dataset, Judges(teacher=teacher), negatives_per_query=2)
    audit = summary.audit
    cosines = [math.cos(math.radians(a)) for a in (40, 50)]
    assert audit.mean_score == pytest.approx(sum(cosines) / 2, abs=1e-6)
    assert audit.mean_answer_score == pytest.approx(math.cos(math.radians(20)), abs=1e-6)
    assert sum(audit.margin_counts) == audit.negatives == 2
    expected = (torch.tensor([-1.0, -4.0]).sigmoid()).mean().item()
    assert audit.probably_false == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("name", "value"),
    [("depth", 0), ("finders", ()), ("finders", ("oracle",)), ("first_rank", 51), ("seed", -1),
     ("relative_margin", 1.5), ("sampling", "best"), ("search", "fast"), ("rounds", 0),
     ("teacher_threshold", 0.0), ("sampling_temperature", 0.0), ("rank_by", "luck"),
     ("absolute_margin", 3.0), ("guide_margin", 4.0), ("teacher_margin", -0.1)],
)  # fmt: skip
def test_a_setting_out_of_range_is_named(name: str, value: object) -> None:
    with pytest.raises(BadSetting, match=rf"mining\.{name} must be"):
        Mining(**{name: value})  # type: ignore[arg-type]
