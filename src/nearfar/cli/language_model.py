"""How the command line comes to a language model: its address and key, and the bill in words."""

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from nearfar.llm.journal import Journal
    from nearfar.llm.messages import Endpoint
    from nearfar.llm.settings import LlmSettings

_KEYS = {"anthropic": "ANTHROPIC_API_KEY", "openai": "OPENAI_API_KEY"}
_ADDRESSES = {"anthropic": "ANTHROPIC_BASE_URL", "openai": "OPENAI_BASE_URL"}


def address(api: Literal["anthropic", "openai"]) -> str | None:
    """Return what the environment says is the address of a wire format's server."""
    return os.environ.get(_ADDRESSES[api]) or None


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


def bill(journal: "Journal", llm: "LlmSettings") -> str:
    """Return in one sentence what this run used and what it cost."""
    now, before = journal.now, journal.before
    tokens = (
        f"{now.answers:,} answers with {now.input_tokens:,} input and {now.output_tokens:,} "
        "output tokens"
    )
    usd, usd_before = now.total_usd(llm), before.total_usd(llm)
    if usd is None:
        return f"This run: {tokens}, price unknown."
    whole = "" if usd_before is None else f", {usd + usd_before:,.4f} with those before"
    return f"This run: {tokens}, {usd:,.4f} dollars{whole}."


def troubles(journal: "Journal", llm: "LlmSettings") -> list[str]:
    """Return what is to be known of a bill besides its sum, a sentence each."""
    found = []
    lost = journal.lost_now
    if lost.answers:
        most = lost.total_usd(llm)
        price = "at a price unknown" if most is None else f"with {most:,.4f} dollars at most"
        found.append(
            f"{lost.answers:,} requests got lost on the way. They may be billed, {price}; they "
            "count against --limit-usd, and are not in the sums below."
        )
    if journal.now.uncounted:
        found.append(
            f"{journal.now.uncounted:,} answers came without usage and are taken at their highest "
            "cost."
        )
    return found
