"""What questions to a language model would use, before any is asked."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from nearfar.data.spool import short_hash
from nearfar.llm.messages import Message, most_tokens
from nearfar.teaching.questions import Question, Questioner, each_once

_SAMPLE = 1_000  # different messages that the server counts; each is a request to it


@dataclass(slots=True)
class Estimate:
    """Bounds of what is still to pay. Requests that are billed yet never answered come on top.

    Where more than 1,000 different messages are to be sent, the input tokens are no bound: so
    many are counted, chosen by dice, and all bytes are taken to have as many tokens each.
    """

    counted: bool = True  # input tokens by the server's own counter; otherwise one a byte
    sampled: int = 0  # messages that were counted for all; 0: each was
    messages: int = 0  # different ones
    answered: int = 0  # questions that the journal settles; they cost nothing
    requests: int = 0  # if no answer is malformed
    input_tokens: int = 0
    output_tokens: int = 0  # max_tokens for each request
    most_input_tokens: int = 0  # if every answer is malformed, and asked for again
    most_output_tokens: int = 0


@dataclass(slots=True)
class _Sent:
    """A message, and how often it would be sent."""

    messages: Sequence[Message]
    requests: int = 0
    most_requests: int = 0


@dataclass
class Estimator:
    """Takes in questions block by block: each is counted once, however often it comes."""

    questioner: Questioner
    found: Estimate = field(default_factory=Estimate)
    _questions: set[str] = field(default_factory=set)
    _messages: set[bytes] = field(default_factory=set)
    _sample: dict[bytes, _Sent] = field(default_factory=dict)
    _bytes: int = 0
    _most_bytes: int = 0

    def __post_init__(self) -> None:
        self._dice = np.random.default_rng(self.questioner.judging.seed)

    def add(self, questions: Sequence[Question]) -> None:
        """Take in what would be asked."""
        judging, found = self.questioner.judging, self.found
        for question in each_once(questions):
            key = question.key(0)
            if key in self._questions:
                continue
            self._questions.add(key)
            state, tried, _ = question.look_up(self.questioner.journal)
            if state != "open":
                found.answered += 1
                continue
            tries = judging.malformed_retries + 1 - tried
            found.requests += 1
            found.output_tokens += judging.llm.max_tokens
            found.most_output_tokens += judging.llm.max_tokens * tries
            self._send(question.messages, tries)

    def settle(self) -> Estimate:
        """Count tokens, and return the estimate; nothing is generated.

        Raises:
            NoAnswer, BadSetting: as `Client.count` does.
        """
        found, sample = self.found, list(self._sample.values())
        found.messages = len(self._messages)
        whole = len(sample) == len(self._messages)
        found.sampled = 0 if whole else len(sample)
        client = self.questioner.client
        with ThreadPoolExecutor(self.questioner.judging.llm.concurrency) as pool:
            tokens = [] if client is None else list(
                pool.map(client.count, (one.messages for one in sample))
            )  # fmt: skip
        counts = [one for one in tokens if one is not None]
        found.counted = len(counts) == len(sample)
        if not found.counted:
            found.sampled = 0
            found.input_tokens, found.most_input_tokens = self._bytes, self._most_bytes
        elif whole:
            both = list(zip(sample, counts, strict=True))
            found.input_tokens = sum(one.requests * count for one, count in both)
            found.most_input_tokens = sum(one.most_requests * count for one, count in both)
        else:
            each = sum(counts) / sum(most_tokens(one.messages) for one in sample)
            found.input_tokens = round(each * self._bytes)
            found.most_input_tokens = round(each * self._most_bytes)
        return found

    def _send(self, messages: Sequence[Message], tries: int) -> None:
        """Note one request; keep a fair sample of the different messages (reservoir)."""
        size = most_tokens(messages)
        self._bytes += size
        self._most_bytes += size * tries
        name = short_hash("\0".join(message.content for message in messages))
        if name not in self._messages:
            self._messages.add(name)
            place = int(self._dice.integers(len(self._messages)))
            if len(self._sample) < _SAMPLE:
                self._sample[name] = _Sent(messages)
            elif place < _SAMPLE:
                del self._sample[list(self._sample)[place]]
                self._sample[name] = _Sent(messages)
        if (sent := self._sample.get(name)) is not None:
            sent.requests += 1
            sent.most_requests += tries
