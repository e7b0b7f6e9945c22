"""The command says what it will cost, what it did cost, and what is wrong in one sentence."""

from pathlib import Path

import pytest
import typer
from llm_server import Server, served
from town import synthetic, town
from typer.testing import CliRunner, Result

from nearfar.cli.synthesise import synthesise
from nearfar.errors import BadSetting

APP = typer.Typer()
APP.command()(synthesise)
PRICES = ["--input-price", "1000", "--output-price", "5000"]


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ANTHROPIC", "OPENAI"):
        monkeypatch.delenv(f"{name}_API_KEY", raising=False)
        monkeypatch.delenv(f"{name}_BASE_URL", raising=False)


def call(tmp_path: Path, *options: str) -> Result:
    if not (tmp_path / "data").exists():
        town(tmp_path / "data")
    return CliRunner().invoke(APP, [str(tmp_path / "data"), str(tmp_path / "new"), *options])


def test_a_dry_run_writes_nothing_and_the_bill_keeps_to_it(tmp_path: Path) -> None:
    with served(Server()) as server:
        model = ["--llm", "m", "--base-url", f"{server.address}/v1", *PRICES]
        dry = call(tmp_path, *model, "--dry-run")
        assert dry.exit_code == 0, dry.output
        assert not server.asked
        assert [path.name for path in tmp_path.iterdir()] == ["data"]
        done = call(tmp_path, *model)
        again = call(tmp_path, *model, "--replace")
    assert "12 requests, at most" in dry.stdout
    assert done.exit_code == 0, done.output
    bill = (server.input_tokens * 1_000 + server.output_tokens * 5_000) / 1e6
    assert f"12 answers with {server.input_tokens:,} input" in done.stdout
    assert f"{bill:,.4f} dollars" in done.stdout
    assert bill <= float(dry.stdout.split("at most ")[1].split()[0].replace(",", ""))
    assert f"0.0000 dollars, {bill:,.4f} with those before" in again.stdout


def test_an_unknown_price_is_said(tmp_path: Path) -> None:
    with served(Server()) as server:
        done = call(tmp_path, "--llm", "m", "--base-url", f"{server.address}/v1")
    assert "price unknown" in done.stdout


def test_the_key_of_the_environment_goes_to_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "my-key")
    with served(Server()) as server:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", server.address)
        call(tmp_path, "--llm", "m")
    assert {request["path"] for request in server.asked} == {"/v1/messages"}
    sent = [str(request["headers"]) for request in server.asked]
    assert all("my-key" in headers for headers in sent)  # under another name in older SDKs


def test_without_a_model_queries_come_from_titles(tmp_path: Path) -> None:
    done = call(tmp_path, "--from", "titles")
    assert done.exit_code == 0, done.output
    assert len(synthetic(tmp_path / "new")) == 6


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "got neither"),
        (["--llm", "m", "--from", "titles"], "got both"),
        (["--llm", "m"], "set ANTHROPIC_API_KEY"),
        (["--llm", "m", "--limit-usd", "1"], "needs the prices"),
        (["--from", "titles", "--dry-run"], "without one it is nothing"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path: Path, options: list[str], words: str) -> None:
    with pytest.raises(BadSetting, match=words):
        raise call(tmp_path, *options).exception or AssertionError
    assert not (tmp_path / "new").exists()
