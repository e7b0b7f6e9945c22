"""From a dataset to a dataset with written queries: whole, paid once, and with its origin."""

import json
from collections import Counter
from pathlib import Path

import pytest
from llm_server import PRICES, FakeClock, Server, llm, served
from town import synthesis, synthetic, town

from nearfar.data.dataset import Dataset
from nearfar.errors import BadFile, BadRecord, BadSetting, Stopped
from nearfar.llm.endpoints import open_endpoint
from nearfar.llm.messages import NoAnswer
from nearfar.synthesis.settings import Synthesis
from nearfar.synthesis.synthesise import Run, SynthesisSummary, journal_of, synthesise

FREE = [f"house {place} stands by the river" for place in range(6)]


def write(data: Dataset, folder: Path, settings: Synthesis, **run: object) -> SynthesisSummary:
    assert settings.llm is not None
    with open_endpoint(settings.llm, None) as endpoint:
        known = {"endpoint": endpoint, "clock": FakeClock()}
        return synthesise(data, folder, settings, Run(**(known | run)))  # type: ignore[arg-type]


def test_each_free_document_is_written_for_and_nothing_else_changes(tmp_path: Path) -> None:
    data = town(tmp_path / "data")
    with served(Server()) as server:
        found = write(data, tmp_path / "new", synthesis(llm(server.address)))
    assert sorted(server.passages()) == FREE
    assert found.kept == 12
    new = Dataset.open(tmp_path / "new")
    assert list(new.documents()) == list(data.documents())
    assert list(new.queries())[:3] == list(data.queries())
    assert list(new.judgments())[:4] == list(data.judgments())
    written = synthetic(tmp_path / "new")
    assert written.keys() == {f"{text} query {place}" for text in FREE for place in (0, 1)}
    assert {judgment.split for judgment in written.values()} == {"train"}


def test_documents_of_test_their_group_and_their_twins_are_never_sent(tmp_path: Path) -> None:
    data = town(tmp_path / "data")
    with served(Server()) as server:
        settings = synthesis(llm(server.address), fewer_than=9)
        found = write(data, tmp_path / "new", settings)
    sent = server.passages()
    assert not [text for text in sent if "mayor" in text.lower() or "clerk" in text]
    assert len(sent) == 8  # the baker and the smith too, who have a query each
    assert found.chosen.kept_back == 3


def test_a_judgment_tells_its_origin_and_costs_add_up(tmp_path: Path) -> None:
    data = town(tmp_path / "data")
    with served(Server()) as server:
        found = write(data, tmp_path / "new", synthesis(llm(server.address, **PRICES)))
    written = synthetic(tmp_path / "new")
    judgment = written["house 3 stands by the river query 1"]
    facts = judgment.origin.facts
    prompts = [
        p for p in Dataset.open(tmp_path / "new").manifest["parents"] if p["kind"] == "prompt"
    ]
    assert judgment.document_id == judgment.origin.source == "h3"
    assert judgment.origin.by == f"model-2026, prompt {facts['prompt']}"
    assert [p["path"] for p in prompts] == [facts["prompt"]]
    assert "who is the baker?" in prompts[0]["text"]  # the team's own queries are its examples
    assert "mayor" not in prompts[0]["text"]  # of train alone
    assert facts["style"] == "question"
    bill = (server.input_tokens * 1_000 + server.output_tokens * 5_000) / 1e6
    assert found.paying is not None
    assert found.paying.usd == pytest.approx(bill)
    assert found.paying.now.input_tokens == server.input_tokens
    assert found.paying.now.output_tokens == server.output_tokens
    assert sum(float(j.origin.facts["cost_usd"]) for j in written.values()) == pytest.approx(bill)


def test_no_pair_is_lost_whatever_goes_wrong(tmp_path: Path) -> None:
    data = town(tmp_path / "data", free=20)
    troubles = ["429", "500", "drop", "malformed", "strange", "529", "", "", "cut"]
    with served(Server(trouble=lambda number, _: (troubles * 2 + [""] * 99)[number])) as server:
        patient = llm(server.address, concurrency=8, retries=10)  # one passage may get them all
        settings = synthesis(patient, malformed_retries=4)
        found = write(data, tmp_path / "new", settings)
    assert found.kept == 40
    assert found.unwritten == {}
    assert len(server.asked) == 20 + 14


