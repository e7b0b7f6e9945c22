"""A server in a process of its own, for the tests that end it: its model takes its time.

It prints its address, and a line when it begins to compute a text that says "slow", which ends
when a line comes in.
"""

import sys
from pathlib import Path
from typing import Any

from doubles import LetterEncoder

from nearfar.serve.connections import bound
from nearfar.serve.logs import Log
from nearfar.serve.metrics import Metrics
from nearfar.serve.run import Opened, Server, build, uvicorn_config
from nearfar.serve.served import Offer, Served, Serving
from nearfar.serve.settings import ServerSettings
from nearfar.serve.sources import Source


class Slow(LetterEncoder):
    """Takes as long as it is let, for texts that say so."""

    def encode(self, contents: Any, role: Any, **more: Any) -> Any:
        if any("slow" in text for text in contents):
            sys.stdout.write("computing\n")
            sys.stdout.flush()
            sys.stdin.readline()
        return super().encode(contents, role)


def main(drain_seconds: float, stop_seconds: int) -> None:
    source = Source(kind="model", name="slow", where="nowhere")
    settings = ServerSettings(sources=(source,), cache=Path(), port=0)
    serving = Serving(Offer.of([Served(name="slow", encoder=Slow())]))
    app, health = build(settings, Opened(serving=serving), None, Log(sys.stderr.write), Metrics())
    with bound(settings.host, settings.port) as (listening, address):

        def opened() -> None:
            sys.stdout.write(address + "\n")
            sys.stdout.flush()

        config = uvicorn_config(app, settings.limits, stop_seconds)
        Server(config, health, drain_seconds, opened).run(sockets=[listening])


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]))
