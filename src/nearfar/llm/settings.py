"""Which language model is asked, and within what limits."""

from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from nearfar.errors import BadSetting, require

WireFormat = Literal["anthropic", "openai"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LlmSettings:
    """Which language model, where it is, how fast it may be asked and what it may cost."""

    model: str  # as the server calls it
    api: WireFormat | None = None  # None: anthropic, or openai where a base_url is given
    base_url: str | None = None  # None: that of the maker
    max_tokens: int = 1_024  # of one answer, thinking included
    concurrency: int = 4  # requests under way at once
    requests_per_minute: float | None = None  # None: as fast as they are answered
    timeout_seconds: float = 120.0
    retries: int = 5  # more tries after 429, 5xx, a timeout or a lost connection
    input_usd_per_million_tokens: float | None = None  # None: unknown
    output_usd_per_million_tokens: float | None = None
    limit_usd: float | None = None  # over all runs of one journal

    def __post_init__(self) -> None:
        require(bool(self.model), "llm.model", "the name of a model", self.model)
        require(self.api in (None, "anthropic", "openai"), "llm.api", "anthropic or openai",
                 self.api)  # fmt: skip
        for name in ("max_tokens", "concurrency"):
            require(getattr(self, name) >= 1, f"llm.{name}", "1 or more", getattr(self, name))
        for name in ("requests_per_minute", "timeout_seconds", "limit_usd"):
            found = getattr(self, name)
            require(found is None or found > 0, f"llm.{name}", "above 0", found)
        require(self.retries >= 0, "llm.retries", "0 or more", self.retries)
        for found in (self.input_usd_per_million_tokens, self.output_usd_per_million_tokens):
            require(found is None or found >= 0, "a price", "0 or more", found)
        if (self.input_usd_per_million_tokens is None) != (
            self.output_usd_per_million_tokens is None
        ):
            raise BadSetting("Only one of the two prices is given. Give both, or neither.")
        if self.limit_usd is not None and not self.priced:
            raise BadSetting(
                f"A limit of {self.limit_usd} dollars needs the prices of {self.model}. Give "
                "input_usd_per_million_tokens and output_usd_per_million_tokens "
                "(--input-price and --output-price), or leave the limit out."
            )
        self._require_address()

    def _require_address(self) -> None:
        if self.base_url is None:
            return
        try:
            parts = urlsplit(self.base_url)
            good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:  # of a port that is no number, too
            good = False
        require(good, "llm.base_url", "an address such as http://localhost:8000/v1", self.base_url)

    @property
    def wire_format(self) -> WireFormat:
        """The format that is spoken."""
        return self.api or ("openai" if self.base_url else "anthropic")

    @property
    def priced(self) -> bool:
        """Whether what a token costs is known."""
        return self.input_usd_per_million_tokens is not None

    def cost_usd(self, input_tokens: int, output_tokens: int) -> float | None:
        """Return what so many tokens cost, in dollars; None if the prices are unknown."""
        read, written = self.input_usd_per_million_tokens, self.output_usd_per_million_tokens
        if read is None or written is None:
            return None
        return (input_tokens * read + output_tokens * written) / 1e6
