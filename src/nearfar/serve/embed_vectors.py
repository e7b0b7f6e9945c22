"""From the texts of a request to their vectors, whatever route they came by.

Shapes: N texts, D numbers of the model's own vectors, d numbers that were asked for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from fastapi import Request

from nearfar.model.microbatches import TOKENS_PER_CHUNK
from nearfar.records import Role
from nearfar.serve.embed_cutting import Side, count_tokens, shortened, tokens_of
from nearfar.serve.embed_roles import find_model, role_of
from nearfar.serve.errors import Refusal
from nearfar.serve.queue_clients import Timing, Work, while_there
from nearfar.serve.queue_waiting import Lane
from nearfar.serve.served import Bounds, Served
from nearfar.vectors.similarity import unit

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a request asks for, in our words; None: it does not say."""

    texts: Sequence[str]
    model: str | None = None
    roles: Mapping[str, str | None] = field(default_factory=dict)  # what its fields say
    dim: tuple[str, int] | None = None  # the field that says it, and how many numbers
    may_cut: bool = True  # False: a text that is too long is refused
    side: Side = "end"
    most_tokens: int | None = None  # of each text, where the model would read more


@dataclass(frozen=True, slots=True)
class Embedded:
    """The vectors of a request, and what they took."""

    model: str
    vectors: Vectors  # (N, d)
    timing: Timing


async def vectors_of(request: Request, asked: Asked) -> Embedded:
    """Compute the vectors of a request.

    Vectors are those of `encoder.encode`; shorter ones are its first numbers, of length 1 again.

    Raises:
        Refusal: what was asked for cannot be served; see its message.
    """
    timing = request.state.timing = Timing()
    return await while_there(request, _vectors_of(request.app.state.work, timing, asked))


async def _vectors_of(work: Work, timing: Timing, asked: Asked) -> Embedded:
    served, by_name = find_model(work.serving.offer, asked.model)
    role = role_of(served, asked.roles, by_name)
    dim = _dim(served, asked.dim)
    require_size(asked.texts, work.bounds.texts_per_request, work.bounds)
    vectors = await queued_vectors(work, timing, served, role, asked)  # (N, D)
    if dim < served.dim:
        vectors = unit(torch.from_numpy(vectors[:, :dim])).numpy()  # (N, d)
    return Embedded(served.name, vectors, timing)


async def queued_vectors(
    work: Work, timing: Timing, served: Served, role: Role, asked: Asked
) -> Vectors:
    """Return the model's own vectors of texts, (N, D), through the queue.

    Raises:
        Refusal: there are too many tokens, the queue is full, or the model failed.
    """
    work.require_room()
    texts, tokens, cut = await read_texts(work, timing, served, role, asked)
    require_tokens(sum(tokens), work.bounds.tokens_per_request)
    timing.cut_texts += cut
    rows = await work.compute(timing, lane_of(served, role, work.bounds), texts, tokens)
    found: Vectors = np.stack(rows)
    return found


def require_size(texts: Sequence[str], most: int, bounds: Bounds) -> None:
    """Refuse too many texts, and any that is too long to be tokenised."""
    if len(texts) > most:
        raise Refusal(
            413, f"Expected at most {most:,} texts, found {len(texts):,}. Send them in several "
            "requests.", code="too_many_texts",
        )  # fmt: skip
    longest = max(map(len, texts), default=0)
    if longest > bounds.characters_per_text:
        raise Refusal(
            413, f"Expected texts of at most {bounds.characters_per_text:,} characters, found one "
            f"of {longest:,}. Divide it.", code="text_too_long",
        )  # fmt: skip


def require_tokens(tokens: int, most: int) -> None:
    """Refuse more tokens than one request may have."""
    if tokens > most:
        raise Refusal(
            413, f"Expected at most {most:,} tokens in one request, found {tokens:,}. Send the "
            "texts in several requests.", code="too_many_tokens",
        )  # fmt: skip


def tokens_per_batch(model: object, bounds: Bounds) -> int:
    """Return how much is computed at once: what suits the device, unless it was said."""
    if bounds.tokens_per_batch is not None:
        return bounds.tokens_per_batch
    device = getattr(getattr(model, "device", None), "type", "cpu")
    return TOKENS_PER_CHUNK.get(device, TOKENS_PER_CHUNK["cpu"])


def _dim(served: Served, asked: tuple[str, int] | None) -> int:
    if asked is None or asked[1] in served.allowed_dims:
        return asked[1] if asked else served.dim
    allowed = ", ".join(map(str, served.allowed_dims))
    raise Refusal(
        400, f"{asked[0]}: {served.name} was trained for vectors of {allowed} numbers; found "
        f"{asked[1]}.", param=asked[0], code="dimensions_not_allowed",
    )  # fmt: skip


async def read_texts(
    work: Work, timing: Timing, served: Served, role: Role, asked: Asked
) -> tuple[list[str], list[int], int]:
    """Return the texts to be read, the tokens of each, and how many of them are cut."""
    tokens = tokens_of(served.encoder)
    counting = partial(count_tokens, tokens, role=role)
    texts = list(asked.texts)
    whole = await work.count(timing, texts, counting)
    most = served.space.max_tokens
    around, room = 0, most
    if asked.most_tokens is not None or asked.side == "start":  # else the model cuts by itself
        around = count_tokens(tokens, [""], role)[0]  # prompt and special tokens
        room = min(max(most - around, 0), most if asked.most_tokens is None else asked.most_tokens)
    long = [place for place, length in enumerate(whole) if length > around + room]
    if long and not asked.may_cut:
        raise Refusal(
            413, f"Expected texts of at most {around + room} tokens, found {len(long)} that are "
            "longer. Shorten them, or allow the server to cut them.", code="text_too_long",
        )  # fmt: skip
    if around and long:
        cutting = partial(shortened, tokens, most=room, side=asked.side)
        short = await work.count(timing, [texts[place] for place in long], cutting)
        for place, text in zip(long, short, strict=True):
            texts[place] = text
    return texts, [min(length, around + room) for length in whole], len(long)


def lane_of(served: Served, role: Role, bounds: Bounds) -> Lane[str, Vectors]:
    """Return how texts in a role become vectors of one model, many at a time."""

    def encode(texts: Sequence[str]) -> Sequence[Any]:
        vectors: Vectors = served.encoder.encode(texts, role).numpy()
        if not np.isfinite(vectors).all():
            raise RuntimeError(f"{served.name} made vectors that hold NaN or infinity.")
        return list(vectors)

    return Lane((id(served.encoder), role), encode, tokens_per_batch(served.encoder, bounds))
