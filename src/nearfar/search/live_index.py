"""LiveIndex: an index that takes writes while it is searched, of one space, in any store.

Shapes: P pieces, D dimensions.
"""

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter

import torch

from nearfar.errors import BadSetting
from nearfar.fingerprint import fingerprint
from nearfar.model.encoder import Encoder
from nearfar.model.reranker import Reranker
from nearfar.model.space import EmbeddingSpace, require_same_space
from nearfar.progress import Progress, silent
from nearfar.records import Document
from nearfar.search.chunks import Cutter, Cutting
from nearfar.search.live_documents import Upserted, chunks_of, digest
from nearfar.search.live_facts import LiveFacts, facts_of, next_version, require_live, with_facts
from nearfar.search.live_search import Answer, Asked, Searched, Words, search_store
from nearfar.stores.contract import Entry, Kind, Layout, Shelf, Store
from nearfar.stores.filters import Where
from nearfar.vectors.similarity import unit

_AS_READ = Cutting()


@dataclass(frozen=True, slots=True, eq=False)
class LiveIndex:
    """One version of an index with the encoder of its space; safe to share between threads.

    It stays on the version it was opened with: when another goes live, searches go on here, and
    writes are refused.
    """

    shelf: Shelf
    version: str
    store: Store
    encoder: Encoder
    cutter: Cutter
    reranker: Reranker | None = None

    @classmethod
    def create(
        cls,
        shelf: Shelf,
        encoder: Encoder,
        *,
        fields: Mapping[str, Kind] | None = None,
        words: bool = True,
        cutting: Cutting | None = _AS_READ,
        model: str = "",
        made_at: str = "",
        reranker: Reranker | None = None,
    ) -> "LiveIndex":
        """Make an index, empty and live.

        Args:
            shelf: where it stands; no version of it may be live.
            encoder: whose space it is of.
            fields: that a search can be narrowed by, and their kinds.
            words: whether words can be searched too.
            cutting: how documents that are longer than the encoder reads are cut. None: they
                are not, and what the encoder does not read cannot be found by meaning.
            model: what people call the encoder.
            made_at: when, ISO 8601.
            reranker: reads candidates, where a search asks for it.

        Raises:
            BadSetting: an index is live there, or the cutting does not fit the encoder.
        """
        if (live := shelf.live()) is not None:
            raise BadSetting(
                f"Expected a place without an index, found one whose version {live!r} is live. "
                "Open it to put documents in, or build another version of it (`reindexing.py`)."
            )
        facts = facts_of(encoder, cutting, model=model, made_at=made_at)
        layout = Layout(dim=encoder.space.dim, fields=dict(fields or {}), words=words)
        version = next_version(shelf)
        shelf.create(version, layout).close()
        with_facts(shelf, version, facts)
        shelf.switch(version, None)
        return cls.open(shelf, encoder, reranker=reranker)

    @classmethod
    def open(
        cls,
        shelf: Shelf,
        encoder: Encoder,
        *,
        version: str | None = None,
        reranker: Reranker | None = None,
    ) -> "LiveIndex":
        """Open a version: the live one, unless another is named.

        Raises:
            BadFile: there is none, or it is damaged.
            SpaceMismatch: it was built with another model; names each choice that differs.
        """
        chosen = version or require_live(shelf)
        store = shelf.open(chosen)
        try:
            facts = LiveFacts.of(store, chosen)
            require_same_space(encoder.space, facts.space, to=f"open version {chosen!r}")
            cutter = Cutter.of(encoder, facts.cutting)
        except BaseException:
            store.close()
            raise
        return cls(shelf, chosen, store, encoder, cutter, reranker)

    @property
    def space(self) -> EmbeddingSpace:
        """The space of its vectors."""
        return self.encoder.space

    @property
    def facts(self) -> LiveFacts:
        """What it says of itself now."""
        return LiveFacts.of(self.store, self.version)

    def tell(self, facts: LiveFacts) -> None:
        """Keep these facts in place of the earlier ones."""
        self.store.tell(facts.to_json())

    def count(self) -> int:
        """Return how many documents it holds."""
        return self.store.count()

    def upsert(
        self,
        documents: Iterable[Document],
        *,
        progress: Progress = silent,
        total: int | None = None,
    ) -> Upserted:
        """Put documents in, each in place of the one with its id; only what changed is embedded.

        They are taken in chunks of a thousand: when this ends early, the chunks that were done
        are in, and the same call again skips them. It returns, or `progress` is told, only after
        the store has them.

        Args:
            documents: read once, as they come.
            progress: told after every chunk.
            total: how many there are, if that is known.

        Raises:
            BadRecord: a field that searches can be narrowed by is of another kind; nothing of
                the chunk is in.
            BadSetting: another version is live by now, or about to be.
            StoreFull: there is no more room; the chunks before are in.
        """
        done = Upserted(0, 0)
        for chunk in chunks_of(documents):
            self._require_open("Nothing of this call was put in" if not done.total else
                               "What was put in before this is kept")  # fmt: skip
            done += self.put(chunk)
            self._require_open("It may not know the last documents")
            progress("index documents", done.total, total, f"{done.unchanged:,} unchanged")
        return done

    def put(self, chunk: Sequence[Document]) -> Upserted:
        """Put a few documents into this version, live or not: for who builds one."""
        last = {document.id: document for document in chunk}
        embedding = fingerprint({"space": self.space.fingerprint, "cutting": self.cutter.rule})
        digests = {id: digest(one, embedding) for id, one in last.items()}
        known = self.store.digests(digests)
        changed = [one for id, one in last.items() if known.get(id) != digests[id]]
        if changed:
            self.store.upsert(self._entries(changed, digests))
        return Upserted(len(changed), len(chunk) - len(changed))

    def delete(self, ids: Iterable[str]) -> int:
        """Take documents out; return how many were there.

        Raises:
            BadSetting: another version is live by now, or about to be.
        """
        self._require_open("Nothing was deleted")
        count = self.store.delete(ids)
        self._require_open("It may still know what was deleted")
        return count

    def delete_others(self, ids: Container[str], *, progress: Progress = silent) -> int:
        """Take out all documents but these; return how many.

        Raises:
            BadSetting: another version is live by now, or about to be.
        """
        done, gone, total = 0, 0, self.count()
        for chunk in chunks_of(self.store.scan()):
            others = [document.id for document in chunk if document.id not in ids]
            gone += self.delete(others) if others else 0
            done += len(chunk)
            progress("look for what is gone", done, total, f"{gone:,} taken out")
        return gone

    def fetch(self, ids: Iterable[str]) -> dict[str, Document]:
        """Return the documents of these ids that are there."""
        return self.store.fetch(ids)

    def optimise(self, progress: Progress = silent) -> None:
        """Do what keeps searches fast, after many writes."""
        self.store.optimise(progress)

    def search(
        self,
        queries: Sequence[str],
        *,
        k: int = 10,
        where: Where = (),
        words: Words = None,
        rerank: bool = False,
        candidates: int | None = None,
        budget_ms: float | None = None,
        exact: bool = False,
        explain: bool = False,
        clock: Callable[[], float] = perf_counter,
    ) -> list[Answer]:
        """Return for each query the documents that answer it, best first.

        Meaning brings the nearest documents by their best pieces; words may bring others, and
        both are fused as `candidates.py` says; a reranker may read the first of them, or as many
        as fit into a budget, as `reranked.py` says: of a document in pieces the one that was
        found.

        Args:
            queries: what is asked, each a text.
            k: at most so many hits a query, 1 or more.
            where: conditions that all must hold; see `stores/filters.py`.
            words: how words join meaning: "ranks" (RRF), how much they count (0 to 1), or not.
            rerank: whether the reranker reads the first candidates.
            candidates: brought by meaning and by words each, k or more. None: 100, or k if that
                is more.
            budget_ms: of the whole call: nothing is read that should not end within it.
            exact: whether every vector is looked at.
            explain: whether each hit says which words and which piece of it answer.
            clock: tells seconds.

        Raises:
            BadSetting: a number is out of its range; a condition names no field, or a value of
                another kind; words or a reranker are asked for, and there are none.
            BadModel: the reranker said something that is not a number.
        """
        if isinstance(queries, str):
            raise ValueError(f"expected a list of queries, got the text {queries[:40]!r}.")
        asked = Asked(k=k, where=where, words=words, rerank=rerank, candidates=candidates,
                      budget_ms=budget_ms, exact=exact, explain=explain)  # fmt: skip
        searched = Searched(self.store, self.encoder, self.reranker, self.cutter)
        return search_store(searched, queries, asked, clock=clock)

    def close(self) -> None:
        """Let go of files and connections."""
        self.store.close()

    def _entries(self, documents: Sequence[Document], digests: Mapping[str, str]) -> list[Entry]:
        spans = self.cutter([document.content for document in documents])
        texts = [
            document.content[start:stop]
            for document, own in zip(documents, spans, strict=True)
            for start, stop in own
        ]
        vectors = unit(self.encoder.encode(texts, "document"))  # (P, D)
        parts = torch.split(vectors, [len(own) for own in spans])
        return [
            Entry(document, digests[document.id], rows, own)
            for document, rows, own in zip(documents, parts, spans, strict=True)
        ]

    def _require_open(self, but: str) -> None:
        """Raise BadSetting where this version takes no writes, saying what became of them."""
        live, state = self.shelf.live(), self.facts.state
        if live == self.version and state == "open":
            return
        why = f"version {live!r} is live by now" if live != self.version else (
            "another is about to go live in its place"
        )  # fmt: skip
        raise BadSetting(
            f"Version {self.version!r} of the index takes no writes: {why}. {but}; open the index "
            "again, with the model of the version that is live then, and write once more."
        )
