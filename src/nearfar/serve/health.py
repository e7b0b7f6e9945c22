"""Whether the process lives, and whether it is worth asking.

/livez: the event loop answers. /readyz: each model has computed something lately, in the thread
that computes for everybody, and each index answers; and nobody has asked the server to end. A
model that was loaded says nothing of whether it still computes: memory may be gone since.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from nearfar.errors import said
from nearfar.serve.logs import Log
from nearfar.serve.queue import Closed, Full, Queue
from nearfar.serve.queue_waiting import Lane
from nearfar.serve.served import Served, ServedReranker, Serving
from nearfar.serve.sources import forward

if TYPE_CHECKING:
    from fastapi import APIRouter

Part = Literal["ok", "failed", "late"]
_TOKENS = 8  # of the text that is computed, more or less


@dataclass(slots=True)
class Health:
    """Looks at every part, at most once in some seconds however often it is asked.

    Args:
        serving: what is served.
        queue: returns the queue whose thread computes.
        indexes: by name, raises if the index cannot be asked; called in a thread.
        log: is told of parts that fail, and that answer again.
        fresh_seconds: what was seen is believed so long.
        deadline_seconds: whoever has not answered by then is late.
    """

    serving: Serving
    queue: Callable[[], Queue]
    log: Log
    indexes: Mapping[str, Callable[[], object]] = field(default_factory=dict)
    fresh_seconds: float = 5.0
    deadline_seconds: float = 10.0
    clock: Callable[[], float] = time.monotonic
    draining: bool = False  # the server was asked to end: nobody should ask it anything new
    _seen: dict[str, Part] = field(default_factory=dict)
    _seen_at: float | None = None
    _batch_at: float | None = None
    _looking: asyncio.Task[None] | None = None

    def batch(self) -> None:
        """Hear that the thread has computed something."""
        self._batch_at = self.clock()

    async def parts(self) -> dict[str, Part]:
        """Return how each part was when it was last looked at; all who ask share one look."""
        if self._seen_at is None or self.clock() - self._seen_at >= self.fresh_seconds:
            if self._looking is None or self._looking.done():
                self._looking = asyncio.create_task(self._look())
            await asyncio.shield(self._looking)  # one who leaves does not end it for the others
        return dict(self._seen)

    async def _look(self) -> None:
        offer = self.serving.offer
        asked: dict[str, Awaitable[Part]] = {}
        for name, model in offer.models.items():
            asked[f"model {name}"] = self._model(f"model {name}", model)
        for name, reranker in offer.rerankers.items():
            asked[f"reranker {name}"] = self._model(f"reranker {name}", reranker)
        for name, look in self.indexes.items():
            asked[f"index {name}"] = self._index(f"index {name}", look)
        seen = dict(zip(asked, await asyncio.gather(*asked.values()), strict=True))
        for name, state in seen.items():
            if state != self._seen.get(name, "ok"):
                self.log("health", part=name, state=state)
        self._seen, self._seen_at = seen, self.clock()

    async def _model(self, name: str, served: Served | ServedReranker) -> Part:
        began = self.clock()
        # A lane of its own: what fails here must not be the fault of somebody's text beside it.
        lane = Lane(("health", name), _computing(served), _TOKENS)
        try:
            async with asyncio.timeout(self.deadline_seconds):
                await self.queue().compute(lane, [None], [_TOKENS])
        except (Full, TimeoutError):
            # Much to do is no illness: while batches end, the model is as it was seen last.
            alive = self._batch_at is not None and self._batch_at >= began - self.deadline_seconds
            return self._seen.get(name, "ok") if alive else "late"
        except Closed:
            return "late"
        except Exception as error:  # whatever a model raises, it does not work
            self.log("health", part=name, state="failed", reason=said(error))
            return "failed"
        return "ok"

    async def _index(self, name: str, look: Callable[[], object]) -> Part:
        try:
            async with asyncio.timeout(self.deadline_seconds):
                await asyncio.to_thread(look)
        except TimeoutError:
            return "late"
        except Exception as error:  # each store has its own kinds
            self.log("health", part=name, state="failed", reason=said(error))
            return "failed"
        return "ok"


def _computing(
    served: Served | ServedReranker,
) -> Callable[[Sequence[None]], Sequence[None]]:
    def compute(items: Sequence[None]) -> Sequence[None]:
        forward(served)
        return items

    return compute


def health_router(health: Health) -> "APIRouter":
    """Return the routes /livez and /readyz; they need no key, and say no more than states."""
    from fastapi import APIRouter, Response
    from pydantic import BaseModel

    class Alive(BaseModel):
        """The process answers."""

        alive: Literal[True] = True

    class Ready(BaseModel):
        """Whether requests should be sent here."""

        ready: bool
        draining: bool
        parts: dict[str, Part]

    router = APIRouter(tags=["watching"])

    @router.get("/livez")
    async def livez() -> Alive:
        """Answer as long as the event loop does; for whoever restarts processes."""
        return Alive()

    @router.get("/readyz", responses={503: {"model": Ready}})
    async def readyz(response: Response) -> Ready:
        """Answer 503 while a model does not compute, an index does not answer, or it ends."""
        parts = {} if health.draining else await health.parts()
        ready = not health.draining and all(state == "ok" for state in parts.values())
        response.status_code = 200 if ready else 503
        return Ready(ready=ready, draining=health.draining, parts=parts)

    return router
