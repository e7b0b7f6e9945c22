"""What a server serves: encoders and rerankers by name, swapped whole while requests run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from nearfar.errors import BadModel, BadSetting, require
from nearfar.model.calibration import Calibration
from nearfar.model.encoder import Encoder
from nearfar.model.reranker import Reranker
from nearfar.model.space import EmbeddingSpace
from nearfar.records import Role

_NO_NAMES: Mapping[str, Role] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """An encoder, and what its card says of how it may be asked."""

    name: str  # as answers and /v1/models say it
    encoder: Encoder
    dims: tuple[int, ...] = ()  # shorter vectors that it was trained for (Matryoshka)
    # Names of prompts on its card, beyond those that clients know (`embed_roles.NAMES`).
    prompt_names: Mapping[str, Role] = field(default_factory=lambda: _NO_NAMES)
    role: Role = "document"  # of texts whose client does not say what they are
    space: EmbeddingSpace = field(init=False)  # of its vectors; asked for once, it may take long

    def __post_init__(self) -> None:
        _require_name(self.name)
        object.__setattr__(self, "space", self.encoder.space)
        own = self.space.dim
        fits = all(0 < dim <= own for dim in self.dims)
        require(fits, f"dims of {self.name!r}", f"1 to {own}, as the model has", self.dims)

    @property
    def dim(self) -> int:
        """How many numbers its vectors have, unless fewer are asked for."""
        return self.space.dim

    @property
    def allowed_dims(self) -> tuple[int, ...]:
        """Every length that can be asked for, the shortest first."""
        return tuple(sorted({*self.dims, self.dim}))

    @property
    def divides_roles(self) -> bool:
        """Whether a query and a document of the same words have different vectors."""
        return self.space.query_prompt != self.space.document_prompt


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedReranker:
    """A reranker, and how its logits become probabilities, where that was fitted."""

    name: str
    reranker: Reranker
    calibration: Calibration | None = None  # None: the logit's own sigmoid

    def __post_init__(self) -> None:
        _require_name(self.name)
        fitted = self.calibration.reranker if self.calibration else self.reranker.fingerprint
        if fitted != self.reranker.fingerprint:
            raise BadModel(
                f"{self.name}: expected the calibration of reranker {self.reranker.fingerprint}, "
                f"found that of {fitted}. Fit it for this model."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """All that is served at one moment. A request keeps the offer it began with."""

    models: Mapping[str, Served]  # several names may stand for one model
    rerankers: Mapping[str, ServedReranker] = field(default_factory=dict)
    model: str | None = None  # asked for by who names none
    reranker: str | None = None

    def __post_init__(self) -> None:
        for kind, name, known in (
            ("model", self.model, self.models),
            ("reranker", self.reranker, self.rerankers),
        ):
            if name is not None and name not in known:
                names = ", ".join(sorted(known)) or "none"
                raise BadSetting(f"the default {kind} must be one of {names}, got {name!r}.")

    @classmethod
    def of(cls, models: Sequence[Served] = (), rerankers: Sequence[ServedReranker] = ()) -> "Offer":
        """Offer each under its own name; the first of each kind is the default.

        Raises:
            BadSetting: two of one kind have one name.
        """
        named = {model.name: model for model in models}
        reading = {reranker.name: reranker for reranker in rerankers}
        for kind, given, kept in (("models", models, named), ("rerankers", rerankers, reading)):
            require(len(given) == len(kept), f"names of {kind}", "all different", sorted(kept))
        return cls(
            models=named, rerankers=reading,
            model=next(iter(named), None), reranker=next(iter(reading), None),
        )  # fmt: skip


class Serving:
    """What is served now. `swap` replaces all of it at once; no request sees half of each."""

    def __init__(self, offer: Offer) -> None:
        self._offer = offer

    @property
    def offer(self) -> Offer:
        """What requests that begin now are served from."""
        return self._offer

    def swap(self, offer: Offer) -> Offer:
        """Serve another offer from now on; return the one before, which requests may still use."""
        before, self._offer = self._offer, offer  # one assignment: threads see either
        return before


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much is taken in: of one request, and of all together."""

    texts_per_request: int = 2_048  # as OpenAI
    tokens_per_request: int = 300_000  # as OpenAI
    documents_per_request: int = 10_000  # to rerank; as Cohere
    pair_tokens_per_request: int = 1_000_000  # of all pairs of a query and a document
    characters_per_text: int = 200_000  # a text is tokenised whole before it is cut
    waiting_tokens: int = 600_000  # of all requests; more are refused until some are done
    tokens_per_batch: int | None = None  # padding included; None: what suits the device

    def __post_init__(self) -> None:
        for name in ("texts_per_request", "tokens_per_request", "documents_per_request",
                     "pair_tokens_per_request", "characters_per_text",
                     "waiting_tokens"):  # fmt: skip
            require(getattr(self, name) > 0, f"bounds.{name}", "above 0", getattr(self, name))
        batch = self.tokens_per_batch
        require(batch is None or batch > 0, "bounds.tokens_per_batch", "above 0", batch)


def _require_name(name: str) -> None:
    fits = bool(name) and name.isprintable() and len(name) <= 200
    require(fits, "the name of a model", "1 to 200 printable characters", name)
