"""Hard negatives: documents that a model takes for the answer, and that are none.

Shapes: Q queries, C documents, D dimensions, K places.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from nearfar.data.copying import copy_records
from nearfar.data.dataset import Dataset
from nearfar.data.texts_by_row import Texts
from nearfar.data.writer import write_dataset
from nearfar.errors import BadFile, BadRecord, BadSetting
from nearfar.fingerprint import content_id
from nearfar.mining.asking import Asked, Guide, Teacher
from nearfar.mining.audit import Auditor, require_hard
from nearfar.mining.finders import Approximate, Exact, Finder, Lexical, fused
from nearfar.mining.judges import Judges
from nearfar.mining.known import Known, read_known
from nearfar.mining.refusing import Case, open_case
from nearfar.mining.sampling import sampled
from nearfar.mining.settings import Mining
from nearfar.mining.summary import MiningSummary
from nearfar.mining.trust import Trust, trust_in
from nearfar.model.encoder import Encoder
from nearfar.model.kept_vectors import document_vectors, make_cache
from nearfar.model.precision import choose_device
from nearfar.progress import Progress, silent
from nearfar.records import Judgment, Origin, Query, Scalar
from nearfar.vectors.similarity import unit

_QUERIES_PER_CHUNK = 1_024


def mine_negatives(
    encoder: Encoder,
    dataset: Dataset,
    folder: Path,
    settings: Mining | None = None,
    *,
    judges: Judges | None = None,
    cache: Path | None = None,
    progress: Progress = silent,
    replace: bool = False,
) -> MiningSummary:
    """Write the dataset again with judgments of grade 0 for the queries of its train split.

    Of the candidates that the finders bring, the nearest first, those are taken that

        score <= answer - relative_margin * |answer|

    where `score` is the encoder's cosine and `answer` that of its lowest-scoring answer: a
    negative judgment holds beside every answer of the query, so it must lie below all of them.
    Written so, the margin also points downwards where a score is below 0. By default it is kept
    where the miner is more often right than wrong (`trust_in`).

    Never taken: a document judged for this query in any split, or judged an answer to another
    query of the same text; the text of such an answer, or of the query, under another id; a
    near-duplicate of an answer; a document whose group holds an answer of dev or test; what a
    guide or a teacher takes for an answer. Queries of dev and test get no negatives. The same
    input and seed, the same output.

    Memory: ids, some numbers a negative, and a chunk of vectors; those of all documents lie on
    disk. The finder bm25 holds the words of all documents while its index is built.

    Args:
        encoder: the model whose mistakes are wanted.
        dataset: stays as it is.
        folder: where the new dataset will stand.
        settings: how negatives are chosen; the defaults of `Mining` if None.
        judges: better models to ask.
        cache: a folder that keeps vectors for the next time; None: nothing is kept.
        progress: told while documents are embedded and queries mined.
        replace: take the place of a dataset that stands there.

    Raises:
        BadFile: the folder exists and `replace` is False, or is that of the dataset itself.
        BadRecord: the dataset has no query to mine for, or what was found is no harder than
            documents drawn by chance.
        BadSetting: a setting asks for a teacher, or for a library, that is not there.

    Source: de Souza P. Moreira et al. 2024, arXiv:2407.15831, "TopK-PercPos". There the share
        is of the one answer of a pair; here of the lowest of all answers, and safe for signs.
    """
    settings, judges = settings or Mining(), judges or Judges()
    _require_another_folder(folder, dataset)
    if settings.rank_by == "teacher" and judges.teacher is None:
        raise BadSetting("mining.rank_by is teacher, but no teacher was named. Name one.")
    known = read_known(dataset)
    if not known.mined_for:
        raise BadRecord(
            f"{dataset.folder}: expected queries of the train split with an answer, found none. "
            "Import data with a train split, or with smaller shares for dev and test."
        )
    if not len(known.minable):
        raise BadRecord(
            f"{dataset.folder}: expected documents that neither dev nor test has a claim on, found "
            "none. Import the source with smaller shares for dev and test."
        )
    licence = str(dataset.manifest.get("licence", "unknown"))
    with _room(cache) as place:
        miner = _open_miner(encoder, dataset, known, settings, judges, place, progress)
        parents = [_parent(dataset, encoder, settings, judges, miner.trust)]
        with write_dataset(folder, licence=licence, parents=parents, replace=replace) as writer:
            copy_records(dataset, writer)
            done = 0
            for chunk in _query_chunks(dataset, known.mined_for):
                for judgment in miner.mine(chunk):
                    writer.add_judgment(judgment)
                done += len(chunk)
                progress("mine negatives", done, len(known.mined_for))
            audit = miner.auditor.audit()
            if not settings.allow_random:
                require_hard(audit)
    return MiningSummary(
        queries=done,
        queries_with_none=miner.queries_with_none,
        negatives=audit.negatives,
        documents_kept_back=len(known.ids) - len(known.minable),
        refused=dict(miner.refused),
        trust=miner.trust,
        audit=audit,
        recall=miner.recall,
    )


@contextmanager
def _room(cache: Path | None) -> Iterator[Path]:
    """Yield the folder to work in: the cache, which stays, or one that goes."""
    if cache is not None:
        yield make_cache(cache)
        return
    with TemporaryDirectory(prefix="nearfar-mining-") as name:
        yield Path(name)


def _open_miner(
    encoder: Encoder,
    dataset: Dataset,
    known: Known,
    settings: Mining,
    judges: Judges,
    place: Path,
    progress: Progress,
) -> "_Miner":
    vectors = document_vectors(encoder, dataset, known.documents, place, progress)
    trust = trust_in(encoder, dataset, known, vectors, settings)
    finders: list[Finder] = []
    if "encoder" in settings.finders:
        if settings.search == "exact":
            finders.append(Exact(vectors, known.minable, choose_device()))
        else:
            finders.append(Approximate(vectors, known.minable))
    if "bm25" in settings.finders:
        finders.append(Lexical(dataset, known.minable))
    guide = teacher = None
    if judges.guide is not None:
        theirs = document_vectors(judges.guide, dataset, known.documents, place, progress)
        guide = Guide(judges.guide, theirs, settings.guide_margin)
    if judges.teacher is not None:
        texts = Texts(dataset, "documents", place, named=known.documents)
        teacher = Teacher(judges.teacher, texts, settings, progress)
    return _Miner(encoder, known, settings, trust, vectors, finders, guide, teacher)


@dataclass
class _Miner:
    """Goes through the queries, and counts."""

    encoder: Encoder
    known: Known
    settings: Mining
    trust: Trust
    vectors: Float[Tensor, "C D"]
    finders: Sequence[Finder]
    guide: Guide | None
    teacher: Teacher | None
    queries_with_none: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    auditor: Auditor = field(default_factory=Auditor)

    @property
    def recall(self) -> float | None:
        """Return that of the approximate search, if there is one."""
        return next((one.recall for one in self.finders if isinstance(one, Approximate)), None)

    def mine(self, queries: Sequence[Query]) -> Iterator[Judgment]:
        """Yield the negatives of some queries, in their order, the hardest first."""
        contents = [query.content for query in queries]
        asked = unit(self.encoder.encode(contents, "query"))
        found = [finder.find(contents, asked, self.settings.depth) for finder in self.finders]
        rows = fused(found, self.settings.depth).tolist()  # (Q, K)
        cases = [
            open_case(query, vector, some, self.vectors, self.known, self.settings, self.trust)
            for query, vector, some in zip(queries, asked, rows, strict=True)
        ]
        for case, vector, chosen in zip(cases, asked, self._chosen(cases), strict=True):
            self.queries_with_none += not chosen
            self.auditor.see_chance(self._by_chance(case, vector))
            for one in chosen:
                self.auditor.see_negative(one.candidate.score, case.answer_score, one.probability)
                yield self._judgment(case, one)

    def _chosen(self, cases: Sequence[Case]) -> list[list[Asked]]:
        """Return the negatives of each case."""
        settings = self.settings
        streams = [case.safe(self.refused) for case in cases]
        if self.guide is not None:
            streams = self.guide.safe(cases, streams, self.refused)
        first = settings.sampling == "top" and settings.rank_by == "miner"
        enough = settings.negatives_per_query if first else None  # else all must be known
        if self.teacher is not None:
            safe = self.teacher.safe(cases, streams, self.refused, enough)
        else:
            safe = [[Asked(one) for one in islice(stream, enough)] for stream in streams]
        if settings.rank_by == "teacher":
            safe = [sorted(some, key=lambda one: -(one.probability or 0)) for some in safe]
        return [
            sampled(some, settings, self._dice(case))
            for case, some in zip(cases, safe, strict=True)
        ]

    def _judgment(self, case: Case, one: Asked) -> Judgment:
        candidate, space = one.candidate, self.encoder.space.fingerprint
        facts: dict[str, Scalar] = {
            "miner": "+".join(self.settings.finders),
            "space": space,
            "rank": candidate.rank,
            "score": round(candidate.score, 6),
            "answer_score": round(case.answer_score, 6),
            "reason": f"{self.settings.sampling} of those below {case.ceiling:.4f}",
        }
        if one.probability is not None:
            facts["teacher_probability"] = round(one.probability, 6)
        return Judgment(
            query_id=case.query.id,
            document_id=self.known.ids[candidate.row],
            grade=0.0,
            origin=Origin(
                kind="mined",
                source=f"{case.query.id} rank {candidate.rank}",
                by=f"nearfar {facts['miner']} top-{self.settings.depth}, space {space}",
                facts=facts,
            ),
            split="train",
        )

    def _by_chance(self, case: Case, vector: Float[Tensor, " D"]) -> float:
        row = self._dice(case).integers(len(self.vectors))
        return float(self.vectors[row] @ vector)

    def _dice(self, case: Case) -> np.random.Generator:
        # Of the query's own id: what is drawn for it depends on no other query.
        return np.random.default_rng([self.settings.seed, int(content_id(case.query.id)[:16], 16)])


def _parent(
    dataset: Dataset, encoder: Encoder, settings: Mining, judges: Judges, trust: Trust
) -> dict[str, Any]:
    return {
        "kind": "dataset",
        "path": str(dataset.folder),
        "digest": dataset.digest,
        "mined_with": {
            "space": encoder.space.fingerprint,
            **judges.fingerprints,
            **asdict(settings),
            "relative_margin": trust.margin,
            "answers_first": trust.answers_first,
        },
    }


def _query_chunks(dataset: Dataset, ids: AbstractSet[str]) -> Iterator[list[Query]]:
    wanted = (query for query in dataset.queries() if query.id in ids)
    while chunk := list(islice(wanted, _QUERIES_PER_CHUNK)):
        yield chunk


def _require_another_folder(folder: Path, dataset: Dataset) -> None:
    if folder.resolve() == dataset.folder.resolve():
        raise BadFile(
            f"{folder}: this is the dataset that is mined, and it stays as it is. "
            "Name another folder for the new one."
        )
