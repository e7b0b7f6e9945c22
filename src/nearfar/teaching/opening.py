"""A dataset opened for teaching: what is to be scored, and how much of it there is."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from nearfar.data.dataset import Dataset
from nearfar.data.texts_by_row import Texts
from nearfar.errors import BadRecord, BadSetting
from nearfar.model.calibration import Calibration
from nearfar.model.encoder import Encoder
from nearfar.model.kept_vectors import document_vectors, make_cache
from nearfar.model.reranker import Reranker
from nearfar.progress import Progress, silent
from nearfar.teaching.estimating import Estimate, Estimator
from nearfar.teaching.known import read_known
from nearfar.teaching.llm_judge import Comparer, LlmJudge
from nearfar.teaching.pairs import Block, Nearest, Pairs
from nearfar.teaching.scoring import Said, Scorer
from nearfar.teaching.settings import Teaching


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """How one teaching is done; of it encoder and calibration alone change a judgment."""

    cache: Path | None = None  # scores and vectors for the next time; None: `cache_of` the folder
    encoder: Encoder | None = None  # brings new candidates; None: only judged pairs are scored
    calibration: Calibration | None = None  # of the only teacher; None: see `scales.fitted_scale`
    # What people call the rerankers, by fingerprint, for the manifest; see `naming.called`.
    names: Mapping[str, str] = field(default_factory=dict)
    least_agreement: float | None = None  # with people; surely below it nothing more is scored
    progress: Progress = silent
    stop: Callable[[], bool] = lambda: False
    replace: bool = False  # take the place of a dataset that stands there


def cache_of(folder: Path) -> Path:
    """Return where the scores for a dataset are kept unless a place is named: beside it."""
    return folder.with_name(f"{folder.name}.scores")


def preview(
    judge: LlmJudge | None,
    dataset: Dataset,
    folder: Path,
    settings: Teaching,
    run: Run,
) -> tuple[int, int, Estimate]:
    """Return how many queries and pairs would be scored, and what a language model would use.

    Args:
        judge: the language model, if one is among the teachers.
        dataset: as for `teach`, and so are the others.
        folder: where the result would stand.
        settings: which pairs.
        run: the encoder and the like.
    """
    teachers = [] if judge is None else [judge]
    require_keepable(teachers, settings, run)
    estimator = None if judge is None else Estimator(judge.questioner)
    count = 0
    with opened(dataset, settings, run, run.cache or cache_of(folder)) as (pairs, documents):
        scorer = Scorer(teachers, pairs, documents, Said.before(pairs.known, settings, ""))

        def ask(block: Block) -> None:
            if judge is not None and estimator is not None:
                queries, texts, unique, _ = scorer.texts(block)
                estimator.add(judge.questions(queries, texts, unique))

        if run.least_agreement is not None and (trial := pairs.trial()) is not None:
            ask(trial)
        for block in pairs.blocks():
            ask(block)
            count += len(block.place)
            run.progress("count pairs", count, None)
        found = Estimate() if estimator is None else estimator.settle()
        return len(pairs.rows), count, found


def require_keepable(teachers: Sequence[Reranker], settings: Teaching, run: Run) -> None:
    """Raise BadSetting where scores of before cannot stand beside those of this teaching."""
    if settings.scores != "keep":
        return
    if run.encoder is not None:
        raise BadSetting(
            "teaching.scores must be replace with an encoder, got 'keep': its new candidates are "
            "held against the scores of this teacher, and answers with a score would have none."
        )
    if any(isinstance(one, Comparer) for one in teachers):
        raise BadSetting(
            "teaching.scores must be replace where documents are compared, got 'keep': a strength "
            "holds among the documents that met, and those with a score would not meet the others."
        )


@contextmanager
def opened(
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
            vectors = document_vectors(
                run.encoder, dataset, known.documents, make_cache(cache), run.progress
            )
            nearest = Nearest(run.encoder, vectors, free, settings.depth)
        pairs = Pairs(known, settings, Texts(dataset, "queries", Path(name)), nearest)
        if not pairs.rows:
            raise BadRecord(
                f"{dataset.folder}: expected judgments of the train split to score, found none. "
                + (
                    "All have a score, and teaching.scores=keep keeps it; replace scores anew."
                    if pairs.train.any()
                    else "Import data with a train split, or with smaller shares for dev and test."
                )
            )
        yield pairs, Texts(dataset, "documents", Path(name))
