"""Our encoders and rerankers as models of `mteb`: the same vectors and scores, the same prompts.

`mteb` is an extra (`pip install 'nearfar[mteb]'`), and is loaded when a model is asked what it is.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nearfar.errors import BadModel, BadRecord, BadSetting
from nearfar.model.encoder import Encoder
from nearfar.model.reranker import Reranker
from nearfar.model.rerankers import RerankerSettings, load_reranker
from nearfar.model.space import EmbeddingSpace
from nearfar.model.text import TextEncoder, TextSettings
from nearfar.progress import Progress, silent
from nearfar.records import Role
from nearfar.vectors.similarity import cosine, unit

if TYPE_CHECKING:
    from mteb.models import ModelMeta

Batch = Mapping[str, Any]  # of a loader of mteb: columns by name
Array = npt.NDArray[np.float32]

_PAIRS_AT_ONCE = 8_192  # read together by a reranker, which sorts them by length


def require_mteb() -> None:
    """Make sure that `mteb` can be imported.

    Raises:
        BadSetting: it is not installed.
    """
    try:
        import mteb  # noqa: F401
    except ImportError as error:
        raise BadSetting(
            f"This needs the library mteb, which cannot be imported ({error}). "
            "Install it with `pip install 'nearfar[mteb]'`."
        ) from error


def texts_of(columns: Batch) -> list[str]:
    """Return the column `text` of some rows of `mteb`.

    Raises:
        BadRecord: there is none, or it holds something else than texts.
    """
    if "text" not in columns:
        found = f"the columns {', '.join(sorted(columns)) or 'of nothing'}"
    else:
        texts = list(columns["text"])
        strange = [type(text).__name__ for text in texts if not isinstance(text, str)]
        if not strange:
            return texts
        found = f"a {strange[0]}"
    raise BadRecord(
        f"Expected rows with a text, found {found}. Images, sounds and conversations cannot be "
        "encoded; choose tasks whose modality is text."
    )


def contents_of(batch: Batch) -> list[str]:
    """Return the texts that a model reads, from a batch of a loader of `mteb`.

    A document with a title is read as `mteb` joins it. One without is read as it stands in the
    corpus: `mteb` strips it, and a tokenizer that heeds spaces would see another text than a
    search of ours does.

    Raises:
        BadRecord: the batch holds something else than texts.
    """
    texts = texts_of(batch)
    bodies, titles = batch.get("body", texts), batch.get("title") or [""] * len(texts)
    rows = zip(texts, bodies, titles, strict=True)
    return [text if title else body for text, body, title in rows]


@dataclass(frozen=True)
class NearfarEncoder:
    """An encoder of ours as an `EncoderProtocol`; queries and documents get their own prompts.

    Args:
        encoder: what makes the vectors.
        name: organisation/model, as results are filed.
        symmetric_role: whose prompt a text gets in a task that has neither queries nor documents,
            such as STS or clustering.
        progress: told while texts are encoded.
    """

    encoder: Encoder
    name: str
    symmetric_role: Role = "query"
    progress: Progress = silent

    @classmethod
    def load(
        cls, model_name: str, revision: str | None = None, *, device: str | None = None, **_: Any
    ) -> "NearfarEncoder":
        """Load a model by its folder, `package:NAME` or hub id, as the command line of `mteb` does.

        Raises:
            BadModel: nothing loadable is there, or its space is not the one of `revision`.
        """
        encoder = TextEncoder.load(model_name, TextSettings(device=device or "auto"))
        _require_revision(model_name, revision, encoder.space.fingerprint)
        return cls(encoder, name_of(model_name))

    @property
    def mteb_model_meta(self) -> "ModelMeta":
        """What `mteb` files results under: the revision is the fingerprint of the space."""
        space = self.encoder.space
        return model_meta(self.name, space.fingerprint, space, self.load, self.encoder)

    def encode(
        self, inputs: Iterable[Batch], *, prompt_type: Any = None, **_: Any
    ) -> npt.NDArray[np.float32]:
        """Return one float32 vector per text, in the order given.

        Args:
            inputs: a loader of batches with key `text`.
            prompt_type: query, document, or None where a task has no such sides.

        Raises:
            BadRecord: a batch holds something else than texts.
        """
        contents = [text for batch in inputs for text in contents_of(batch)]
        role = self.symmetric_role if prompt_type is None else _role(prompt_type)
        vectors: Array = self.encoder.encode(contents, role, progress=self.progress).numpy()
        return vectors

    def similarity(self, embeddings1: Any, embeddings2: Any) -> Tensor:
        """Return the cosine of each of the first vectors with each of the second, float32."""
        return cosine(_rows(embeddings1), _rows(embeddings2))

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> Tensor:
        """Return the cosine of each of the first vectors with the second of the same row."""
        return (unit(_rows(embeddings1)) * unit(_rows(embeddings2))).sum(1)


@dataclass(frozen=True)
class NearfarCrossEncoder:
    """A reranker of ours as a `CrossEncoderProtocol`."""

    reranker: Reranker
    name: str  # organisation/model, as results are filed
    progress: Progress = silent

    @classmethod
    def load(
        cls, model_name: str, revision: str | None = None, device: str | None = None, **_: Any
    ) -> "NearfarCrossEncoder":
        """Load a reranker by its folder, `package:NAME` or hub id.

        Raises:
            BadModel: nothing loadable is there, or its fingerprint is not `revision`.
        """
        reranker = load_reranker(model_name, RerankerSettings(device=device or "auto"))
        _require_revision(model_name, revision, reranker.fingerprint)
        return cls(reranker, name_of(model_name))

    @property
    def mteb_model_meta(self) -> "ModelMeta":
        """What `mteb` files results under: the revision is the fingerprint of the reranker."""
        return model_meta(
            self.name, self.reranker.fingerprint, None, self.load, self.reranker,
            kinds=["cross-encoder"],
        )  # fmt: skip

    def predict(
        self, inputs1: Iterable[Batch], inputs2: Iterable[Batch], **_: Any
    ) -> npt.NDArray[np.float32]:
        """Return one logit per pair: the higher, the better the document answers the query.

        Args:
            inputs1: a loader of queries, batches with key `text`.
            inputs2: a loader of as many documents.

        Raises:
            BadRecord: a batch holds something else than texts.
            ValueError: one loader holds more texts than the other.
        """
        pairs = zip(_texts(inputs1), _texts(inputs2), strict=True)
        found: list[Tensor] = []
        while some := list(islice(pairs, _PAIRS_AT_ONCE)):
            found.append(self._scores(some))
        scores: Array = torch.cat(found).float().numpy() if found else np.empty(0, np.float32)
        return scores

    def _scores(self, pairs: Sequence[tuple[str, str]]) -> Tensor:
        queries, documents = (
            {text: place for place, text in enumerate(dict.fromkeys(side))}
            for side in zip(*pairs, strict=True)
        )  # each text is read into tokens once
        places = torch.tensor([(queries[query], documents[text]) for query, text in pairs])
        return self.reranker.score_pairs(
            list(queries), list(documents), places, progress=self.progress
        )


def name_of(model: str) -> str:
    """Return organisation/model: a hub id as it is, anything else under `nearfar/`."""
    path = Path(model)
    if not path.exists() and not model.startswith("package:") and model.count("/") == 1:
        return model
    return f"nearfar/{path.resolve().name if path.exists() else model.removeprefix('package:')}"


def model_meta(
    name: str,
    revision: str,
    space: EmbeddingSpace | None,
    loader: Any,
    model: object,
    *,
    kinds: Sequence[Any] = ("dense",),
    choices: Mapping[str, Any] | None = None,
) -> "ModelMeta":
    """Return what `mteb` wants to know of a model; what nobody told us stays unsaid.

    Args:
        name: organisation/model.
        revision: the fingerprint of everything that moves a result.
        space: where its vectors live; None of a model without vectors.
        loader: called by `mteb` with name and revision; None: it cannot be loaded by these alone.
        model: whose weights are counted, if it has a network.
        kinds: as `mteb` calls them.
        choices: further ones, written into model_meta.json.

    Raises:
        BadSetting: `mteb` is not installed, or the name has no organisation.
    """
    require_mteb()
    from mteb.models import ModelMeta
    from mteb.models.model_meta import ScoringFunction

    if name.count("/") != 1 or not all(name.split("/")):
        raise BadSetting(
            f"name: expected organisation/model, found {name!r}. `mteb` files results by it."
        )
    network = getattr(model, "network", None)
    return ModelMeta(
        loader=loader,
        loader_kwargs=dict(choices or {}),
        name=name,
        revision=revision,
        release_date=None,
        languages=None,
        n_parameters=None if network is None else sum(w.numel() for w in network.parameters()),
        memory_usage_mb=None,
        max_tokens=getattr(space or model, "max_tokens", None),
        embed_dim=space.dim if space else None,
        license=None,
        open_weights=None,
        public_training_code=None,
        public_training_data=None,
        framework=["PyTorch"],
        similarity_fn_name=ScoringFunction.COSINE if space else None,
        use_instructions=bool(space and (space.query_prompt or space.document_prompt)),
        training_datasets=None,
        model_type=list(kinds),
    )


def _role(prompt_type: Any) -> Role:
    value = str(getattr(prompt_type, "value", prompt_type))
    if value not in ("query", "document"):
        raise BadSetting(f"prompt_type: expected query or document, found {value!r}.")
    return "query" if value == "query" else "document"


def _texts(loader: Iterable[Batch]) -> Iterator[str]:
    return chain.from_iterable(contents_of(batch) for batch in loader)


def _rows(vectors: Any) -> Tensor:
    rows = torch.as_tensor(vectors)
    return rows if rows.dim() > 1 else rows[None]


def _require_revision(model: str, wanted: str | None, found: str) -> None:
    if wanted is not None and wanted != found:
        raise BadModel(
            f"{model}: expected revision {wanted}, found {found}, which is the fingerprint of all "
            "that moves its results. Name the model it was measured with, or no revision."
        )
