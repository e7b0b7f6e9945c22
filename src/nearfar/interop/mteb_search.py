"""Our search as one model of `mteb`: index, retrieve, and rerank what was found."""

import shutil
import tempfile
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from nearfar.data.dataset import Dataset
from nearfar.data.tables import TEXT_COLUMNS
from nearfar.errors import BadRecord, require
from nearfar.fingerprint import fingerprint
from nearfar.interop.mteb_models import model_meta, texts_of
from nearfar.model.encoder import Encoder
from nearfar.model.reranker import Reranker
from nearfar.progress import Progress, silent
from nearfar.search.candidates import Fusion, find_candidates
from nearfar.search.index import Index, build_index, open_lexical
from nearfar.search.reranked import RerankedHit, retrieve_then_rerank

if TYPE_CHECKING:
    from mteb.models import ModelMeta

Hits = dict[str, float]  # score by document id, best first
Scored = tuple[int, float]  # a row of the index and its score

_ROWS_AT_ONCE = 2_048  # of a corpus, copied to where the index is built
_QUERIES_AT_ONCE = 64  # found, fetched and reranked together
_DOCUMENTS = pa.schema([(name, pa.string()) for name in TEXT_COLUMNS])


@dataclass(frozen=True, kw_only=True)
class Stages:
    """What stands between a query and its hits, besides the encoder."""

    reranker: Reranker | None = None
    candidates: int = 100  # that it reads of each query; what it does not read is not returned
    lexical: bool = False  # whether words (BM25) help to find them
    lexical_weight: float | None = None  # of words beside meaning, 0 to 1; None: by ranks

    def __post_init__(self) -> None:
        require(self.candidates >= 1, "candidates", "1 or more", self.candidates)
        if self.lexical_weight is not None:
            holds = self.lexical and 0 <= self.lexical_weight <= 1
            require(holds, "lexical_weight", "between 0 and 1, with lexical", self.lexical_weight)

    @property
    def choices(self) -> dict[str, Any]:
        """All that moves a hit, by name; nothing where vectors alone decide."""
        found: dict[str, Any] = {}
        if self.reranker is not None:
            found |= {"reranker": self.reranker.fingerprint, "candidates": self.candidates}
        if self.lexical:
            found |= {"lexical": True, "lexical_weight": self.lexical_weight}
        return found


@dataclass(eq=False)
class NearfarSearch:
    """The pipeline that is served, as a `SearchProtocol`.

    A corpus is embedded once, however many subsets ask it, and lies on disk until the next one
    comes or this goes. Equal scores keep the order of our search: trec_eval, which would break
    ties by id, gets scores that fall strictly.

    Args:
        encoder: of the index and the queries.
        name: organisation/model, as results are filed.
        stages: what comes after; by default nothing.
        progress: told while documents are embedded.
    """

    encoder: Encoder
    name: str
    stages: Stages = field(default_factory=Stages)
    progress: Progress = silent
    _corpus: Any = field(default=None, init=False, repr=False)
    _index: Index | None = field(default=None, init=False, repr=False)
    _ids: list[str] = field(default_factory=list, init=False, repr=False)  # of its rows
    _fusion: Fusion | None = field(default=None, init=False, repr=False)
    _remove: Any = field(default=None, init=False, repr=False)

    @property
    def mteb_model_meta(self) -> "ModelMeta":
        """What `mteb` files results under.

        The revision is the fingerprint of the space; with further stages, of all of them.
        """
        choices, space = self.stages.choices, self.encoder.space
        revision = space.fingerprint
        kinds = ["dense"]
        if choices:
            revision = fingerprint({"space": revision, **choices})
            kinds += ["hybrid"] * self.stages.lexical
            kinds += ["cross-encoder"] * (self.stages.reranker is not None)
            choices = {"space": space.fingerprint, **choices}
        return model_meta(
            self.name, revision, space, None, self.encoder, kinds=kinds, choices=choices
        )

    def index(self, corpus: Any, *, task_metadata: Any, **_: Any) -> None:
        """Embed a corpus, unless it is the one that was embedded last.

        Args:
            corpus: a 🤗 dataset with columns id, text and, if there are any, title.
            task_metadata: of the task, whose revision is kept in the index.

        Raises:
            BadRecord: a row holds something else than a text.
        """
        if corpus is self._corpus:
            return
        if not len(corpus):
            raise BadRecord(f"{task_metadata.name}: expected documents, found an empty corpus.")
        if self._remove is not None:
            self._remove()
        folder = Path(tempfile.mkdtemp(prefix="nearfar-mteb-"))
        self._remove = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self._corpus, self._index, self._fusion = None, None, None
        dataset = _as_dataset(corpus, folder / "data", str(task_metadata.revision))
        index = build_index(
            self.encoder, dataset, folder / "index",
            lexical=self.stages.lexical, progress=self.progress,
        )  # fmt: skip
        shutil.rmtree(folder / "data")
        if self.stages.lexical:
            words = open_lexical(index)
            self._fusion = Fusion.by_lexical_weight(words, self.stages.lexical_weight)
        self._corpus, self._index, self._ids = corpus, index, _column(corpus, "id")

    def search(
        self,
        queries: Any,
        *,
        top_k: int,
        top_ranked: Mapping[str, Sequence[str]] | None = None,
        **_: Any,
    ) -> dict[str, Hits]:
        """Return the best documents of each query with their scores.

        Args:
            queries: a 🤗 dataset with columns id and text, and an instruction where there is one.
            top_k: at most so many; with a reranker at most as many as it reads.
            top_ranked: of a reranking task, the only documents that each query may find.

        Returns:
            For each query id the ids of its hits, best first; a score is the reranker's logit, or
            without one the cosine, or with words what fusion makes of both.

        Raises:
            BadRecord: a query holds something else than a text, or a document is not in the corpus.
            ValueError: nothing was indexed.
        """
        if self._index is None:
            raise ValueError("search: nothing is indexed yet; call `index` first.")
        ids, texts = _column(queries, "id"), _asked(queries)
        row_of = {id_: row for row, id_ in enumerate(self._ids)} if top_ranked is not None else {}
        found: dict[str, Hits] = {}
        for start in range(0, len(ids), _QUERIES_AT_ONCE):
            some = slice(start, start + _QUERIES_AT_ONCE)
            if top_ranked is None:
                scored = self._find(self._index, texts[some], top_k)
            else:
                among = [_rows(query, top_ranked.get(query, ()), row_of) for query in ids[some]]
                scored = self._find_among(self._index, texts[some], among, top_k)
            found.update(zip(ids[some], map(self._hits, scored), strict=True))
            self.progress("searching", min(some.stop, len(ids)), len(ids))
        return found

    def _find(self, index: Index, texts: list[str], k: int) -> list[list[Scored]]:
        stages = self.stages
        if stages.reranker is None:  # only ids are wanted: no document is fetched
            vectors = self.encoder.encode(texts, "query")
            found = find_candidates(index.vectors, vectors, texts, k, fusion=self._fusion)
            return [[(one.row, one.score) for one in some] for some in found]
        answers = retrieve_then_rerank(
            index, self.encoder, stages.reranker, texts,
            k=min(k, stages.candidates), candidates=stages.candidates, fusion=self._fusion,
        )  # fmt: skip
        return [[_read(hit) for hit in answer.hits] for answer in answers]

    def _find_among(
        self, index: Index, texts: list[str], among: Sequence[list[int]], k: int
    ) -> list[list[Scored]]:
        """Order what a reranking task names: all of it is read, however many candidates."""
        vectors = self.encoder.encode(texts, "query")
        return [
            self._ordered(index, text, vector, rows)[:k] if rows else []
            for text, vector, rows in zip(texts, vectors, among, strict=True)
        ]

    def _ordered(self, index: Index, text: str, vector: Tensor, rows: list[int]) -> list[Scored]:
        (found,) = find_candidates(
            index.vectors, vector[None], [text], len(rows),
            among=torch.tensor(rows), fusion=self._fusion,
        )  # fmt: skip
        if self.stages.reranker is None:
            return [(one.row, one.score) for one in found]
        stored = index.documents.fetch(rows)
        contents = [stored[one.row].content for one in found]
        logits: list[float] = self.stages.reranker.score(text, contents).tolist()
        read = [(one.row, logit) for one, logit in zip(found, logits, strict=True)]
        return sorted(read, key=lambda pair: -pair[1])  # equals stay as retrieval ordered them

    def _hits(self, scored: Sequence[Scored]) -> Hits:
        scores = strictly_falling([score for _, score in scored])
        return {self._ids[row]: score for (row, _), score in zip(scored, scores, strict=True)}


