"""TextEncoder: any transformer encoder of the field as an Encoder."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from nearfar.errors import BadModel, BadSetting
from nearfar.memory import give_back_memory
from nearfar.model.layout import Layout, read_layout, write_layout
from nearfar.model.locate import locate
from nearfar.model.microbatches import TOKENS_PER_CHUNK, micro_batches, pad
from nearfar.model.network import Dense, TextNetwork
from nearfar.model.pooling import POOLINGS
from nearfar.model.precision import Precision, choose_device, choose_precision
from nearfar.model.rounded import Rounded, looking
from nearfar.model.space import EmbeddingSpace
from nearfar.model.tokens import TextToTokens
from nearfar.model.transformer import places, quiet, read_transformer
from nearfar.model.weights import weights_state
from nearfar.progress import Progress, silent
from nearfar.records import Role

_TEXTS_PER_TOKENISATION = 2_048
_TOKENS_UNLESS_SAID = 512  # of a model that knows no end


@dataclass(frozen=True, slots=True, kw_only=True)
class TextSettings:
    """How a text encoder is loaded; None keeps what the model's folder says."""

    revision: str | None = None  # of a model on the hub
    sha256: str | None = None  # what the weight file must be
    pooling: tuple[str, ...] | None = None
    normalised: bool | None = None
    query_prompt: str | None = None
    document_prompt: str | None = None
    max_tokens: int | None = None
    precision: Precision = "auto"
    device: str = "auto"


@dataclass(slots=True)
class TextEncoder:
    """A transformer, its tokenizer and every choice that goes with them."""

    network: TextNetwork
    tokens: TextToTokens
    precision: torch.dtype
    _space: tuple[tuple[Any, ...], EmbeddingSpace] | None = field(default=None, repr=False)
    _rounded: Rounded = field(default_factory=Rounded, repr=False, compare=False)

    @classmethod
    def load(cls, name: str | Path, settings: TextSettings | None = None) -> "TextEncoder":
        """Load a sentence-transformers folder or a plain checkpoint.

        Args:
            name: a folder, `package:NAME`, or the id of a model on the hub.
            settings: what shall differ from what the folder says.

        Raises:
            BadModel: nothing loadable is there; the message names the folder and what it lacks.
            BadSetting: a setting does not fit the model.
        """
        settings = settings or TextSettings()
        folder = locate(str(name), revision=settings.revision, sha256=settings.sha256)
        layout = _choose(read_layout(folder), settings)
        device = choose_device(settings.device)
        transformer, tokenizer = read_transformer(layout.transformer)
        dense = [Dense.read(path) for path in layout.dense]
        network = TextNetwork(transformer, layout.pooling, dense, layout.normalised)
        _require_whole(network, folder)
        tokens = TextToTokens(
            tokenizer,
            layout.query_prompt,
            layout.document_prompt,
            _max_tokens(layout, transformer, tokenizer),
        )
        precision = choose_precision(settings.precision, device)
        encoder = cls(network.to(device), tokens, precision)
        encoder.freeze()
        return encoder

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.network.parameters()).device

    @property
    def space(self) -> EmbeddingSpace:
        """The space its vectors live in; it changes when, and only when, something moves them."""
        weights = weights_state(self.network)
        if weights is None:  # they may learn: hashed each time
            return self._describe()
        state = (self.tokens, self.network.pooling, self.network.normalised, weights)
        if self._space is None or self._space[0] != state:
            self._space = (state, self._describe())
        return self._space[1]

    def thaw(self) -> None:
        """Let the weights learn; until they are frozen again their space is hashed each time."""
        self.network.requires_grad_(True)
        self._space, self._rounded = None, Rounded()

    def freeze(self) -> None:
        """Let the weights be: from now on they have one space."""
        self.network.eval().requires_grad_(False)
        self._space, self._rounded = None, Rounded()

    def encode(
        self, contents: Sequence[str], role: Role, *, progress: Progress = silent
    ) -> Float[Tensor, "N D"]:
        """Return one float32 vector per content, in the order given, on the CPU.

        Texts are sorted by length and computed in chunks of like length; neither their order
        nor their company moves a vector by more than rounding.
        """
        vectors = torch.empty(len(contents), self.network.dim)
        done = 0
        with looking(self.network, self.precision, self._rounded) as network:
            for start, rows in self._tokenised(contents, role):
                for chunk in self._chunks(rows):
                    ids, real = pad(
                        [rows[row] for row in chunk], self.tokens.pad_id, self.tokens.max_tokens
                    )
                    found = network(ids.to(self.device), real.to(self.device))
                    vectors[torch.from_numpy(chunk) + start] = found.cpu()
                    done += len(chunk)
                    progress(f"encoding {role} texts", done, len(contents))
                if len(rows) == _TEXTS_PER_TOKENISATION:  # it takes longer than a few texts do
                    give_back_memory()  # chunks of all sizes leave gaps that add up
        return vectors

    def save(self, folder: Path) -> None:
        """Fill an empty folder so that `SentenceTransformer(folder)` gives the same vectors."""
        dense = self.network.layers
        names = [Path(f"{place}_Dense") for place in range(2, 2 + len(dense))]
        with quiet():
            self.network.transformer.save_pretrained(folder)
            tokenizer = self.tokens.tokenizer
            tokenizer.model_max_length = self.tokens.max_tokens
            tokenizer.save_pretrained(folder)
        for layer, path in zip(dense, names, strict=True):
            layer.write(folder / path)
        layout = Layout(
            transformer=folder,
            pooling=self.network.pooling,
            dense=tuple(names),
            normalised=self.network.normalised,
            query_prompt=self.tokens.query_prompt,
            document_prompt=self.tokens.document_prompt,
            max_tokens=self.tokens.max_tokens,
        )
        write_layout(folder, layout, int(self.network.transformer.config.hidden_size))

    def _tokenised(
        self, contents: Sequence[str], role: Role
    ) -> Iterator[tuple[int, list[list[int]]]]:
        # Pieces large enough to sort well, small enough that ids never fill the memory.
        for start in range(0, len(contents), _TEXTS_PER_TOKENISATION):
            piece = contents[start : start + _TEXTS_PER_TOKENISATION]
            yield start, self.tokens(piece, role).rows

    def _chunks(self, rows: Sequence[Sequence[int]]) -> Iterator[Any]:
        budget = TOKENS_PER_CHUNK.get(self.device.type, TOKENS_PER_CHUNK["cpu"])
        return micro_batches([len(row) for row in rows], budget)

    def _describe(self) -> EmbeddingSpace:
        return EmbeddingSpace(
            weights=self.network.weights_sha256(),
            architecture=self.network.architecture(),
            tokenizer=self.tokens.digest(),
            query_prompt=self.tokens.query_prompt,
            document_prompt=self.tokens.document_prompt,
            max_tokens=self.tokens.max_tokens,
            pooling="+".join(self.network.pooling),
            normalised=self.network.normalised,
            dim=self.network.dim,
        )


