"""Both wire formats say the same, and every trouble becomes what can be done about it."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from llm_server import PRICES, FakeClock, Server, llm, served

from nearfar.errors import BadSetting
from nearfar.llm.client import Client
from nearfar.llm.endpoints import open_endpoint
from nearfar.llm.limits import LimitReached
from nearfar.llm.messages import Message, NoAnswer, Usage, most_tokens
from nearfar.synthesis.prompts import prompt

PROMPT = prompt("question", 2, language="", examples=[])
MESSAGES = PROMPT.messages("a house")
FORMATS = pytest.mark.parametrize("api", ["anthropic", "openai"])


def first(*troubles: str) -> Callable[[int, str], str]:
    return lambda number, passage: troubles[number] if number < len(troubles) else ""


def client(server: Server, **facts: object) -> Client:
    settings = llm(server.address, **facts)
    return Client(server.endpoint(settings, "secret"), settings, FakeClock())


@FORMATS
def test_an_answer_comes_with_its_usage(api: str) -> None:
    with served(Server()) as server:
        answer = client(server, api=api).ask(MESSAGES)
    assert answer.text == '["a house query 0", "a house query 1"]'
    assert (answer.stop, answer.model) == ("end", "model-2026")
    assert answer.usage == Usage(server.input_tokens, server.output_tokens)
    assert server.asked[0]["max_tokens"] == 1_024


@FORMATS
def test_the_system_prompt_arrives_once(api: str) -> None:
    with served(Server()) as server:
        client(server, api=api).ask(MESSAGES)
    assert server.asked[0]["prompt"].count("You write search queries") == 1


@FORMATS
@pytest.mark.parametrize("trouble", ["429", "500", "529", "drop", "strange"])
def test_what_passes_is_tried_again(api: str, trouble: str) -> None:
    with served(Server(trouble=first(trouble, trouble))) as server:
        answer = client(server, api=api).ask(MESSAGES)
    assert len(server.asked) == 3
    assert answer.text.startswith("[")


@FORMATS
def test_an_answer_that_comes_too_late_is_asked_for_again_and_counted_as_lost(api: str) -> None:
    with served(Server(trouble=first("slow"))) as server:
        lost: list[Usage] = []
        client(server, api=api, timeout_seconds=0.05).ask(MESSAGES, lost.append)
    assert len(server.asked) == 2
    assert lost == [Usage(most_tokens(MESSAGES), 1_024)]


@FORMATS
@pytest.mark.parametrize("trouble", ["408", "502", "504", "524"])
def test_what_a_gateway_gave_up_may_be_billed(api: str, trouble: str) -> None:
    with served(Server(trouble=first(trouble))) as server:
        lost: list[Usage] = []
        client(server, api=api).ask(MESSAGES, lost.append)
    assert lost == [Usage(most_tokens(MESSAGES), 1_024)]


def test_a_lost_request_counts_against_the_limit() -> None:
    most = (most_tokens(MESSAGES) + 5 * 1_024) / 1_000
    with served(Server(trouble=first("slow"))) as server:
        asked = client(server, timeout_seconds=0.05, limit_usd=1.5 * most, **PRICES)
        with pytest.raises(LimitReached):
            asked.ask(MESSAGES)
    assert len(server.asked) == 1


@pytest.mark.parametrize("trouble", ["429", "500", "503", "529"])
def test_what_was_never_answered_costs_nothing(trouble: str) -> None:
    with served(Server(trouble=first(trouble))) as server:
        lost: list[Usage] = []
        client(server).ask(MESSAGES, lost.append)
    assert lost == []


def test_we_wait_as_long_as_the_server_asks() -> None:
    with served(Server(trouble=first("429"), retry_after="7.5")) as server:
        asked = client(server)
        asked.ask(MESSAGES)
    assert isinstance(asked.clock, FakeClock)
    assert asked.clock.now() == pytest.approx(7.5)


def test_a_wait_that_nobody_asked_for_doubles() -> None:
    with served(Server(trouble=first("500", "500", "500"))) as server:
        asked = client(server)
        asked.ask(MESSAGES)
    assert isinstance(asked.clock, FakeClock)
    for wait, most in zip(asked.clock.waits, (0.5, 1.0, 2.0), strict=True):
        assert 0.75 * most <= wait <= most


def test_a_server_that_asks_for_an_hour_is_given_up() -> None:
    with (
        served(Server(trouble=first("429"), retry_after="3600")) as server,
        pytest.raises(NoAnswer, match="wait 3,600 s"),
    ):
        client(server).ask(MESSAGES)


def test_tries_have_an_end() -> None:
    with (
        served(Server(trouble=lambda number, passage: "500")) as server,
        pytest.raises(NoAnswer, match=r"in 3 tries. The last one: .*it is 500"),
    ):
        client(server, retries=2).ask(MESSAGES)
    assert len(server.asked) == 3


@FORMATS
@pytest.mark.parametrize(("trouble", "hint"), [("401", "API key"), ("404", "name of the model")])
def test_what_will_never_succeed_is_a_setting(api: str, trouble: str, hint: str) -> None:
    with (
        served(Server(trouble=first(trouble))) as server,
        pytest.raises(BadSetting, match=hint) as problem,
    ):
        client(server, api=api).ask(MESSAGES)
    assert len(server.asked) == 1
    assert "secret" not in str(problem.value)


def test_a_request_that_the_server_rejects_is_not_repeated() -> None:
    with served(Server(trouble=first("400"))) as server, pytest.raises(NoAnswer, match="it is 400"):
        client(server).ask(MESSAGES)
    assert len(server.asked) == 1


def test_nobody_there_is_said() -> None:
    settings = llm("http://127.0.0.1:9", retries=1)
    with open_endpoint(settings, None) as endpoint:
        lost: list[Usage] = []
        with pytest.raises(NoAnswer, match="connection failed"):
            Client(endpoint, settings, FakeClock()).ask(MESSAGES, lost.append)
    assert lost == []  # nobody heard, so nobody bills


@FORMATS
def test_a_refusal_and_a_cut_are_told_apart(api: str) -> None:
    with served(Server(trouble=first("refuse", "cut"))) as server:
        asked = client(server, api=api)
        assert [asked.ask(MESSAGES).stop, asked.ask(MESSAGES).stop] == ["refused", "length"]


def test_a_server_that_knows_only_the_new_name_of_the_limit_gets_it() -> None:
    with served(Server(trouble=lambda number, passage: "old name")) as server:
        asked = client(server)
        asked.ask(MESSAGES)
        asked.ask(MESSAGES)
    assert ["max_completion_tokens" in request for request in server.asked] == [False, True, True]


def test_requests_under_way_learn_the_new_name_too() -> None:
    learnt = threading.Event()
    both_there = threading.Barrier(2)

    def old_name(number: int, passage: str) -> str:
        if number < 2:
            both_there.wait(5)
        if number == 1:
            learnt.wait(5)  # refused only after the other thread knows better
        if number == 2:
            learnt.set()
        return "old name"

    with served(Server(trouble=old_name)) as server, ThreadPoolExecutor(2) as pool:
        asked = client(server)
        answers = list(pool.map(asked.ask, [MESSAGES] * 2))
    assert [answer.stop for answer in answers] == ["end", "end"]
    names = ["max_completion_tokens" in request for request in server.asked]
    assert names == [False, False, True, True]


def test_an_answer_without_usage_is_taken_at_its_highest_cost() -> None:
    with served(Server(trouble=first("no usage"))) as server:
        asked = client(server, **PRICES)
        answer = asked.ask(MESSAGES)
    assert asked.usage(MESSAGES, answer) == Usage(most_tokens(MESSAGES), 1_024)


def test_only_anthropic_counts_tokens() -> None:
    with served(Server()) as server:
        assert client(server, api="openai").count(MESSAGES) is None
        assert client(server, api="anthropic").count(MESSAGES) == len(
            "\n".join(m.content for m in MESSAGES).split()
        )


def test_a_limit_that_the_next_request_could_break_stops_it() -> None:
    with served(Server()) as server:
        asked = client(server, limit_usd=6.0, **PRICES)
        with pytest.raises(LimitReached):
            [asked.ask(MESSAGES) for _ in range(100)]
    cost = (server.input_tokens * 1_000 + server.output_tokens * 5_000) / 1e6
    assert cost + (most_tokens(MESSAGES) + 5 * 1_024) / 1_000 > 6.0  # not a request too early
    assert cost <= 6.0


def test_a_limit_without_prices_is_refused() -> None:
    with pytest.raises(BadSetting, match="needs the prices"):
        llm("http://localhost", limit_usd=1.0)


@pytest.mark.parametrize(
    "address",
    ["localhost:8000", "http://", "http://localhost:abc", "http://localhost:70000",
     "http://localhost:0", "http://[::1"],
)  # fmt: skip
def test_an_address_that_leads_nowhere_is_refused(address: str) -> None:
    with pytest.raises(BadSetting, match=r"llm\.base_url"):
        llm(address)


def test_a_byte_is_at_most_a_token() -> None:
    assert most_tokens([Message("user", "ü" * 10)]) - most_tokens([Message("user", "")]) == 20
