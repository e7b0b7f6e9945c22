"""A retriever and the reranker behind it, judged as one system: what it is, and what it got.

A reranker alone finds nothing: what it is worth depends on who brings the candidates, and on how
many it reads. So a verdict on a reranker is one on both stages, and names both.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from nearfar.errors import BadFile
from nearfar.evaluation.evaluate import Evidence, scores_of
from nearfar.evaluation.metrics import metric, per_query
from nearfar.evaluation.reranked import Floats
from nearfar.evaluation.scores import HITS, Scores
from nearfar.evaluation.scoring import RETRIEVAL
from nearfar.fingerprint import fingerprint
from nearfar.model.space import EmbeddingSpace

_RERANKER = "reranker"  # the key that tells two stages from the space of one


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages:
    """All that the rankings of two stages depend on, beside the data."""

    encoder: EmbeddingSpace  # whose vectors find the candidates
    reranker: str  # fingerprint
    candidates: int  # of each query, that the reranker reads
    words_too: bool = False  # whether BM25 helps to find them
    lexical_weight: float | None = None  # how much it counts, 0 to 1; None: fused by ranks

    def to_json(self) -> dict[str, Any]:
        """Return every choice by name, with the fingerprint of the pair in front.

        It stands where scores and verdicts have the space of an encoder, and is never equal to
        one: nobody takes what both stages got for what the encoder alone would get.
        """
        facts = asdict(self) | {"encoder": self.encoder.to_json()}
        return {"fingerprint": fingerprint(facts), **facts}


def stages_of(space: Mapping[str, Any] | None, *, where: str) -> Stages | None:
    """Return the two stages that scores or a verdict are of; None if it is one.

    Args:
        space: what they say of the system, as `Scores.space` or `Side.space` holds it.
        where: they stand, for a message.

    Raises:
        BadFile: choices are missing or unknown, or the fingerprint is not theirs.
    """
    if space is None or _RERANKER not in space:
        return None
    try:
        facts = {name: value for name, value in space.items() if name != "fingerprint"}
        encoder = EmbeddingSpace.from_json(dict(facts.pop("encoder")), where=where)
        found = Stages(encoder=encoder, **facts)
        named = found.to_json()["fingerprint"]
    except (TypeError, ValueError, KeyError) as error:
        raise BadFile(
            f"{where}: expected an encoder and the reranker behind it, each choice by its name "
            f"({error}). Measure them again with `nearfar evaluate --rerank`."
        ) from error
    if named != space.get("fingerprint"):
        raise BadFile(
            f"{where}: the two stages say they are {space.get('fingerprint')}, but their choices "
            f"make {named}. The file was changed by hand; measure them again with `nearfar "
            "evaluate --rerank`."
        )
    return found


def reranked_scores(evidence: Evidence, system: str) -> Scores:
    """Return what both stages got for each query: what the gate reads.

    Rankings are as deep as those of retrieval alone. Metrics that look deeper than the candidates
    go are left out: to whoever reads 50 documents recall@100 means nothing.

    Args:
        evidence: of both stages, with the most candidates that were asked for.
        system: what people call them.
    """
    stages, reranking = evidence.stages, evidence.report.reranking
    assert stages is not None, "nothing was reranked"
    assert reranking is not None, "nothing was reranked"
    alone = scores_of(evidence, evidence.last, system)
    assert alone.space is not None, "an encoder has a space"
    both = Stages(
        encoder=EmbeddingSpace.from_json(dict(alone.space), where=system),
        reranker=reranking.reranker,
        candidates=max(reranking.asked),
        words_too=reranking.words_too,
        lexical_weight=reranking.lexical_weight,
    )
    depth = int(evidence.report.settings["depth"])
    rankings = {id_: ids[:depth] for id_, ids in stages.reranked(both.candidates).items()}
    metrics = list(_measurable(both.candidates, min(depth, alone.documents)))
    found = per_query(rankings, evidence.task.judged, metrics)
    seconds: Floats = (
        stages.retrieval_seconds + stages.fetching_seconds[:, -1] + stages.reranking_seconds[:, -1]
    )
    return replace(
        alone,
        space=both.to_json(),
        negatives="",  # margins are between vectors
        values={name: np.array([found[id_][name] for id_ in alone.queries]) for name in metrics},
        hits=tuple(tuple(rankings[id_][:HITS]) for id_ in alone.queries),
        costs={"median_seconds": float(np.median(seconds)),
               "p95_seconds": float(np.quantile(seconds, 0.95))},
    )  # fmt: skip


def _measurable(candidates: int, depth: int) -> Iterator[str]:
    for name in RETRIEVAL:
        k = metric(name).k
        if candidates >= (depth if k is None else min(k, depth)):
            yield name
