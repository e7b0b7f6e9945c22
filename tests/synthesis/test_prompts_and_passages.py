"""What the model is told, how its answer is read, and which pieces of text it gets."""

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llm_server import PRICES, FakeClock, Server, llm, served
from town import synthesis, town

from nearfar.data.dataset import Dataset
from nearfar.errors import BadRecord, BadSetting
from nearfar.llm.client import Client
from nearfar.records import Document
from nearfar.synthesis.estimate import estimate
from nearfar.synthesis.passages import choose_documents, example_queries, pieces
from nearfar.synthesis.plain import Keywords, first_heading
from nearfar.synthesis.plan import make_plan
from nearfar.synthesis.prompts import STYLES, parse, prompt
from nearfar.synthesis.settings import Synthesis
from nearfar.synthesis.synthesise import Run, synthesise


@pytest.mark.parametrize("text", ['["a", "b"]', ' ["a",\n "b"]\n', '```json\n["a", "b"]\n```'])
def test_an_array_is_read(text: str) -> None:
    assert parse(text, 2) == ["a", "b"]


@pytest.mark.parametrize(
    "text",
    ['["a"]', '["a", "b", "c"]', '["a", ""]', '["a", 1]', '{"a": "b"}', 'Sure: ["a", "b"]',
     '["a", "b"', "a\nb", "", '["a", "b"] ["c", "d"]', '["a", "\\ud800"]', "[" * 100_000],
)  # fmt: skip
def test_anything_else_is_not_guessed_at(text: str) -> None:
    assert parse(text, 2) is None


@pytest.mark.parametrize("style", STYLES)
def test_each_style_is_another_prompt(style: str) -> None:
    texts = {prompt(name, 3, language="German", examples=["x"]).text for name in STYLES}
    assert len(texts) == len(STYLES)
    assert "{" not in prompt(style, 3, language="German", examples=[]).text


def test_examples_depend_on_the_seed_and_not_on_the_order(tmp_path: Path) -> None:
    data = town(tmp_path / "data")
    settings = Synthesis(writer="keywords", examples=1)
    drawn = {example_queries(data, Synthesis(writer="keywords", examples=1, seed=s))[0]
             for s in range(20)}  # fmt: skip
    assert example_queries(data, settings) == example_queries(data, settings)
    assert drawn == {"who is the baker?", "who is the smith?"}


def test_documents_are_drawn_by_the_seed(tmp_path: Path) -> None:
    data = town(tmp_path / "data")
    drawn = [choose_documents(data, Synthesis(writer="keywords", documents=2, seed=s)).ids
             for s in range(10)]  # fmt: skip
    assert {len(ids) for ids in drawn} == {2}
    assert len(set(drawn)) > 1


@given(st.text(alphabet="ab .\n", max_size=900), st.integers(1, 9))
def test_passages_follow_each_other_and_are_no_longer_than_said(text: str, count: int) -> None:
    settings = Synthesis(writer="keywords", characters_per_passage=100, passages_per_document=count)
    found = list(pieces(Document(id="d", content=text), settings))
    assert all(len(one.text) <= 100 for one in found)
    assert all(a.end <= b.start for a, b in itertools.pairwise(found))
    if count == 9 and text.strip():
        assert "".join(one.text for one in found).split() == text[: found[-1].end].split()


def test_a_passage_that_is_not_the_whole_says_its_span() -> None:
    content = "word " * 50
    settings = Synthesis(writer="keywords", characters_per_passage=100, passages_per_document=2)
    found = list(pieces(Document(id="d", content=content), settings))
    assert [one.source for one in found] == ["d[0:100]", "d[100:200]"]


