"""Applications that serve small indexes, and what is asked of them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
from doubles import LetterEncoder
from fastapi import FastAPI
from inside import in_app
from letter_reranker import LetterReranker

from nearfar.records import Document
from nearfar.search.live_index import LiveIndex
from nearfar.serve.app import create_app
from nearfar.serve.feedback import FeedbackLog
from nearfar.serve.indexes import Indexes, ServedIndex
from nearfar.serve.queue import Batch
from nearfar.serve.search_routers import search_routers
from nearfar.serve.search_shapes import SearchBounds
from nearfar.serve.served import Bounds, Offer, Served, ServedReranker, Serving
from nearfar.stores.contract import Kind
from nearfar.stores.memory import MemoryShelf

FIELDS: dict[str, Kind] = {"lang": "text", "year": "integer", "size": "number", "new": "truth"}
TEXTS = ["alpha beta", "beta gamma", "gamma delta", "delta epsilon", "epsilon zeta", "zeta eta",
         "eta theta", "theta iota", "iota kappa", "kappa lambda", "lambda mu", "mu nu"]  # fmt: skip
DOCUMENTS = [
    Document(
        id=f"d{place}", content=text, source=f"t:{place}", group="greek",
        fields={"lang": "de" if place % 3 else "en", "year": 2010 + place, "size": place / 4,
                "new": place > 6},
    )
    for place, text in enumerate(TEXTS)
]  # fmt: skip


class World:
    """An index in memory, its model and a reranker, behind an application."""

    def __init__(
        self,
        encoder: Any = None,
        *,
        bounds: SearchBounds | None = None,
        limits: Bounds | None = None,
        log: FeedbackLog | None = None,
        told: Callable[[Batch], None] = lambda batch: None,
        words: bool = True,
        documents: Sequence[Document] = DOCUMENTS,
    ) -> None:
        self.encoder = encoder or LetterEncoder()
        self.shelf, self.reranker = MemoryShelf(), LetterReranker()
        self.index = LiveIndex.create(
            self.shelf, self.encoder, fields=FIELDS, words=words, reranker=self.reranker
        )
        self.index.upsert(documents)
        served = Served(name="letters", encoder=self.encoder)
        reading = ServedReranker(name="places", reranker=self.reranker)
        self.serving = Serving(Offer.of([served], [reading]))
        self.indexes = Indexes([ServedIndex.open("shop", self.shelf, self.serving.offer)])
        self._settings = (bounds, limits, log, told)
        self.app = self.new_app()

    def new_app(self) -> FastAPI:
        """Return an application, which begins once."""
        bounds, limits, log, told = self._settings
        routers = search_routers(self.indexes, bounds=bounds, log=log)
        return create_app(self.serving, bounds=limits, told=told, routers=routers)

    def ask(self, method: str, path: str, body: Any = None, **more: Any) -> httpx.Response:
        """Ask once."""
        found: httpx.Response = in_app(
            self.new_app(), lambda client: client.request(method, path, json=body, **more)
        )
        return found

    def search(self, **body: Any) -> Any:
        """Return what a search answers, which must succeed."""
        answer = self.ask("POST", "/search", body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def hits(self, **body: Any) -> list[dict[str, Any]]:
        """Return the hits of the first query."""
        found: list[dict[str, Any]] = self.search(**body)["answers"][0]["hits"]
        return found


def ids(hits: Sequence[dict[str, Any]]) -> list[str]:
    """Return the ids of hits, in their order."""
    return [hit["id"] for hit in hits]


def kept(folder: Path, name: str) -> list[str]:
    """Return the lines of a file of feedback."""
    return (folder / f"{name}.jsonl").read_text().splitlines()