def _choose(layout: Layout, settings: TextSettings) -> Layout:
    names = ("pooling", "normalised", "query_prompt", "document_prompt", "max_tokens")
    chosen = {name: getattr(settings, name) for name in names}
    layout = replace(layout, **{name: value for name, value in chosen.items() if value is not None})
    pooling = layout.pooling
    if isinstance(pooling, str) or not pooling or not set(pooling) <= set(POOLINGS):
        raise BadSetting(
            f"model.pooling must be a list of {', '.join(POOLINGS)}, got {settings.pooling!r}."
        )
    return layout


def _require_whole(network: TextNetwork, folder: Path) -> None:
    width = int(network.transformer.config.hidden_size) * len(network.pooling)
    for layer in network.layers:
        if layer.linear.in_features != width:
            raise BadModel(
                f"{folder}: a Dense layer expects {layer.linear.in_features} numbers, but gets "
                f"{width} from what stands before it (pooling {'+'.join(network.pooling)})."
            )
        width = layer.linear.out_features
    for name, weight in network.named_parameters():
        if not weight.isfinite().all():
            raise BadModel(
                f"{folder}: the weights {name} hold NaN or infinity, and so would every vector. "
                "The training behind them went wrong, or the file is damaged; take another."
            )


def _max_tokens(
    layout: Layout, transformer: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> int:
    most = places(transformer)
    asked = layout.max_tokens
    if asked is None:
        asked = min(int(tokenizer.model_max_length), most or _TOKENS_UNLESS_SAID)
    if most is not None and asked > most:
        raise BadSetting(f"model.max_tokens must be at most {most} for this model, got {asked}.")
    smallest = tokenizer.num_special_tokens_to_add() + 1
    if asked < smallest:
        raise BadSetting(f"model.max_tokens must be at least {smallest}, got {asked}.")
    return asked