def strictly_falling(scores: Sequence[float]) -> list[float]:
    """Return scores, best first, as float32 numbers of which each is below the one before.

    trec_eval compares in float32 and breaks ties by id: an equal score is moved by the least step
    that float32 knows, so that the order stays the one that was found.
    """
    fallen: list[float] = []
    highest = np.float32(np.inf)
    for score in scores:
        highest = min(np.float32(score), np.nextafter(highest, np.float32(-np.inf)))
        fallen.append(float(highest))
    return fallen


def _read(hit: RerankedHit) -> Scored:
    assert hit.score is not None, "without a budget every candidate is read"
    return hit.found.row, hit.score


def _rows(query: str, named: Sequence[str], row_of: Mapping[str, int]) -> list[int]:
    if missing := [id_ for id_ in named if id_ not in row_of]:
        raise BadRecord(
            f"Expected the documents of query {query!r} in the corpus, found no {missing[0]!r}. "
            "The task names documents that it does not have."
        )
    return sorted({row_of[id_] for id_ in named})


def _as_dataset(corpus: Any, folder: Path, revision: str) -> Dataset:
    """Write a corpus as the documents of a dataset, which is all that an index is built from."""
    folder.mkdir()
    with pq.ParquetWriter(folder / "documents.parquet", _DOCUMENTS) as writer:
        for columns in _columns(corpus):
            nothing = [""] * len(columns["id"])
            rows = {"id": columns["id"], "content": _titled(columns)}
            writer.write_table(
                pa.table(rows | {"group": nothing, "source": nothing}, schema=_DOCUMENTS)
            )
    return Dataset(folder, {"rows": {"documents": len(corpus)}, "digest": revision})


def _columns(corpus: Any) -> Iterator[Mapping[str, list[Any]]]:
    yield from corpus.iter(batch_size=_ROWS_AT_ONCE)


def _titled(columns: Mapping[str, list[Any]]) -> list[str]:
    """Return the texts of documents, each behind its title where it has one."""
    texts = texts_of(columns)
    titles = columns.get("title") or [""] * len(texts)
    return [
        f"{title} {text}".strip() if title else text
        for title, text in zip(titles, texts, strict=True)
    ]


def _asked(queries: Any) -> list[str]:
    """Return the texts of queries, each before its instruction where it has one."""
    texts = texts_of({name: queries[name] for name in queries.column_names if name == "text"})
    if "instruction" not in queries.column_names:
        return texts
    told = _column(queries, "instruction")
    return [f"{text} {more}" if more else text for text, more in zip(texts, told, strict=True)]


def _column(rows: Any, name: str) -> list[str]:
    return list(rows[name])
