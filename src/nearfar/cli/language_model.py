"""How the command line comes to a language model: its address and key, and the bill in words."""

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated, Literal, Protocol

import typer

if TYPE_CHECKING:
    from nearfar.llm.journal import Bill
    from nearfar.llm.messages import Endpoint
    from nearfar.llm.settings import LlmSettings

Api = Annotated[
    Literal["anthropic", "openai"] | None,
    typer.Option(help="The wire format. Default: anthropic, or openai with --base-url."),
]
BaseUrl = Annotated[str | None, typer.Option(help="Of an OpenAI-compatible server, your own too.")]
MaxAnswerTokens = Annotated[
    int, typer.Option(help="The most the model may write at once, thinking included.")
]
InputPrice = Annotated[float | None, typer.Option(help="Dollars for a million input tokens.")]
OutputPrice = Annotated[float | None, typer.Option(help="Dollars for a million output tokens.")]
LimitUsd = Annotated[
    float | None,
    typer.Option(help="Spend no more, earlier runs and requests without answer included."),
]
RequestsPerMinute = Annotated[float | None, typer.Option(help="Default: no limit.")]
Concurrency = Annotated[int, typer.Option(help="Requests under way at once.")]
TimeoutSeconds = Annotated[float, typer.Option(help="How long to wait for an answer.")]
Retries = Annotated[int, typer.Option(help="More tries after an error that may pass.")]

_KEYS = {"anthropic": "ANTHROPIC_API_KEY", "openai": "OPENAI_API_KEY"}
_ADDRESSES = {"anthropic": "ANTHROPIC_BASE_URL", "openai": "OPENAI_BASE_URL"}


class Asking(Protocol):
    """How many questions found no answer, and why."""

    limit_reached: bool
    failed: int
    last_failure: str


def server(
    api: Literal["anthropic", "openai"] | None, base_url: str | None
) -> tuple[Literal["anthropic", "openai"], str | None]:
    """Return the wire format and the address of a server, from options and the environment."""
    wire: Literal["anthropic", "openai"] = api or ("openai" if base_url else "anthropic")
    return wire, base_url or os.environ.get(_ADDRESSES[wire]) or None


def endpoint(llm: "LlmSettings", stack: ExitStack, *, without_key: bool) -> "Endpoint | None":
    """Return the endpoint of some settings, closed with the stack; None without a key.

    Raises:
        BadSetting: it needs a key, and `without_key` is False.
    """
    from nearfar.errors import BadSetting
    from nearfar.llm.endpoints import open_endpoint

    name = _KEYS[llm.wire_format]
    key = os.environ.get(name) or None
    if key is None and llm.base_url is None:
        if without_key:
            return None
        raise BadSetting(
            f"{llm.model} needs an API key: set {name}. A server of your own needs none; give its "
            "address with --base-url."
        )
    return stack.enter_context(open_endpoint(llm, key))


def bill(now: "Bill", whole_usd: float | None, llm: "LlmSettings") -> str:
    """Return in one sentence what a run used and what it cost.

    Args:
        now: of this run.
        whole_usd: what the journal cost with the runs before; None: unknown.
        llm: whose prices count.
    """
    tokens = (
        f"{now.answers:,} answers with {now.input_tokens:,} input and {now.output_tokens:,} "
        "output tokens"
    )
    usd = now.total_usd(llm)
    if usd is None:
        return f"This run: {tokens}, price unknown."
    whole = "" if whole_usd is None else f", {whole_usd:,.4f} with those before"
    return f"This run: {tokens}, {usd:,.4f} dollars{whole}."


def troubles(
    asked: Asking, questions: str, llm: "LlmSettings", lost: tuple[int, float | None],
    uncounted: int,
) -> list[str]:  # fmt: skip
    """Return what is to be known of a run besides its bill, a sentence each.

    Args:
        asked: how the asking ended.
        questions: what was asked for.
        llm: whose limit counts.
        lost: requests that may be billed though no answer came, and what they cost at most.
        uncounted: answers without usage.
    """
    found = []
    if asked.limit_reached:
        found.append(
            f"Stopped at the limit of {llm.limit_usd} dollars. With a higher one and --replace "
            "the same command goes on, and pays nothing twice."
        )
    if asked.failed:
        found.append(
            f"{asked.failed:,} {questions} got no answer; the same command with --replace asks "
            f"again. The last problem: {asked.last_failure}"
        )
    requests, most = lost
    if requests:
        price = "at a price unknown" if most is None else f"with {most:,.4f} dollars at most"
        found.append(
            f"{requests:,} requests got lost on the way. They may be billed, {price}; they "
            "count against --limit-usd, and are not in the sums below."
        )
    if uncounted:
        found.append(
            f"{uncounted:,} answers came without usage and are taken at their highest cost."
        )
    return found
