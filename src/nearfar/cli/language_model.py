"""How the command line comes to a language model: its address and key, and what went wrong."""

import os
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal, Protocol

import typer

if TYPE_CHECKING:
    from nearfar.llm.messages import Endpoint
    from nearfar.llm.settings import LlmSettings

Llm = Annotated[str | None, typer.Option(help="A language model, as its server calls it.")]
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


def reachable(llm: "LlmSettings") -> bool:
    """Whether a model can be asked: there is a key for it, or an address of one's own."""
    found = placed(llm)
    return found.base_url is not None or _key(found) is not None


def endpoint(llm: "LlmSettings") -> AbstractContextManager["Endpoint"]:
    """Return the endpoint of some settings; the environment says what they leave open.

    Raises:
        BadSetting: it needs a key, and there is none.
    """
    from nearfar.errors import BadSetting
    from nearfar.llm.endpoints import open_endpoint

    if not reachable(llm):
        raise BadSetting(
            f"{llm.model} needs an API key: set {_KEYS[llm.wire_format]}. A server of your own "
            "needs none; give its address with --base-url, or base_url in a recipe."
        )
    found = placed(llm)
    return open_endpoint(found, _key(found))


def placed(llm: "LlmSettings") -> "LlmSettings":
    """Return the settings with wire format and address, the latter from the environment if open."""
    address = llm.base_url or os.environ.get(_ADDRESSES[llm.wire_format]) or None
    return replace(llm, api=llm.wire_format, base_url=address)


def _key(llm: "LlmSettings") -> str | None:
    return os.environ.get(_KEYS[llm.wire_format]) or None


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