@pytest.mark.parametrize("api", ["anthropic", "openai"])
def test_the_estimate_bounds_the_bill(tmp_path: Path, api: str) -> None:
    data = town(tmp_path / "data")
    with served(Server()) as server:
        settings = synthesis(llm(server.address, api=api, max_tokens=60, **PRICES))
        assert settings.llm is not None
        endpoint = server.endpoint(settings.llm)
        plan = make_plan(data, settings)
        client = Client(endpoint, settings.llm, FakeClock())
        before = estimate(plan.tasks(), plan.total, settings, client=client, journal=None)
        assert not server.asked  # nothing is generated
        found = synthesise(data, tmp_path / "new", settings, Run(endpoint=endpoint))
    assert found.paying is not None
    assert before.requests == len(server.asked) == 6
    assert before.counted == (api == "anthropic")
    assert (before.input_tokens == server.input_tokens) == (api == "anthropic")
    assert before.cost_usd is not None
    assert before.cost_usd_most == pytest.approx(3 * before.cost_usd)
    assert found.paying.usd is not None
    assert found.paying.usd <= before.cost_usd


def test_the_estimate_bounds_a_bill_full_of_malformed_answers(tmp_path: Path) -> None:
    data = town(tmp_path / "data")
    with served(Server(trouble=lambda number, passage: "malformed")) as server:
        settings = synthesis(llm(server.address, max_tokens=60, **PRICES))
        assert settings.llm is not None
        plan = make_plan(data, settings)
        before = estimate(plan.tasks(), plan.total, settings, client=None, journal=None)
        run = Run(endpoint=server.endpoint(settings.llm))
        with pytest.raises(BadRecord, match="6 malformed"):
            synthesise(data, tmp_path / "new", settings, run)
    assert before.cost_usd_most is not None
    spent = (server.input_tokens * 1_000 + server.output_tokens * 5_000) / 1e6
    assert spent <= before.cost_usd_most


@pytest.mark.parametrize(
    ("text", "heading"),
    [("# A cat #\n\ntext", "A cat"), ("x\n\nA cat\n=====\n", "A cat"),
     ("<H2 id=a>A <b>cat</b></H2>", "A  cat"), ("no heading", None), ("#hashtag", None)],
)  # fmt: skip
def test_the_first_heading_is_found(text: str, heading: str | None) -> None:
    assert (first_heading(text) or "").split() == (heading or "").split()


def test_telling_words_are_those_that_others_lack(tmp_path: Path) -> None:
    data = town(tmp_path / "data")
    write = Keywords(data, 3)
    assert write(Document(id="x", content="the baker of the town")) == "baker of town"


@pytest.mark.parametrize("writer", ["titles", "keywords"])
def test_plain_queries_say_that_no_language_model_wrote_them(tmp_path: Path, writer: str) -> None:
    data = town(tmp_path / "data")
    settings = Synthesis(writer=writer, filters=Synthesis(writer="titles").filters)  # type: ignore[arg-type]
    short = settings.filters.__class__(shortest_characters=1)
    found = synthesise(data, tmp_path / "new", Synthesis(writer=writer, filters=short))  # type: ignore[arg-type]
    written = [
        j for j in Dataset.open(tmp_path / "new").judgments() if j.origin.kind == "synthetic"
    ]
    assert found.paying is None
    assert len(written) == found.kept > 0
    assert {j.origin.by for j in written} == {f"nearfar {writer}, without a language model"}
    assert {j.origin.facts["style"] for j in written} == {writer}


def test_a_title_that_no_document_has_is_said(tmp_path: Path) -> None:
    settings = Synthesis(writer="titles", title_field="name")
    with pytest.raises(BadRecord, match=r"no field 'name'.*Their fields are: title"):
        synthesise(town(tmp_path / "data"), tmp_path / "new", settings)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("facts", "key"),
    [({"styles": ("fun",)}, "styles"), ({"styles": ("language",)}, "language"),
     ({"queries": 0}, "queries"), ({"writer": "llm"}, "llm"), ({"grade": 0}, "grade")],
)  # fmt: skip
def test_a_setting_that_makes_no_sense_is_refused(facts: dict[str, object], key: str) -> None:
    with pytest.raises(BadSetting, match=key):
        Synthesis(**({"writer": "keywords"} | facts))  # type: ignore[arg-type]
