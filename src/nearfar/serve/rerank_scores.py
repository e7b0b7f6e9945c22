"""From a query and documents to their scores and order, whatever route they came by.

Shapes: N documents of a request, P pairs of a batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from fastapi import Request

from nearfar.model.pair_tokens import PairTokens
from nearfar.model.question_texts import QuestionTexts
from nearfar.model.reranker import Reranker
from nearfar.model.tokens import TextToTokens
from nearfar.serve.embed_cutting import count_tokens, shortened, tokens_of
from nearfar.serve.embed_roles import find_reranker
from nearfar.serve.embed_vectors import require_size, require_tokens, tokens_per_batch
from nearfar.serve.errors import Refusal
from nearfar.serve.queue_clients import Timing, Work, while_there
from nearfar.serve.queue_waiting import Lane
from nearfar.serve.served import Bounds, ServedReranker

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedRanks:
    """What a request asks for, in our words; None: it does not say."""

    query: str
    documents: Sequence[str]
    model: str | None = None
    tokens_per_document: int | None = None  # more are not read
    may_cut: bool = True  # False: a pair that is too long is refused
    most: int | None = None  # so many of the best are answered
    logits: bool = False  # instead of probabilities


@dataclass(frozen=True, slots=True)
class Ranks:
    """Documents, best first, by their places in the request."""

    model: str
    places: list[int]
    scores: list[float]  # probabilities, 0 to 1, or logits
    timing: Timing


async def ranks_of(request: Request, asked: AskedRanks) -> Ranks:
    """Score the documents of a request, and order them by the logits; equals as they came.

    A probability is calibrated where that was fitted for the reranker, else the logit's sigmoid.

    Raises:
        Refusal: what was asked for cannot be served; see its message.
    """
    timing = request.state.timing = Timing()
    return await while_there(request, _ranks_of(request.app.state.work, timing, asked))


async def _ranks_of(work: Work, timing: Timing, asked: AskedRanks) -> Ranks:
    served = find_reranker(work.serving.offer, asked.model)
    require_size(asked.documents, work.bounds.documents_per_request, work.bounds)
    require_size([asked.query], 1, work.bounds)
    work.require_room()
    pairs, tokens, cut = await read_pairs(work, timing, served.reranker, asked)
    require_tokens(sum(tokens), work.bounds.pair_tokens_per_request)
    timing.cut_texts = cut
    lane = pair_lane(served.reranker, work.bounds)
    found = await work.compute(timing, lane, pairs, tokens)
    logits = np.array(found, dtype=np.float32)  # (N,)
    places = np.argsort(-logits, kind="stable")[: asked.most]
    scores = logits if asked.logits else _probabilities(served, logits)
    return Ranks(served.name, places.tolist(), [float(scores[i]) for i in places], timing)


def _probabilities(
    served: ServedReranker, logits: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    said = torch.from_numpy(logits)
    if served.calibration is not None:
        said = served.calibration.probability(said)
    else:
        said = torch.sigmoid(said.double()).float()
    found: npt.NDArray[np.float32] = said.numpy()
    return found


async def read_pairs(
    work: Work, timing: Timing, reranker: Reranker, asked: AskedRanks
) -> tuple[list[Pair], list[int], int]:
    """Return the pairs to be read, the tokens of each, and how many of them are cut."""
    tokens = tokens_of(reranker)
    most: int | None = getattr(reranker, "max_tokens", None)
    documents = list(asked.documents)
    lengths = await work.count(timing, documents, partial(count_tokens, tokens, role="document"))
    allowed = asked.tokens_per_document
    if allowed is not None and (most is None or allowed < most):
        long = [place for place, length in enumerate(lengths) if length > allowed]
        cutting = partial(shortened, tokens, most=allowed)
        short = await work.count(timing, [documents[place] for place in long], cutting)
        for place, text in zip(long, short, strict=True):
            documents[place], lengths[place] = text, allowed
    asking = partial(count_tokens, tokens, role="query")
    around = (await work.count(timing, [asked.query], asking))[0] + _special(tokens)
    whole = [around + length for length in lengths]
    cut = 0 if most is None else sum(length > most for length in whole)
    if cut and not asked.may_cut:
        raise Refusal(
            413, f"Expected pairs of at most {most} tokens, found {cut} that are longer. Shorten "
            "them, or allow the server to cut them.", code="text_too_long",
        )  # fmt: skip
    read = whole if most is None else [min(length, most) for length in whole]
    return [(asked.query, document) for document in documents], read, cut


def _special(tokens: TextToTokens | None) -> int:
    """Return how many tokens stand around the two texts of a pair."""
    if isinstance(tokens, PairTokens):
        return tokens.template.special
    return len(tokens.prompt.whole("", "")) if isinstance(tokens, QuestionTexts) else 0


def pair_lane(reranker: Reranker, bounds: Bounds) -> Lane[Pair, float]:
    """Return how pairs become logits of one reranker, many at a time."""

    def score(pairs: Sequence[Pair]) -> list[float]:
        queries = {query: place for place, query in enumerate(dict.fromkeys(q for q, _ in pairs))}
        documents = {text: place for place, text in enumerate(dict.fromkeys(d for _, d in pairs))}
        places = torch.tensor([[queries[query], documents[text]] for query, text in pairs])  # (P,2)
        logits = reranker.score_pairs(list(queries), list(documents), places)
        if not logits.isfinite().all():
            raise RuntimeError("the reranker said scores that are NaN or infinite.")
        found: list[float] = logits.tolist()
        return found

    return Lane((id(reranker), "pairs"), score, tokens_per_batch(reranker, bounds))
