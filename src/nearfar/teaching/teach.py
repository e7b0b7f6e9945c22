"""A dataset in, the same dataset out with the scores of a teacher."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from nearfar.data.dataset import Dataset
from nearfar.data.writer import require_replaceable, write_dataset
from nearfar.errors import BadFile, BadRecord, Stopped
from nearfar.model.encoder import Encoder
from nearfar.model.reranker import Reranker
from nearfar.progress import Progress, silent
from nearfar.teaching.agreement import Agreement, with_people
from nearfar.teaching.contents import Texts, document_vectors
from nearfar.teaching.fusing import require_weights
from nearfar.teaching.grading import probability
from nearfar.teaching.known import read_known
from nearfar.teaching.llm_judge import Comparer, LlmJudge
from nearfar.teaching.naming import facts_of, parents_of, said_by, why_nothing
from nearfar.teaching.questions import Estimate
from nearfar.teaching.regrading import Regrader
from nearfar.teaching.scores import Remembering, open_scores
from nearfar.teaching.scoring import Nearest, Pairs, Said, Scorer
from nearfar.teaching.settings import Teaching

_FEWEST = 10  # pairs judged by people: fewer say nothing about a teacher


@dataclass(frozen=True, slots=True, kw_only=True)
class TeachingSummary:
    """What was scored, and what became of it."""

    queries: int
    pairs: int  # judged ones and new candidates, of the train split
    new_scores: int  # of local rerankers, computed by this run; the others were on disk
    unscored: int  # pairs that a teacher gave no number
    left: int  # train judgments of pairs that dev or test measures: untouched
    documents_kept_back: int  # never offered as candidates: they belong to dev or test
    became: Mapping[str, int]  # how many pairs, by what was made of them
    agreement: Agreement | None  # with people; None: they have judged too few pairs


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """How one teaching is done; of it only the encoder changes what is written."""

    cache: Path | None = None  # scores and vectors for the next time; None: `cache_of` the folder
    encoder: Encoder | None = None  # brings new candidates; None: only judged pairs are scored
    least_agreement: float | None = None  # with people; below it nothing is written
    progress: Progress = silent
    stop: Callable[[], bool] = lambda: False
    replace: bool = False  # take the place of a dataset that stands there


def cache_of(folder: Path) -> Path:
    """Return where the scores for a dataset are kept unless a place is named: beside it."""
    return folder.with_name(f"{folder.name}.scores")


def teach(
    teachers: Reranker | Sequence[Reranker],
    dataset: Dataset,
    folder: Path,
    settings: Teaching | None = None,
    run: Run | None = None,
) -> TeachingSummary:
    """Write the dataset again with a teacher's scores.

    Scored is every judged pair of the train split and, with an encoder, the nearest documents of
    each train query. Every score is on disk before the next block is begun, under the texts and
    all that moves the reranker: a run that was killed goes on, and scores no pair twice.

    A new candidate that is surely no answer (see `grading.verdicts`) is judged 0. One that the
    teacher takes for an answer, and one it is not sure of, is neither: it is set aside, unless the
    settings say otherwise. The same holds for negatives that a machine chose; what people judged
    keeps its grade.

    Never offered: a document judged for this query in any split, or judged an answer to another
    query of the same text; one whose group holds an answer of dev or test, or its text under
    another id. Never scored: a pair whose texts are a query and its answer in another split.

    Memory: ids and some numbers of each text and each pair, and the texts of a block.

    Args:
        teachers: rerankers, a language model as a judge among them; several are fused.
        dataset: stays as it is.
        folder: where the new dataset will stand.
        settings: the defaults of `Teaching` if None.
        run: the encoder, the cache and the like.

    Raises:
        BadFile: the folder exists and is not to be replaced, or the cache is in use.
        BadRecord: there is nothing to score, no pair got a score, or the teacher agrees with
            people less than `run.least_agreement`.
        BadSetting: a setting does not fit the teachers.
        NoAnswer: a language model does not answer; what it answered before is kept.
        Stopped: `run.stop` said so; every score so far is kept.
    """
    settings, run = settings or Teaching(), run or Run()
    chosen = list(teachers) if isinstance(teachers, Sequence) else [teachers]
    require_weights(settings.weights, len(chosen))
    _require_free(folder, dataset, run.replace)
    with _opened(dataset, settings, run, run.cache or cache_of(folder)) as (pairs, documents):
        with ExitStack() as stack:
            remembering = [
                one if isinstance(one, LlmJudge) else Remembering(
                    one,
                    stack.enter_context(
                        open_scores(run.cache or cache_of(folder), one.fingerprint)
                    ),
                    settings.pairs_per_block,
                )
                for one in chosen
            ]  # fmt: skip
            said = Said.nothing(len(pairs.known.query))
            scorer = Scorer(remembering, pairs, documents, said)
            agreement, count, unscored = _score(scorer, run)
        if count == unscored:
            raise BadRecord(
                f"{dataset.folder}: expected scores, found none for {count:,} pairs. "
                f"{why_nothing(chosen)}"
            )
        regrader = Regrader(
            pairs.known, said, settings, facts_of(chosen), said_by(chosen, settings),
            compared=len(chosen) == 1 and isinstance(chosen[0], Comparer),
        )  # fmt: skip
        _write(dataset, folder, settings, run, chosen, regrader)
        free = None if pairs.nearest is None else len(pairs.nearest.free)
        known = pairs.known
        return TeachingSummary(
            queries=len(pairs.rows),
            pairs=count,
            new_scores=sum(one.new for one in remembering if isinstance(one, Remembering)),
            unscored=unscored,
            left=int((known.split == 0).sum() - pairs.free.sum()),
            documents_kept_back=0 if free is None else len(known.document_ids) - free,
            became=dict(regrader.counts),
            agreement=agreement,
        )


def preview(
    teachers: Sequence[Reranker],
    dataset: Dataset,
    folder: Path,
    settings: Teaching,
    run: Run,
) -> tuple[int, int, Estimate]:
    """Return how many queries and pairs would be scored, and what language models would use."""
    found = Estimate()
    count = 0
    with _opened(dataset, settings, run, run.cache or cache_of(folder)) as (pairs, documents):
        scorer = Scorer(teachers, pairs, documents, Said.nothing(len(pairs.known.query)))
        for block in pairs.blocks():
            for one in teachers:
                if isinstance(one, LlmJudge):
                    queries, texts, unique, _ = scorer.texts(block)
                    one.questioner.estimate(one.questions(queries, texts, unique), found)
            count += len(block.place)
            run.progress("count pairs", count, None)
        return len(pairs.rows), count, found


@contextmanager
def _opened(
    dataset: Dataset, settings: Teaching, run: Run, cache: Path
) -> Iterator[tuple[Pairs, Texts]]:
    """Yield what is to be scored, and the texts of the documents."""
    known = read_known(dataset)
    with TemporaryDirectory(prefix="nearfar-teaching-") as name:
        nearest = None
        if run.encoder is not None:
            free = known.free_documents()
            if not len(free):
                raise BadRecord(
                    f"{dataset.folder}: expected documents that neither dev nor test has a claim "
                    "on, found none. Leave the encoder out, or import with smaller shares."
                )
            cache.mkdir(parents=True, exist_ok=True)
            vectors = document_vectors(run.encoder, dataset, known.documents, cache, run.progress)
            nearest = Nearest(run.encoder, vectors, free, settings.depth)
        pairs = Pairs(known, settings, Texts(dataset, "queries", Path(name)), nearest)
        if not pairs.rows:
            raise BadRecord(
                f"{dataset.folder}: expected judgments of the train split to score, found none. "
                "Import data with a train split, or with smaller shares for dev and test."
            )
        yield pairs, Texts(dataset, "documents", Path(name))


def _score(scorer: Scorer, run: Run) -> tuple[Agreement | None, int, int]:
    """Score all pairs; return how far the teacher agrees with people, and counts."""
    pairs = scorer.pairs
    total = int(pairs.free.sum()) if pairs.nearest is None else None
    count = unscored = 0
    tried, agreement = False, None
    for block in pairs.blocks():
        if not tried and not block.trial:
            agreement, tried = _agreement(scorer, run), True
        unscored += scorer.score(block)
        count += len(block.place)
        run.progress("score pairs", count, total)
        if run.stop():
            raise Stopped("Stopped. Every score so far is kept; the same command goes on.")
    return agreement if tried else _agreement(scorer, run), count, unscored


def _agreement(scorer: Scorer, run: Run) -> Agreement | None:
    """Hold the teacher against people on what is scored so far.

    Raises:
        BadRecord: they agree too little.
    """
    known, settings = scorer.pairs.known, scorer.pairs.settings
    places = [place for place in scorer.pairs.people if not np.isnan(scorer.said.score[place])]
    if len(places) < _FEWEST:
        return None
    found = with_people(
        probability(scorer.said.score[places].astype(float)) >= settings.answer_probability,
        known.grade[places] > 0,
    )
    if run.least_agreement is not None and found.number < run.least_agreement:
        raise BadRecord(
            f"{found.sentence()} Expected at least {run.least_agreement:g}. Look at what it says "
            "and at what people said, try another model, or go on all the same with "
            "--allow-disagreement. What was asked so far is kept."
        )
    return found


def _write(
    dataset: Dataset,
    folder: Path,
    settings: Teaching,
    run: Run,
    teachers: Sequence[Reranker],
    regrader: Regrader,
) -> None:
    licence = str(dataset.manifest.get("licence", "unknown"))
    parents = parents_of(dataset, settings, teachers, run.encoder)
    total = dataset.count("judgments")
    with write_dataset(folder, licence=licence, parents=parents, replace=run.replace) as writer:
        for document in dataset.documents():
            writer.add_document(document)
        for query in dataset.queries():
            writer.add_query(query)
        for place, judgment in enumerate(dataset.judgments()):
            writer.add_judgment(regrader.judged(place, judgment))
            if place % 4_096 == 0:
                run.progress("write judgments", place, total)
        for judgment in regrader.candidates():
            writer.add_judgment(judgment)
        run.progress("write judgments", total, total)


def _require_free(folder: Path, dataset: Dataset, replace: bool) -> None:
    """Find out before anything is scored whether the result can stand there."""
    if folder.resolve() == dataset.folder.resolve():
        raise BadFile(
            f"{folder}: this is the dataset that is scored, and it stays as it is. "
            "Name another folder for the new one."
        )
    if folder.exists() and not replace:
        raise BadFile(
            f"{folder} exists already. Name another folder, or add --replace: what was scored is "
            "not scored again."
        )
    if replace:
        require_replaceable(folder)
