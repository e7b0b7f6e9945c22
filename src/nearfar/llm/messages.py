"""The words of a talk with a language model: messages in, a text and its usage out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from nearfar.errors import NearfarError

# How an answer ended: of itself, at max_tokens, or because the model would not say it.
Stop = Literal["end", "length", "refused"]

# A token is at least one byte of UTF-8; a chat template adds a few for each message, and
# servers a few for each request. Generous, since limits rest on it.
_TOKENS_PER_MESSAGE = 16
_TOKENS_PER_REQUEST = 64


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a talk."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Usage:
    """What is paid for, in tokens of the model."""

    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back from one request."""

    text: str
    stop: Stop
    usage: Usage | None  # None: the server did not say
    model: str = ""  # as the server calls it, often with a date


class Endpoint(Protocol):
    """Speaks one wire format; every call is one request, without a second try."""

    def ask(self, messages: Sequence[Message], max_tokens: int) -> Answer:
        """Return the answer to some messages.

        Raises:
            Hiccup: another try may succeed.
            NoAnswer: another try of the same request will not.
            BadSetting: no request will succeed: the key, the model or the address is wrong.
        """
        ...

    def count(self, messages: Sequence[Message]) -> int | None:
        """Return how many input tokens they are, or None where the server cannot count.

        Raises:
            Hiccup: as `ask`, and the two others.
        """
        ...


class NoAnswer(NearfarError):
    """A language model gave no answer, after as many tries as were allowed."""


class Hiccup(Exception):
    """One request failed in a way that often passes."""

    def __init__(
        self, reason: str, *, wait_seconds: float | None = None, busy: bool = False, sent: bool
    ) -> None:
        """Say what happened.

        Args:
            reason: for a person to read.
            wait_seconds: how long the server asks us to wait, if it says so.
            busy: every request would fail now, so all should wait.
            sent: the request may have been answered, and will perhaps be billed.
        """
        super().__init__(reason)
        self.wait_seconds = wait_seconds
        self.busy = busy
        self.sent = sent


def most_tokens(messages: Sequence[Message]) -> int:
    """Return a number of input tokens that the messages cannot exceed: one for each byte.

    English has about four bytes a token, so the truth is usually about a quarter of it. It holds
    for tokenizers whose tokens are pieces of the text, as all current language models have.

    >>> most_tokens([Message("user", "hello")])
    85
    """
    written = sum(len(message.content.encode()) for message in messages)
    return written + _TOKENS_PER_MESSAGE * len(messages) + _TOKENS_PER_REQUEST
