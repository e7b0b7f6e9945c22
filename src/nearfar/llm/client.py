"""A language model as the rest of the house sees it: asked patiently, within speed and budget."""

import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from nearfar.llm.limits import Clock, Pace, Purse, RealClock
from nearfar.llm.messages import Answer, Endpoint, Hiccup, Message, NoAnswer, Usage, most_tokens
from nearfar.llm.settings import LlmSettings

_FIRST_WAIT_SECONDS = 0.5  # doubled with each try
_LONGEST_WAIT_SECONDS = 30.0
_LONGEST_ASKED_SECONDS = 600.0  # a server that wants us to wait longer has no answer today


@dataclass
class Client:
    """Asks an endpoint; many threads may ask at once."""

    endpoint: Endpoint
    settings: LlmSettings
    clock: Clock = field(default_factory=RealClock)
    spent_usd: float = 0.0  # before this run, counted against the limit
    first_wait_seconds: float = _FIRST_WAIT_SECONDS

    def __post_init__(self) -> None:
        self._pace = Pace(self.settings.requests_per_minute, self.clock)
        self._purse = Purse(self.settings.limit_usd, self.spent_usd)
        self._over = threading.Event()

    def end(self) -> None:
        """Send nothing more: who waits stops waiting, and what is under way may end."""
        self._over.set()

    def ask(
        self, messages: Sequence[Message], lose: Callable[[Usage], None] = lambda usage: None
    ) -> Answer:
        """Return the answer; try again after 429, 5xx, a timeout or a lost connection.

        Waits as long as the server asks (Retry-After), else twice as long each time, from half a
        second, less up to a quarter by chance. A server that is busy is left alone by all threads.

        A request that timed out, here or at a gateway, may have been answered, and billed: its
        highest cost counts against the limit.

        Args:
            messages: what is asked.
            lose: told of each request that got lost so, with the most it can have used.

        Raises:
            LimitReached: another request could cost more than is left.
            NoAnswer: every try failed.
            BadSetting: the key, the model or the address is wrong.
        """
        most = Usage(most_tokens(messages), self.settings.max_tokens)
        most_usd = self.settings.cost_usd(most.input_tokens, most.output_tokens)
        for tried in range(self.settings.retries + 1):
            with self._purse.slip(most_usd) as slip:
                self._wait_for_turn()
                try:
                    answer = self.endpoint.ask(messages, self.settings.max_tokens)
                except Hiccup as hiccup:
                    problem = hiccup
                    if hiccup.sent:
                        slip.cost_usd = slip.most_usd
                        lose(most)
                else:
                    slip.cost_usd = self.cost_usd(messages, answer) or 0.0
                    return answer
            self._wait(problem, tried)
        raise NoAnswer(
            f"{self.settings.model} gave no answer in {self.settings.retries + 1} tries. "
            f"The last one: {problem}."
        )

    def count(self, messages: Sequence[Message]) -> int | None:
        """Return how many input tokens the server counts, or None where it cannot.

        Raises:
            NoAnswer: every try failed.
            BadSetting: the key, the model or the address is wrong.
        """
        for tried in range(self.settings.retries + 1):
            self._wait_for_turn()
            try:
                return self.endpoint.count(messages)
            except Hiccup as hiccup:
                problem = hiccup
            self._wait(problem, tried)
        raise NoAnswer(f"{self.settings.model} does not count tokens. The last try: {problem}.")

    def usage(self, messages: Sequence[Message], answer: Answer) -> Usage:
        """Return what the server says was used, or the most it can have been."""
        return answer.usage or Usage(most_tokens(messages), self.settings.max_tokens)

    def cost_usd(self, messages: Sequence[Message], answer: Answer) -> float | None:
        """Return what an answer cost, in dollars; None if the prices are unknown."""
        usage = self.usage(messages, answer)
        return self.settings.cost_usd(usage.input_tokens, usage.output_tokens)

    def _wait_for_turn(self) -> None:
        self._pace.wait_for_turn(self._over)
        if self._over.is_set():
            raise NoAnswer(f"{self.settings.model} was not asked: the work has been stopped.")

    def _wait(self, problem: Hiccup, tried: int) -> None:
        """Wait before the next try, if there is one."""
        if tried == self.settings.retries:
            return
        asked = problem.wait_seconds
        if asked is not None and asked > _LONGEST_ASKED_SECONDS:
            raise NoAnswer(f"{self.settings.model} wants us to wait {asked:,.0f} s: {problem}.")
        if asked is None:
            asked = min(self.first_wait_seconds * 2**tried, _LONGEST_WAIT_SECONDS)
            asked *= random.uniform(0.75, 1.0)
        if problem.busy:
            self._pace.hold(asked)
        else:
            self.clock.wait(asked, self._over)
