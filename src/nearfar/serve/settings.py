"""All that an operator of a server decides, and what does not go together."""

from dataclasses import dataclass, field
from pathlib import Path

from nearfar.errors import BadSetting, require
from nearfar.serve.access import is_here
from nearfar.serve.limits import Limits
from nearfar.serve.served import Bounds
from nearfar.serve.sources import IndexSource, Source, require_names


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """What is served, to whom, and how much of it."""

    sources: tuple[Source, ...]
    cache: Path  # for what is fetched from a registry
    host: str = "127.0.0.1"
    port: int = 8080  # 0: any that is free
    keys: Path | None = None
    without_keys: bool = False  # everybody who reaches the port may ask, and change, everything
    registry: str | None = None
    look_seconds: float = 30.0  # between two looks at the registry
    drain_seconds: float = 5.0  # between "not ready" and the end, for balancers to notice
    stop_seconds: int = 30  # that requests under way get to end
    origins: tuple[str, ...] = ()  # whose pages may ask (CORS)
    texts_in_log: bool = False
    indexes: tuple[IndexSource, ...] = ()  # the first is asked by who names none
    feedback: Path | None = None  # where it is kept; None: it is not taken
    keep_searches: bool = False  # beside feedback: ids and scores of what was found
    keep_queries: bool = False  # and what was asked
    limits: Limits = field(default_factory=Limits)
    bounds: Bounds = field(default_factory=Bounds)

    def __post_init__(self) -> None:
        require(self.look_seconds > 0, "--look-seconds", "above 0", self.look_seconds)
        require(self.drain_seconds >= 0, "--drain-seconds", "0 or more", self.drain_seconds)
        require(self.stop_seconds > 0, "--stop-seconds", "above 0", self.stop_seconds)
        require_names(self.sources)
        if self.keys is None and not self.without_keys and not is_here(self.host):
            raise BadSetting(
                f"--host {self.host} lets others in, and there are no keys. Make some with "
                "`nearfar keys add keys.json NAME` and name them with --keys keys.json; or say "
                "--without-keys, and everybody who reaches the port may ask for everything."
            )
        require(self.keys is None or not self.without_keys, "--without-keys",
                "left out beside --keys", True)  # fmt: skip
        if self.feedback is not None and not self.indexes:
            raise BadSetting("--feedback is on what was found. Name an index with --index.")
        require(self.feedback is not None or not (self.keep_searches or self.keep_queries),
                "--feedback", "a folder where searches are kept", None)  # fmt: skip
