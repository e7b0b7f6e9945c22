"""Running: what is refused before anything is loaded, and an end that cuts nobody off."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from doubles import LetterEncoder
from running import Ending, Lines, all_of, ending, talking
from tiny import tiny_bert
from typer.testing import CliRunner

from nearfar.cli import serve as command
from nearfar.errors import BadFile, BadModel, BadSetting
from nearfar.serve.access import is_here
from nearfar.serve.connections import bound
from nearfar.serve.logs import Log
from nearfar.serve.metrics import Metrics
from nearfar.serve.run import Opened, build, run
from nearfar.serve.served import Offer, Served, Serving
from nearfar.serve.settings import ServerSettings
from nearfar.serve.sources import IndexSource, Source, load, prompt_names, trained_dims

_SECONDS = 60  # a machine may have much else to do
TESTS = Path(__file__).parents[1]
SOURCE = Source(kind="model", name="shop", where="nowhere")


def settings(**more: Any) -> ServerSettings:
    return ServerSettings(**{"sources": (SOURCE,), "cache": Path("cache")} | more)


@pytest.mark.slow  # a process that loads torch
def test_sigterm_ends_what_is_under_way_and_the_process_ends_well() -> None:
    found: list[Any] = []
    paths = os.pathsep.join([str(TESTS), str(TESTS.parent / "src")])
    with subprocess.Popen(
        [sys.executable, TESTS / "serve/slow_server.py", "0", "60"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
    ) as server:  # fmt: skip
        try:
            address = server.stdout.readline().strip()
            thread = threading.Thread(target=lambda: found.append(embed(address, "slow")))
            thread.start()
            assert server.stdout.readline() == "computing\n"
            server.send_signal(signal.SIGTERM)
            while not isinstance(ask_livez(address), httpx.ConnectError):
                pass  # until others are not taken any more
            assert found == []
            server.stdin.write("go on\n")
            server.stdin.flush()
            thread.join(_SECONDS)
            assert found == [200]
            assert server.wait(_SECONDS) == 0
        finally:
            server.kill()


def ask_livez(address: str) -> Any:
    try:
        return httpx.get(f"{address}/livez", timeout=_SECONDS)
    except httpx.HTTPError as error:
        return error


def embed(address: str, text: str) -> Any:
    body = {"model": "slow", "input": text}
    try:
        return httpx.post(f"{address}/v1/embeddings", json=body, timeout=_SECONDS).status_code
    except httpx.HTTPError as error:
        return error


@contextmanager
def draining(drain_seconds: float) -> Iterator[tuple[Ending, httpx.Client]]:
    serving = Serving(Offer.of([Served(name="slow", encoder=LetterEncoder())]))
    app, health = build(settings(), Opened(serving=serving), None, Lines().log, Metrics())
    with (
        ending(app, health, drain_seconds=drain_seconds) as server,
        httpx.Client(base_url=server.address, timeout=_SECONDS) as client,
    ):
        assert client.get("/readyz").status_code == 200
        yield server, client


def test_ready_goes_red_first_and_all_are_served_until_balancers_know() -> None:
    with draining(drain_seconds=5.0) as (server, client):
        server.hear(signal.SIGTERM)
        assert client.get("/readyz").status_code == 503
        assert embed(server.address, "of one who does not know yet") == 200
        server.now[0] = 4.9
        assert client.get("/livez").status_code == 200
        server.now[0] = 5.0
        assert server.ended()


def test_ctrl_c_does_not_wait_for_balancers() -> None:
    with draining(drain_seconds=5.0) as (server, _):
        server.hear(signal.SIGINT)
        assert server.ended()


def test_a_second_signal_waits_for_nobody() -> None:
    with draining(drain_seconds=5.0) as (server, _):
        server.hear(signal.SIGTERM)
        server.hear(signal.SIGTERM)
        assert server.ended()


def test_a_port_that_is_taken_is_said_before_a_model_is_loaded() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BadSetting, match=f"--port {port}.*another port"):
            run(settings(port=port), Log(pytest.fail), pytest.fail)


def test_a_host_that_is_not_of_this_machine_is_said() -> None:
    for host in ("203.0.113.7", "no.such.host.invalid"):
        with pytest.raises(BadSetting, match=r"--host|--port"), bound(host, 0):
            pass


def test_any_free_port_is_told_by_its_number() -> None:
    with bound("127.0.0.1", 0) as (listening, address):
        assert address == f"http://127.0.0.1:{listening.getsockname()[1]}"
        assert not address.endswith(":0")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "localhost", "::1"])
def test_without_keys_this_machine_is_served(host: str) -> None:
    assert is_here(host)
    settings(host=host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "localhost.example", ""])
def test_without_keys_nobody_else_is_served_unless_that_is_said(host: str) -> None:
    with pytest.raises(BadSetting, match=r"nearfar keys add.*--without-keys"):
        settings(host=host)
    settings(host=host, without_keys=True)
    settings(host=host, keys=Path("keys.json"))
    with pytest.raises(BadSetting, match="--without-keys"):
        settings(host=host, keys=Path("keys.json"), without_keys=True)


@pytest.mark.parametrize(
    ("text", "name", "where"),
    [
        ("shop=models/a", "shop", "models/a"),
        ("shop=registry:production", "shop", "registry:production"),
        ("models/shop/", "shop", "models/shop/"),
        ("org/shop-base", "shop-base", "org/shop-base"),
        ("package:shop_small", "shop_small", "package:shop_small"),
        ("shop=a=b", "shop", "a=b"),
    ],
)
def test_a_source_is_a_name_and_a_place(text: str, name: str, where: str) -> None:
    assert Source.parse(text, "model") == Source(kind="model", name=name, where=where)


@pytest.mark.parametrize("text", ["", "=models/a", "shop=", "a b=models/a", "/"])
def test_a_source_without_a_name_or_a_place_is_refused(text: str) -> None:
    with pytest.raises(BadSetting, match="--reranker must be NAME=WHERE"):
        Source.parse(text, "reranker")


def test_a_registry_names_a_model_and_an_alias() -> None:
    followed = {
        where: Source(kind="model", name="shop", where=where).followed
        for where in ("registry:production", "registry:faq@candidate", "models/shop")
    }
    assert list(followed.values()) == [("shop", "production"), ("faq", "candidate"), None]


def test_an_index_is_a_name_a_folder_and_perhaps_a_model() -> None:
    assert IndexSource.parse("faq=index/faq") == IndexSource(name="faq", folder=Path("index/faq"))
    assert IndexSource.parse("faq@shop=a").model == "shop"
    for text in ("", "faq", "=a", "faq=", "faq@=a", "@shop=a"):
        with pytest.raises(BadSetting, match="--index must be NAME=FOLDER"):
            IndexSource.parse(text)
    with pytest.raises(BadSetting, match="--index"):
        settings(feedback=Path("feedback"))


def test_two_of_one_kind_with_one_name_are_refused_and_nothing_at_all() -> None:
    other = Source(kind="model", name="shop", where="elsewhere")
    with pytest.raises(BadSetting, match="shop stands there twice, for nowhere and for elsewhere"):
        settings(sources=(SOURCE, other))
    settings(sources=(SOURCE, Source(kind="reranker", name="shop", where="elsewhere")))
    with pytest.raises(BadSetting, match="--model NAME=FOLDER"):
        settings(sources=())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("models") / "bert")


def test_what_is_served_has_computed_once(folder: Path, tmp_path: Path) -> None:
    found = load(Source(kind="model", name="shop", where="-"), folder)
    assert found.name == "shop"
    with pytest.raises(BadModel):
        load(Source(kind="reranker", name="best", where="-"), tmp_path)


def test_dimensions_are_those_that_a_model_says_it_was_trained_for(tmp_path: Path) -> None:
    tasks = [{"loss": {"matryoshka": dims}} for dims in ([8, 16], [16, 32])]
    facts = {"space": {"fingerprint": "f"}, "tasks": tasks}
    (tmp_path / "nearfar.json").write_text(json.dumps(facts))
    assert trained_dims(tmp_path, "f") == (16,)  # of both tasks
    assert trained_dims(tmp_path, "g") == ()  # it speaks of other weights
    (tmp_path / "config.json").write_text('{"matryoshka_dimensions": [256, 128]}')
    assert trained_dims(tmp_path, "g") == (128, 256)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(BadFile, match=r"config\.json"):
        trained_dims(tmp_path, "g")


def test_names_of_prompts_are_those_of_queries_and_documents(tmp_path: Path) -> None:
    def say(prompts: dict[str, str]) -> Any:
        file = tmp_path / "config_sentence_transformers.json"
        file.write_text(json.dumps({"prompts": prompts}))
        return dict(prompt_names(tmp_path))

    (tmp_path / "modules.json").write_text(
        '[{"type": "x.Transformer", "path": ""}, {"type": "x.Pooling", "path": "1_Pooling"}]'
    )
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling/config.json").write_text('{"pooling_mode_mean_tokens": true}')
    asked = {"query": "q: ", "passage": "d: ", "web": "q: ", "cluster": "c: "}
    assert say(asked) == {"query": "query", "web": "query", "passage": "document"}
    assert say({"query": "", "document": ""}) == {}  # nothing to tell apart


def test_a_command_makes_lists_and_revokes_keys(tmp_path: Path) -> None:
    file, runner = str(tmp_path / "keys.json"), CliRunner()
    made = runner.invoke(command.keys, ["add", file, "shop", "--right", "read"])
    assert made.exit_code == 0
    assert made.stdout.startswith("nf_")
    assert len(made.stdout.split()) == 1  # so that KEY=$(nearfar keys add ...) is the key
    runner.invoke(command.keys, ["revoke", file, "shop"])
    listed = runner.invoke(command.keys, ["list", file]).stdout
    assert "shop: read" in listed
    assert "revoked 20" in listed
    assert made.stdout.strip() not in listed


def test_a_library_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(BadSetting, match=r"prometheus_client.*nearfar\[serve\]"):
        command.require_libraries()


def test_what_a_proxy_says_of_a_client_is_not_believed() -> None:
    with draining(drain_seconds=0.0) as (server, _), talking(server.address) as connection:
        connection.sendall(b"POST /v1/embeddings HTTP/1.1\r\nHost: evil.example\r\n"
                           b"X-Forwarded-Host: localhost\r\nX-Forwarded-For: 127.0.0.1\r\n"
                           b"Connection: close\r\nContent-Length: 0\r\n\r\n")  # fmt: skip
        assert all_of(connection).startswith(b"HTTP/1.1 403 ")
