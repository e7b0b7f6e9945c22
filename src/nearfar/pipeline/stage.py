"""A stage is done when what it depends on bears the same name as what it left behind."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nearfar
from nearfar.files import whole_file
from nearfar.fingerprint import fingerprint


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of the walk, and the folder named by everything it depends on."""

    name: str
    folder: Path
    facts: Mapping[str, Any]

    @property
    def done(self) -> bool:
        """Whether the folder holds the finished work."""
        return self._stamp.is_file()

    @property
    def result(self) -> dict[str, Any]:
        """What the finished work said of itself."""
        stamp: dict[str, Any] = json.loads(self._stamp.read_text(encoding="utf-8"))
        found: dict[str, Any] = stamp["result"]
        return found

    @contextmanager
    def work(self) -> Iterator[dict[str, Any]]:
        """Yield a result to fill in; only if the block ends well is the stage done.

        What an earlier try left in the folder is still there, for work that can go on.
        """
        began = time.perf_counter()
        self.folder.mkdir(parents=True, exist_ok=True)
        result: dict[str, Any] = {}
        yield result
        result["seconds"] = round(time.perf_counter() - began, 1)
        stamp = {"stage": self.name, "depends_on": dict(self.facts), "result": result}
        with whole_file(self._stamp) as part:
            part.write_text(json.dumps(stamp, indent=2, default=str) + "\n", encoding="utf-8")

    @property
    def _stamp(self) -> Path:
        return self.folder / "stage.json"


def stage(name: str, home: Path, facts: Mapping[str, Any]) -> Stage:
    """Return a stage; another setting, input or version of nearfar gives it another folder."""
    facts = {"nearfar": nearfar.__version__, **facts}
    key = fingerprint(json.loads(json.dumps(facts, default=str)))
    return Stage(name, home / f"{name}-{key[:8]}", facts)