def test_malformed_answers_are_asked_again_so_often_and_then_counted(tmp_path: Path) -> None:
    bad = FREE[2]
    trouble = lambda number, passage: "malformed" if passage == bad else ""  # noqa: E731
    with served(Server(trouble=trouble)) as server:
        settings = synthesis(llm(server.address), malformed_retries=2)
        found = write(town(tmp_path / "data"), tmp_path / "new", settings)
    assert Counter(server.passages())[bad] == 3
    assert found.unwritten == {"malformed": 1}
    assert found.paying is not None
    assert found.paying.now.output_tokens == server.output_tokens  # they were paid for too


def test_a_refusal_is_counted_and_not_repeated(tmp_path: Path) -> None:
    trouble = lambda number, passage: "refuse" if passage == FREE[2] else ""  # noqa: E731
    with served(Server(trouble=trouble)) as server:
        found = write(town(tmp_path / "data"), tmp_path / "new", synthesis(llm(server.address)))
    assert len(server.asked) == 6
    assert found.unwritten == {"refused": 1}


def test_the_same_command_again_pays_nothing(tmp_path: Path) -> None:
    data = town(tmp_path / "data")
    with served(Server()) as server:
        settings = synthesis(llm(server.address, **PRICES))
        first = write(data, tmp_path / "new", settings)
        digest = Dataset.open(tmp_path / "new").digest
        again = write(data, tmp_path / "new", settings, replace=True)
    assert len(server.asked) == 6
    assert first.paying is not None
    assert again.paying is not None
    assert again.paying.now.answers == 0
    assert again.paying.usd == pytest.approx(first.paying.usd)
    assert Dataset.open(tmp_path / "new").digest == digest


@pytest.mark.parametrize("change", [{"queries": 3}, {"seed": 1}, {"styles": ("typo",)}])
def test_another_prompt_or_seed_is_another_answer(tmp_path: Path, change: dict[str, int]) -> None:
    data = town(tmp_path / "data")
    with served(Server()) as server:
        write(data, tmp_path / "new", synthesis(llm(server.address)))
        write(data, tmp_path / "new", synthesis(llm(server.address), **change), replace=True)
    assert len(server.asked) == 12


def test_a_cut_answer_is_asked_again_once_there_is_more_room(tmp_path: Path) -> None:
    data = town(tmp_path / "data")
    trouble = lambda number, passage: "cut" if number < 6 else ""  # noqa: E731
    with served(Server(trouble=trouble)) as server:
        small = synthesis(llm(server.address, max_tokens=5), malformed_retries=0)
        with pytest.raises(BadRecord, match=r"none of 0 written \(6 malformed\)"):
            write(data, tmp_path / "new", small)
        large = synthesis(llm(server.address, max_tokens=50), malformed_retries=0)
        assert write(data, tmp_path / "new", large).kept == 12


def test_the_limit_holds_with_many_at_once_and_the_rest_is_asked_for_later(tmp_path: Path) -> None:
    data = town(tmp_path / "data", free=30)
    with served(Server()) as server:
        poor = llm(server.address, concurrency=8, limit_usd=8.0, **PRICES)
        found = write(data, tmp_path / "new", synthesis(poor))
        spent = (server.input_tokens * 1_000 + server.output_tokens * 5_000) / 1e6
        assert found.paying is not None
        assert found.paying.asked.limit_reached
        assert spent <= 8.0
        assert 0 < found.kept < 60
        rich = llm(server.address, concurrency=8, limit_usd=99.0, **PRICES)
        found = write(data, tmp_path / "new", synthesis(rich), replace=True)
    assert found.kept == 60
    assert len(server.asked) == 30


def test_a_limit_below_one_request_says_so(tmp_path: Path) -> None:
    data = town(tmp_path / "data")
    with served(Server()) as server:
        poor = synthesis(llm(server.address, limit_usd=0.01, **PRICES))
        with pytest.raises(BadSetting, match="one more request"):
            write(data, tmp_path / "new", poor)
    assert not server.asked


def test_what_a_lost_request_may_cost_counts_against_the_limit_of_later_runs(
    tmp_path: Path,
) -> None:
    data = town(tmp_path / "data", free=1)
    most = 8.0  # dollars and more than one request can cost, less than two
    with served(Server(trouble=lambda number, passage: "504")) as server:
        poor = synthesis(llm(server.address, retries=0, limit_usd=most, **PRICES))
        with pytest.raises(NoAnswer, match="it is 504"):
            write(data, tmp_path / "new", poor)
        server.trouble = lambda number, passage: ""
        with pytest.raises(BadSetting, match="one more request"):
            write(data, tmp_path / "new", poor)
        assert len(server.asked) == 1
        rich = synthesis(llm(server.address, limit_usd=2 * most, **PRICES))
        found = write(data, tmp_path / "new", rich)
    assert found.paying is not None
    bill = (server.input_tokens * 1_000 + server.output_tokens * 5_000) / 1e6
    assert found.paying.usd == pytest.approx(bill)
    assert (found.paying.lost, found.paying.lost_usd) == (0, 0.0)


