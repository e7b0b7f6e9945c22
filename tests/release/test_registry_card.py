"""The card of a release says what was measured, what was not, and nothing that is not so."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard
from registry_world import Judged, judge, judged_in, report_on
from results import METRIC

from nearfar.errors import BadSetting
from nearfar.evaluation.report import Report, read_report
from nearfar.lineage.things import NEARFAR, Lineage, Making, Thing
from nearfar.release.card import About, Shown, card
from nearfar.release.markdown import code, line, plain
from nearfar.release.subject import Subject
from nearfar.release.verdict import read_verdict

EVIL = 'x|y\n---\n## <script>alert(1)</script> `"]( {{ $a$ \u202e'
GOLDEN = Path(__file__).with_name("test_registry_card.md")


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    return judged_in(tmp_path_factory.mktemp("judged"))


@pytest.fixture
def shown(judged: Judged) -> Shown:
    return Shown(
        folder=judged.model,
        subject=Subject(space=judged.space),
        verdict=read_verdict(judged.evidence.verdict / "verdict.json"),
        report=_report(judged),
        lineage=_lineage("pairs.jsonl"),
    )


def _report(judged: Judged) -> Report:
    assert judged.evidence.report is not None
    return read_report(judged.evidence.report)


def _lineage(name: str) -> Lineage:
    """A model that learned from one dataset, which was read from one file and one of the hub."""
    file = Thing("s1", "source", f"jsonl /home/kim/{name}",
                 facts={"kind": "jsonl", "path": f"/home/kim/{name}"})  # fmt: skip
    hub = Thing("s2", "source", "hub hub:org/set", facts={"kind": "hub", "path": "hub:org/set@v1"})
    made = Making("import", {}, (("read", "s1"), ("read", "s2")), (NEARFAR,))
    facts = {"digest": "a" * 64, "licence": "CC0-1.0", "rows": {"documents": 1200, "queries": 300},
             "origins": [{"kind": "human", "by": "kim", "answers": 900, "no_answers": 4}],
             }  # fmt: skip
    data = Thing("d", "dataset", "dataset aaaaaaaa", Path("/home/kim/data"), facts=facts)
    data.making = made
    model = Thing("m", "model", "model in space 12345678", Path("/home/kim/model"))
    model.making = Making("train", {}, (("learned from", "d"),), (NEARFAR,))
    return Lineage(["m"], {one.key: one for one in (model, data, file, hub)})


def _front(text: str) -> dict[str, object]:
    head = text.split("---\n")[1]
    found = yaml.safe_load(head)
    assert isinstance(found, dict)
    return found


def test_the_card_is_the_one_that_people_have_looked_at(
    shown: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nearfar.__version__", "0.1.0")
    assert golden(shown) == GOLDEN.read_text(encoding="utf-8")


def golden(shown: Shown) -> str:
    """The card without digests of what may change for good reasons."""
    own = shown.subject.space
    space = replace(own, weights="0" * 64, tokenizer="1" * 64, architecture="2" * 16)
    side = replace(shown.verdict.candidate, space=space.to_json(), scores="f" * 16)
    verdict = replace(shown.verdict, candidate=side, policy_digest="b" * 16)
    assert shown.report is not None
    report = replace(shown.report, tuned=space.to_json())
    about = About(name="tiny", licence="Apache-2.0", base_model="org/base")
    return card(about, replace(shown, subject=Subject(space=space), verdict=verdict,
                               report=report))  # fmt: skip


def test_the_front_matter_is_what_the_hub_reads(shown: Shown) -> None:
    text = card(About(name="tiny", licence="my own", languages=("de", "en")), shown)
    facts = _front(text)
    assert facts["library_name"] == "sentence-transformers"
    assert (facts["license"], facts["license_name"]) == ("other", "my own")
    assert facts["language"] == ["de", "en"]
    assert facts["datasets"] == ["org/set"]
    data = ModelCard(text).data
    assert data.eval_results is not None
    result = data.eval_results[0]
    assert (result.metric_type, result.metric_value) == (METRIC, 0.55)
    assert result.dataset_revision == "d" * 16


def test_the_language_is_that_of_the_cohorts(shown: Shown) -> None:
    assert _front(card(About(name="tiny"), shown))["language"] == ["de"]


def test_nothing_in_the_data_breaks_out(judged: Judged, tmp_path: Path, shown: Shown) -> None:
    verdict = shown.verdict
    evil = replace(
        verdict,
        split=EVIL,
        candidate=replace(verdict.candidate, system=EVIL),
        baseline=replace(verdict.baseline, system=EVIL) if verdict.baseline else None,
        findings=tuple(replace(one, cohort=EVIL, sentence=EVIL) for one in verdict.findings),
        notes=(EVIL,),
    )
    assert shown.report is not None
    cohorts = tuple(replace(one, value=EVIL) for one in shown.report.cohorts)
    report = replace(shown.report, split=EVIL, cohorts=cohorts)
    about = About(name="tiny", licence=EVIL)
    text = card(about, replace(shown, verdict=evil, report=report, lineage=_lineage(EVIL)))
    assert _front(text)["license_name"] == line(EVIL)
    assert ModelCard(text).data.license == "other"
    body = text.split("\n---\n", 1)[1]
    assert "<script" not in body.replace("\\<script", "")
    assert "\u202e" not in body
    lines = body.split("\n")
    assert "---" not in lines
    assert not [one for one in lines if one.startswith("## ") and "script" in one]
    tables = [one for one in lines if one.startswith("| ")]
    bars = {one.replace("\\|", "").count("|") for one in tables}
    assert bars <= {6, 10}  # each row has the cells of its table


def test_it_names_no_folder_and_no_annotator(shown: Shown) -> None:
    verdict = shown.verdict
    assert verdict.baseline is not None
    away = replace(verdict, baseline=replace(verdict.baseline, system="/home/kim/old"))
    text = card(About(name="tiny"), replace(shown, verdict=away))
    assert "kim" not in text
    assert "pairs.jsonl" in text


def test_limits_are_said(judged: Judged, shown: Shown, tmp_path: Path) -> None:
    text = card(About(name="tiny"), shown)
    assert "query.kind = a\\|b (30)" in text
    bare = replace(shown, report=None, lineage=None)
    few = judge(tmp_path / "few", judged.space, queries=40)
    text = card(About(name="tiny"), replace(bare, verdict=replace(few, baseline=None, runs=7)))
    for words in ("There was no baseline", "There was no report", "7 candidates",
                  "The evidence was not enough", "not known here what the model learned",
                  "the model does not say how", "for a part of the traffic"):  # fmt: skip
        assert words.lower() in text.lower()


def test_a_single_model_is_measured_under_its_own_name(judged: Judged, tmp_path: Path) -> None:
    folder = report_on(tmp_path / "r", judged.space, base=judged.space.to_json(), tuned=None)
    verdict = read_verdict(judged.evidence.verdict / "verdict.json")
    shown = Shown(folder=judged.model, subject=Subject(space=judged.space), verdict=verdict,
                  report=read_report(folder))  # fmt: skip
    assert "| nDCG@10 | 800 | 0.500 [0.480, 0.520] |" in card(About(name="tiny"), shown)


@pytest.mark.parametrize("more", [{"languages": ("German",)}, {"licence": " "},
                                  {"base_model": "a b"}])  # fmt: skip
def test_what_a_card_cannot_say_is_refused(more: dict[str, str]) -> None:
    with pytest.raises(BadSetting):
        About(name="tiny", **more)  # type: ignore[arg-type]


def test_texts_are_shown_to_the_letter() -> None:
    assert code("abc-1.0") == "`abc-1.0`"
    assert code("a`b") == plain("a`b") == "a\\`b"
