"""Two wire formats: Anthropic's Messages, and the chat completions that most servers speak.

Both go through the SDK of their maker, without its own retries: each attempt has to pass our
rate and cost limits, and a request that timed out may have been paid for.
"""

import email.utils
import importlib
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from nearfar.errors import BadSetting
from nearfar.llm.messages import Answer, Endpoint, Hiccup, Message, NoAnswer, Stop, Usage
from nearfar.llm.settings import LlmSettings

_ADDRESSES = {"anthropic": "https://api.anthropic.com", "openai": "https://api.openai.com/v1"}
_NO_KEY = "none"  # the SDKs insist on one; servers of one's own mostly do not
_CONNECT_SECONDS = 5.0
_UNHEARD = ("ConnectError", "ConnectTimeout", "PoolTimeout")  # of httpx: nothing was sent
_PASSING = (408, 409, 425, 429)  # and all from 500 on
_BUSY = (429, 503, 529)  # the server has too much to do, and not only with this request
_GIVEN_UP = (408, 502, 504, 524)  # by a gateway; the model behind it may go on, and be billed
_NEVER = {
    401: "Check the API key.",
    402: "Check the balance of the account.",
    403: "Check what the API key may do.",
    404: "Check the name of the model and the base URL.",
}


@contextmanager
def open_endpoint(settings: LlmSettings, key: str | None) -> Iterator[Endpoint]:
    """Yield the endpoint that some settings describe; at the end its connections are closed.

    Args:
        settings: which model, where, and how long to wait for it.
        key: the API key; a server of one's own needs none.

    Raises:
        BadSetting: the SDK is not installed.
    """
    kind = settings.wire_format
    try:
        sdk: Any = importlib.import_module(kind)  # only now: not everyone has it
    except ImportError as error:
        raise BadSetting(
            f"Speaking with {settings.model} needs the Python package {kind!r}, which is not "
            "installed. Install it with `pip install 'nearfar[llm]'`."
        ) from error
    make = {"anthropic": "Anthropic", "openai": "OpenAI"}[kind]
    connect = min(_CONNECT_SECONDS, settings.timeout_seconds)
    with getattr(sdk, make)(
        api_key=key or _NO_KEY,
        base_url=settings.base_url or _ADDRESSES[kind],
        timeout=sdk.Timeout(settings.timeout_seconds, connect=connect),
        max_retries=0,
    ) as client:
        speaks = {"anthropic": AnthropicEndpoint, "openai": OpenAIEndpoint}[kind]
        yield speaks(client, sdk, settings.model)


@dataclass
class AnthropicEndpoint:
    """Speaks Anthropic's Messages."""

    client: Any
    sdk: Any
    model: str

    def ask(self, messages: Sequence[Message], max_tokens: int) -> Answer:
        """Return the answer to some messages; raises as `Endpoint.ask`."""
        with translated(self.sdk, self.model, paid=True):
            found = self.client.messages.create(
                model=self.model, max_tokens=max_tokens, **_anthropic_turns(messages)
            )
            usage = found.usage
            read = (usage.cache_creation_input_tokens or 0) + (usage.cache_read_input_tokens or 0)
            stops: dict[str | None, Stop] = {"max_tokens": "length", "refusal": "refused"}
            return Answer(
                text="".join(block.text for block in found.content if block.type == "text"),
                stop=stops.get(found.stop_reason, "end"),
                usage=Usage(usage.input_tokens + read, usage.output_tokens),
                model=found.model,
            )

    def count(self, messages: Sequence[Message]) -> int | None:
        """Return what the server's own counter says; raises as `Endpoint.count`."""
        with translated(self.sdk, self.model, paid=False):
            found = self.client.messages.count_tokens(
                model=self.model, **_anthropic_turns(messages)
            )
            return int(found.input_tokens)


def _anthropic_turns(messages: Sequence[Message]) -> dict[str, Any]:
    turns = [{"role": m.role, "content": m.content} for m in messages if m.role != "system"]
    system = "\n\n".join(m.content for m in messages if m.role == "system")
    return {"messages": turns} | ({"system": system} if system else {})


@dataclass
class OpenAIEndpoint:
    """Speaks OpenAI's chat completions, as vLLM, llama.cpp, Ollama and many others do."""

    client: Any
    sdk: Any
    model: str
    _limit: str = field(default="max_tokens")  # what the server calls the most it may write

    def ask(self, messages: Sequence[Message], max_tokens: int) -> Answer:
        """Return the answer to some messages; raises as `Endpoint.ask`."""
        with translated(self.sdk, self.model, paid=True):
            found = self._create(messages, max_tokens)
            choice = found.choices[0]
            refused = bool(choice.message.refusal) or choice.finish_reason == "content_filter"
            stop: Stop = "length" if choice.finish_reason == "length" else "end"
            used = found.usage
            return Answer(
                text=choice.message.content or "",
                stop="refused" if refused else stop,
                usage=used and Usage(used.prompt_tokens, used.completion_tokens),
                model=found.model or "",
            )

    def count(self, messages: Sequence[Message]) -> int | None:
        """Return None: the format has no way to ask."""
        return None

    def _create(self, messages: Sequence[Message], max_tokens: int) -> Any:
        turns = [{"role": message.role, "content": message.content} for message in messages]
        create = self.client.chat.completions.create
        limit = self._limit  # as this request has it: other threads may learn better meanwhile
        try:
            return create(model=self.model, messages=turns, **{limit: max_tokens})
        except self.sdk.BadRequestError as error:
            # OpenAI's reasoning models know the limit only by its new name, many other servers
            # only by the old one. The server that refuses the old one says so.
            if limit != "max_tokens" or error.param != "max_tokens":
                raise
            self._limit = "max_completion_tokens"
            return create(model=self.model, messages=turns, **{self._limit: max_tokens})


@contextmanager
def translated(sdk: Any, model: str, *, paid: bool) -> Iterator[None]:
    """Turn what an SDK raises into what can be done about it."""
    try:
        yield
    except sdk.APIStatusError as error:
        raise _of_status(error, model, paid=paid) from error
    except sdk.APIConnectionError as error:  # timeouts too
        cause = error.__cause__
        heard = type(cause).__name__ not in _UNHEARD
        late = "no answer within the timeout" if isinstance(error, sdk.APITimeoutError) else ""
        raise Hiccup(late or f"connection failed ({cause})", sent=paid and heard) from error
    except (sdk.APIError, AttributeError, IndexError, TypeError, ValueError) as error:
        # A 200 with a body of another shape: some proxies answer so when they are in trouble.
        raise Hiccup(f"the answer has another form than expected ({error})", sent=paid) from error


def _of_status(error: Any, model: str, *, paid: bool) -> Exception:
    status = int(error.status_code)
    said = " ".join(str(error).split())[:300]
    if status in _NEVER:
        return BadSetting(f"{error.request.url}: {model} answers {said}. {_NEVER[status]}")
    if status in _PASSING or status >= 500:
        wait = _wait_seconds(error.response.headers)
        sent = paid and status in _GIVEN_UP
        return Hiccup(said, wait_seconds=wait, busy=status in _BUSY, sent=sent)
    return NoAnswer(f"{error.request.url}: {model} answers {said}.")


def _wait_seconds(headers: Mapping[str, str]) -> float | None:
    """Return what Retry-After asks for: seconds, or a date; None if it asks for nothing."""
    said = headers.get("retry-after")
    if said is None:
        return None
    try:
        return max(float(said), 0.0)
    except ValueError:
        parsed = email.utils.parsedate_tz(said)
    return None if parsed is None else max(email.utils.mktime_tz(parsed) - time.time(), 0.0)