def test_documents_of_one_text_are_paid_once(tmp_path: Path) -> None:
    data = town(tmp_path / "data", free=1, same=6)
    with served(Server()) as server:
        settings = synthesis(llm(server.address, concurrency=8), styles=("question", "typo"))
        found = write(data, tmp_path / "new", settings)
    assert Counter(server.passages()) == {FREE[0]: 2, "one and the same": 2}
    assert found.kept == 4  # both styles say the same here, and a query is kept once


def test_a_server_that_is_down_is_given_up_and_what_was_paid_is_kept(tmp_path: Path) -> None:
    data = town(tmp_path / "data", free=30)
    server = Server(trouble=lambda number, passage: "500" if number >= 10 else "")
    with served(server):
        settings = synthesis(llm(server.address, retries=1, concurrency=1))
        with pytest.raises(NoAnswer, match="8 passages in a row"):
            write(data, tmp_path / "new", settings)
        assert not (tmp_path / "new").exists()
        assert len(journal_of(tmp_path / "new").read_text().splitlines()) == 10
        server.trouble = lambda number, passage: ""
        assert write(data, tmp_path / "new", settings).kept == 60
    assert len(server.asked) == 10 + 8 * 2 + 20


def test_a_passage_without_an_answer_is_asked_for_the_next_time(tmp_path: Path) -> None:
    data = town(tmp_path / "data")
    server = Server(trouble=lambda number, passage: "400" if passage == FREE[1] else "")
    with served(server):
        settings = synthesis(llm(server.address))
        found = write(data, tmp_path / "new", settings)
        assert found.paying is not None
        assert found.paying.asked.failed == 1
        assert found.unwritten == {"not asked": 1}
        server.trouble = lambda number, passage: ""
        assert write(data, tmp_path / "new", settings, replace=True).kept == 12
    assert len(server.asked) == 7


def test_ctrl_c_keeps_what_was_answered(tmp_path: Path) -> None:
    data = town(tmp_path / "data", free=30)
    with served(Server()) as server:
        settings = synthesis(llm(server.address, concurrency=2))
        with pytest.raises(Stopped):
            write(data, tmp_path / "new", settings, stop=lambda: len(server.asked) > 9)
        kept = journal_of(tmp_path / "new").read_text().splitlines()
        assert len(kept) == len(server.asked) < 30
        write(data, tmp_path / "new", settings)
    assert Counter(server.passages()).most_common(1)[0][1] == 1


def test_a_key_in_an_address_is_written_nowhere(tmp_path: Path) -> None:
    data = town(tmp_path / "data")
    with served(Server()) as server:
        address = server.address.replace("//", "//me:secret@")
        write(data, tmp_path / "new", synthesis(llm(address)))
    for path in [tmp_path / "new" / "manifest.json", journal_of(tmp_path / "new")]:
        assert "secret" not in path.read_text()


@pytest.mark.parametrize("name", ["data", "new"])
def test_a_folder_that_is_taken_is_refused_before_anything_is_paid(
    tmp_path: Path, name: str
) -> None:
    data = town(tmp_path / "data")
    (tmp_path / "new").mkdir()
    with served(Server()) as server, pytest.raises(BadFile):
        write(data, tmp_path / name, synthesis(llm(server.address)))
    assert not server.asked


def test_nobody_to_write_for_is_said(tmp_path: Path) -> None:
    data = town(tmp_path / "data", free=0)
    with pytest.raises(BadRecord, match="3 belong to dev or test and 2 have"):
        write(data, tmp_path / "new", synthesis(llm("http://localhost")))


def test_the_journal_is_json_lines(tmp_path: Path) -> None:
    with served(Server()) as server:
        write(town(tmp_path / "data"), tmp_path / "new", synthesis(llm(server.address)))
    rows = [json.loads(line) for line in journal_of(tmp_path / "new").read_text().splitlines()]
    assert sum(row["input_tokens"] for row in rows) == server.input_tokens
