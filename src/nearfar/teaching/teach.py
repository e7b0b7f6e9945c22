"""A dataset in, the same dataset out with the scores of a teacher."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nearfar.data.dataset import Dataset
from nearfar.data.writer import require_replaceable, write_dataset
from nearfar.errors import BadFile, BadRecord, Stopped
from nearfar.model.reranker import Reranker
from nearfar.teaching.agreement import Agreement
from nearfar.teaching.fusing import require_weights
from nearfar.teaching.llm_judge import Comparer, LlmJudge
from nearfar.teaching.naming import facts_of, parents_of, said_by, why_nothing
from nearfar.teaching.opening import Run, cache_of, opened, require_keepable
from nearfar.teaching.regrading import Regrader
from nearfar.teaching.scales import Scale, fitted_scale, known_scale
from nearfar.teaching.scores import Remembering, open_scores
from nearfar.teaching.scoring import Said, Scorer, Verdicts
from nearfar.teaching.settings import Teaching
from nearfar.teaching.trial import agreement, try_first

__all__ = ["Run", "TeachingSummary", "cache_of", "teach"]

_MANY = 0.3  # of the negatives: more that are unsure mean that little is left to learn from


@dataclass(frozen=True, slots=True, kw_only=True)
class TeachingSummary:
    """What was scored, and what became of it."""

    queries: int
    pairs: int  # judged ones and new candidates, of the train split
    new_scores: int  # of local rerankers, computed by this run; the others were on disk
    unscored: int  # pairs that a teacher gave no number
    infinite: int  # of these, numbers too large for the reranker's precision
    shortened: int  # documents that a language model was not shown to their end
    kept: int  # judgments with a score of before, which they keep
    left: int  # train judgments of pairs that dev or test measures: untouched
    documents_kept_back: int  # never offered as candidates: they belong to dev or test
    became: Mapping[str, int]  # how many pairs, by what was made of them
    scale: Scale | None  # how scores became probabilities; None: only their order counted
    unsure_share: float | None  # of the scored negatives that a machine chose; None: none scored
    agreement: Agreement | None  # with people; None: they have judged too few pairs

    def worry(self) -> str | None:
        """Say what is amiss, if anything is: most negatives are lost where a teacher is unsure."""
        if self.unsure_share is None or self.unsure_share <= _MANY:
            return None
        return (
            f"The teacher is unsure of {self.unsure_share:.0%} of the negatives that a machine "
            "chose: what it says tells answers from others badly here. Look at some of them "
            "(origin_facts holds the verdict), calibrate the reranker, or set teaching.unsure, "
            "teaching.negative_share."
        )


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
    all that moves the reranker: a run that was killed goes on, and at most the block that was
    under way is scored again.

    A new candidate that is surely no answer (see `grading.verdicts`) is judged 0. One that the
    teacher takes for an answer, and one it is not sure of, is neither: it is set aside, unless the
    settings say otherwise. The same holds for negatives that a machine chose, and for all that a
    teacher graded before, of which nothing is left; what people judged keeps its grade.

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
        BadModel: the calibration is that of another reranker.
        BadRecord: there is nothing to score, no pair got a score, or the teacher surely agrees
            with people less than `run.least_agreement`.
        BadSetting: a setting or a calibration does not fit the teachers.
        NoAnswer: a language model does not answer; what it answered before is kept.
        Stopped: `run.stop` said so; every score so far is kept.
    """
    settings, run = settings or Teaching(), run or Run()
    chosen = list(teachers) if isinstance(teachers, Sequence) else [teachers]
    require_weights(settings.weights, len(chosen))
    require_keepable(chosen, settings, run)
    scale = known_scale(chosen, run.calibration)
    _require_free(folder, dataset, run.replace)
    cache = run.cache or cache_of(folder)
    facts = facts_of(chosen)
    compared = len(chosen) == 1 and isinstance(chosen[0], Comparer)
    with opened(dataset, settings, run, cache) as (pairs, documents):
        known = pairs.known
        with ExitStack() as stack:
            remembering = [
                one if isinstance(one, LlmJudge) else Remembering(
                    one,
                    stack.enter_context(open_scores(cache, one.fingerprint)),
                    settings.pairs_per_block,
                )
                for one in chosen
            ]  # fmt: skip
            scorer = Scorer(remembering, pairs, documents,
                            Said.before(known, settings, str(facts["teacher"])))  # fmt: skip
            agreed, count, unscored = _score(scorer, run, scale)
        if count == unscored:
            raise BadRecord(
                f"{dataset.folder}: expected scores, found none for {count:,} pairs. "
                f"{why_nothing(chosen)}"
            )
        if scale is None and not compared:
            scale = fitted_scale(scorer.said.score, known)
        verdicts = Verdicts(scorer.said, known, scale, settings)
        by = said_by(chosen, settings)
        regrader = Regrader(known, verdicts, settings, facts, by, compared=compared)
        _write(dataset, folder, run, parents_of(dataset, settings, chosen, run, scale),
               regrader)  # fmt: skip
        local = [one for one in remembering if isinstance(one, Remembering)]
        judges = [one for one in remembering if isinstance(one, LlmJudge)]
        free = None if pairs.nearest is None else len(pairs.nearest.free)
        return TeachingSummary(
            queries=len(pairs.rows),
            pairs=count,
            new_scores=sum(one.new for one in local),
            unscored=unscored,
            infinite=sum(one.infinite for one in local),
            shortened=sum(len(one.questioner.shortened) for one in judges),
            kept=int((pairs.train & ~pairs.free).sum()),
            left=int((known.split == 0).sum() - pairs.train.sum()),
            documents_kept_back=0 if free is None else len(known.document_ids) - free,
            became=dict(regrader.counts),
            scale=scale,
            unsure_share=regrader.unsure / regrader.negatives if regrader.negatives else None,
            agreement=agreed,
        )


def _score(scorer: Scorer, run: Run, scale: Scale | None) -> tuple[Agreement | None, int, int]:
    """Score all pairs; return how far the teacher agrees with people, and counts."""
    pairs = scorer.pairs
    least = run.least_agreement
    tried = None if least is None else try_first(scorer, scale, least)
    total = int(pairs.free.sum()) if pairs.nearest is None else None
    count = unscored = 0
    for block in pairs.blocks():
        unscored += scorer.score(block)
        count += len(block.place)
        run.progress("score pairs", count, total)
        if run.stop():
            raise Stopped("Stopped. Every score so far is kept; the same command goes on.")
    return tried or agreement(scorer, scale), count, unscored


def _write(
    dataset: Dataset,
    folder: Path,
    run: Run,
    parents: list[dict[str, Any]],
    regrader: Regrader,
) -> None:
    licence = str(dataset.manifest.get("licence", "unknown"))
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
