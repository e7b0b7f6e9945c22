"""A cross-encoder: a transformer that reads a query and a document together, and says one number.

Each text is tokenised once, however many pairs it stands in, and pairs of like length are
computed together, whichever queries they are of.

Shapes: N documents, P pairs, b pairs of a chunk.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel

from nearfar.errors import BadModel, BadSetting
from nearfar.fingerprint import fingerprint
from nearfar.model.cross_layout import (
    CrossLayout,
    forget_layout,
    read_cross_layout,
    write_cross_layout,
)
from nearfar.model.locate import locate
from nearfar.model.microbatches import TOKENS_PER_CHUNK, micro_batches, pad
from nearfar.model.new_head import read_with_any_head, read_with_head, read_with_new_head
from nearfar.model.pair_network import PairNetwork
from nearfar.model.pair_tokens import Ids, PairTokens, Row
from nearfar.model.precision import Precision, choose_device, choose_precision
from nearfar.model.reranker import pairs_of_one
from nearfar.model.rounded import Rounded, looking
from nearfar.model.scoring import Pairs, Scored, score_in_blocks
from nearfar.model.transformer import places, quiet
from nearfar.model.weights import weights_sha256, weights_state
from nearfar.progress import Progress, silent
from nearfar.records import Role

_TEXTS_PER_TOKENISATION = 1_024
_TOKENS_UNLESS_SAID = 512  # of a model that knows no end


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossSettings:
    """What may differ from what the folder says; None leaves it."""

    max_tokens: int | None = None  # of query and document together; longer ones are cut
    precision: Precision = "auto"
    device: str = "auto"
    revision: str | None = None
    sha256: str | None = None  # what the weight file must be
    # Whether to draw a head for an encoder that has none, to be trained; None: where it has none.
    new_head: bool | None = False
    seed: int = 0  # of the new head


@dataclass(slots=True)
class CrossEncoder:
    """Any checkpoint for sequence classification with one label, or with two: no and yes.

    Its score is the logit, whatever activation sentence-transformers puts around it: of two
    labels, that of yes less that of no.
    """

    network: PairNetwork
    tokens: PairTokens
    precision: torch.dtype
    activation: str  # what sentence-transformers is told to put around the logit
    drawn: bool = False  # whether its head was new when it was loaded
    _named: tuple[tuple[Any, ...], str] | None = field(default=None, repr=False)
    _rounded: Rounded = field(default_factory=Rounded, repr=False, compare=False)

    @classmethod
    def load(cls, name: str | Path, settings: CrossSettings | None = None) -> "CrossEncoder":
        """Load a reranker, or an encoder that shall become one (`new_head`).

        Args:
            name: a folder, `package:NAME`, or the id of a model on the hub.
            settings: what shall differ from what the folder says.

        Raises:
            BadModel: nothing loadable is there, it says more than one number of a pair, or it
                has no trained head and no new one was asked for.
            BadSetting: a setting does not fit the model.
        """
        settings = settings or CrossSettings()
        folder = locate(str(name), revision=settings.revision, sha256=settings.sha256)
        device = choose_device(settings.device)
        layout = read_cross_layout(folder)
        drawn = bool(settings.new_head)
        if settings.new_head is None:
            transformer, tokenizer, drawn = read_with_any_head(
                layout.transformer, seed=settings.seed
            )
        elif settings.new_head:
            transformer, tokenizer = read_with_new_head(layout.transformer, seed=settings.seed)
        else:
            transformer, tokenizer = read_with_head(layout.transformer)
        forget_layout(transformer)
        _require_numbers(transformer, folder)
        if tokenizer.pad_token_id is None:
            raise BadModel(
                f"{folder}: expected a tokenizer with a padding token, found none. Set pad_token "
                "in its tokenizer_config.json to one that no text holds."
            )
        transformer.config.pad_token_id = tokenizer.pad_token_id  # decoders find a text's end by it
        most = places(transformer)
        said = layout.max_tokens or min(
            int(tokenizer.model_max_length), most or _TOKENS_UNLESS_SAID
        )
        asked = said if settings.max_tokens is None else settings.max_tokens
        tokens = PairTokens(tokenizer, asked, query_prompt=layout.query_prompt)
        smallest = tokens.template.special + 2
        if asked < smallest or (most is not None and asked > most):
            raise BadSetting(
                f"max_tokens of a reranker must be {smallest} to {most or 'any'} for {folder}, "
                f"got {asked}."
            )
        precision = choose_precision(settings.precision, device)
        network = PairNetwork(transformer, tokenizer).to(device)
        encoder = cls(network, tokens, precision, layout.activation, drawn)
        encoder.freeze()
        return encoder

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.network.parameters()).device

    @property
    def fingerprint(self) -> str:
        """Names everything that moves a score; it changes when, and only when, something does."""
        weights = weights_state(self.network)
        state = (self.tokens, weights)
        if self._named is None or weights is None or self._named[0] != state:
            self._named = (state, self._name())
        return self._named[1]

    @property
    def max_tokens(self) -> int:
        """How many tokens of a query and a document together are read."""
        return self.tokens.max_tokens

    def thaw(self) -> None:
        """Let the weights learn; until they are frozen again they are hashed for each name."""
        self.network.requires_grad_(True)
        self._named, self._rounded = None, Rounded()

    def freeze(self) -> None:
        """Let the weights be: from now on the model has one name."""
        self.network.eval().requires_grad_(False)
        self._named, self._rounded = None, Rounded()

    def score(self, query: str, documents: Sequence[str]) -> Float[Tensor, " N"]:
        """Return one logit per document, in the order given: the higher, the better the answer."""
        return self.score_pairs([query], documents, pairs_of_one(len(documents)))

    def score_pairs(
        self,
        queries: Sequence[str],
        documents: Sequence[str],
        pairs: Int[Tensor, "P 2"],
        *,
        progress: Progress = silent,
    ) -> Float[Tensor, " P"]:
        """Return one logit per pair (place of a query, place of a document), on the CPU."""
        with looking(self.network, self.precision, self._rounded) as network:

            def block(some: Pairs) -> Scored:
                return self._block(network, queries, documents, some)

            return score_in_blocks(documents, pairs, block, progress)

    def forward_rows(self, rows: Sequence[Row]) -> Float[Tensor, " b"]:
        """Return one float32 logit per joined pair, on the device, with its graph.

        Precision and mode are the caller's: neither autocast nor eval() is called here.
        """
        return self._logits(self.network, rows)

    def _logits(self, network: nn.Module, rows: Sequence[Row]) -> Float[Tensor, " b"]:
        most = self.tokens.max_tokens
        ids, real = pad([ids for ids, _ in rows], self.tokens.pad_id, most)
        types, _ = pad([types for _, types in rows], 0, most)
        device = self.device
        result: Tensor = network(ids.to(device), real.to(device), types.to(device))
        return result

    def save(self, folder: Path) -> None:
        """Fill an empty folder so that `sentence_transformers.CrossEncoder(folder)` scores alike.

        Its `predict` puts the activation around the logit that the model's folder named when it
        was loaded, and none where it named none: then its scores are ours.
        """
        with quiet():
            self.network.transformer.save_pretrained(folder)
            tokenizer = self.tokens.tokenizer
            tokenizer.model_max_length = self.tokens.max_tokens
            tokenizer.save_pretrained(folder)
        layout = CrossLayout(folder, self.activation, self.tokens.query_prompt)
        write_cross_layout(folder, layout)

    def _block(
        self, network: nn.Module, queries: Sequence[str], documents: Sequence[str], pairs: Pairs
    ) -> Scored:
        """Yield the logits of some pairs; each is joined only when its turn has come."""
        asked, query_of = self._tokenised(queries, pairs[:, 0], "query")
        told, document_of = self._tokenised(documents, pairs[:, 1], "document")
        lengths = self.tokens.lengths(_lengths(asked)[query_of], _lengths(told)[document_of])
        budget = TOKENS_PER_CHUNK.get(self.device.type, TOKENS_PER_CHUNK["cpu"])
        for chunk in micro_batches(lengths, budget):
            halves = zip(query_of[chunk], document_of[chunk], strict=True)
            rows = [self.tokens.join(asked[q], told[d]) for q, d in halves]
            yield chunk, self._logits(network, rows).cpu()

    def _tokenised(
        self, texts: Sequence[str], wanted: Pairs, role: Role
    ) -> tuple[list[Ids], Pairs]:
        """Return the ids of each wanted text once, and which of them each wish is."""
        places, which = np.unique(wanted, return_inverse=True)
        rows: list[Ids] = []
        for start in range(0, len(places), _TEXTS_PER_TOKENISATION):
            some = [texts[i] for i in places[start : start + _TEXTS_PER_TOKENISATION]]
            rows += [np.asarray(row, dtype=np.int32) for row in self.tokens(some, role).rows]
        return rows, which

    def _name(self) -> str:
        return fingerprint({
            "weights": weights_sha256(self.network),
            "architecture": self.network.architecture(),
            "tokenizer": self.tokens.digest(),
            "prompts": [self.tokens.query_prompt, self.tokens.document_prompt],
            "max_tokens": self.tokens.max_tokens,
        })  # fmt: skip


def _lengths(rows: Sequence[Ids]) -> Pairs:
    return np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))


def _require_numbers(transformer: PreTrainedModel, folder: Path) -> None:
    for name, weight in transformer.named_parameters():
        if not weight.isfinite().all():
            raise BadModel(
                f"{folder}: the weights {name} hold NaN or infinity, and so would every score. "
                "The training behind them went wrong, or the file is damaged; take another."
            )
