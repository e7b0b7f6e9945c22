"""The trainable part of a text encoder: token ids in, one float32 vector per text out.

Shapes: B texts, L tokens of the longest, H numbers per token, D dimensions of a vector.
"""

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from nearfar.errors import BadModel, said
from nearfar.fingerprint import fingerprint
from nearfar.model.pooling import POOLINGS
from nearfar.model.weights import weights_sha256
from nearfar.vectors.similarity import unit

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    f"{kind.__module__}.{kind.__qualname__}": kind
    for kind in (nn.Identity, nn.Tanh, nn.ReLU, nn.GELU, nn.SiLU, nn.Sigmoid)
}
# What of a configuration moves no vector; all else is of the space, so that no choice of a
# family that is yet to come can be forgotten. Dropout and names starting with _ do not either.
_STILL = frozenset({
    "transformers_version", "architectures", "dtype", "torch_dtype", "auto_map", "use_cache",
    "initializer_range", "initializer_factor", "initializer_cutoff_factor", "problem_type",
    "gradient_checkpointing", "chunk_size_feed_forward", "deterministic_flash_attn",
    "tie_word_embeddings", "return_dict", "output_attentions", "output_hidden_states",
    "id2label", "label2id", "bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id",
})  # fmt: skip


class Dense(nn.Module):
    """A further layer after the pooling: y = activation(W x + b)."""

    def __init__(self, linear: nn.Linear, activation: nn.Module) -> None:
        super().__init__()
        self.linear = linear
        self.activation = activation

    def forward(self, vectors: Float[Tensor, "B H"]) -> Float[Tensor, "B D"]:
        """Return the vectors after this layer."""
        result: Tensor = self.activation(self.linear(vectors))
        return result

    @classmethod
    def read(cls, folder: Path) -> "Dense":
        """Read a Dense folder of the sentence-transformers layout.

        Raises:
            BadModel: it uses an activation or a residual that nearfar does not know.
        """
        try:
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            return cls._read(folder, config)
        except BadModel:
            raise
        except Exception as error:  # a damaged file can raise anything
            raise BadModel(
                f"{folder}: expected a Dense layer with config.json and its weights. "
                f"The loader said: {said(error)}"
            ) from error

    @classmethod
    def _read(cls, folder: Path, config: dict[str, Any]) -> "Dense":
        name = config.get("activation_function", "torch.nn.modules.activation.Tanh")
        of = config.get("module_input_name", "sentence_embedding")
        if name not in _ACTIVATIONS or config.get("use_residual") or of != "sentence_embedding":
            raise BadModel(
                f"{folder / 'config.json'}: expected a layer of the pooled vector, without "
                f"residual, with one of {', '.join(_ACTIVATIONS)}; found {config}."
            )
        linear = nn.Linear(config["in_features"], config["out_features"], config.get("bias", True))
        dense = cls(linear, _ACTIVATIONS[name]())
        if (folder / "model.safetensors").is_file():
            dense.load_state_dict(load_file(folder / "model.safetensors"))
        else:
            dense.load_state_dict(torch.load(folder / "pytorch_model.bin", weights_only=True))
        return dense

    def write(self, folder: Path) -> None:
        """Write this layer as a Dense folder."""
        folder.mkdir()
        kind = type(self.activation)
        config = {
            "in_features": self.linear.in_features,
            "out_features": self.linear.out_features,
            "bias": self.linear.bias is not None,
            "activation_function": f"{kind.__module__}.{kind.__qualname__}",
        }
        (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        save_file(self.state_dict(), folder / "model.safetensors")


class TextNetwork(nn.Module):
    """A transformer, a pooling, and what follows."""

    def __init__(
        self,
        transformer: PreTrainedModel,
        pooling: Sequence[str],
        dense: Sequence[Dense] = (),
        normalised: bool = True,
    ) -> None:
        super().__init__()
        self.transformer = transformer
        self.pooling = tuple(pooling)
        self.dense = nn.Sequential(*dense)
        self.normalised = normalised

    @property
    def layers(self) -> list[Dense]:
        """The layers after the pooling."""
        return [layer for layer in self.dense if isinstance(layer, Dense)]

    @property
    def dim(self) -> int:
        """How many numbers a vector has."""
        if self.layers:
            return self.layers[-1].linear.out_features
        return int(self.transformer.config.hidden_size) * len(self.pooling)

    def weights_sha256(self) -> str:
        """Return the SHA-256 of all weights that can move a vector."""
        # Its own pooler is not used, and is random where the checkpoint has none.
        return weights_sha256(self, unless=".pooler.")

    def architecture(self) -> str:
        """Return the fingerprint of what moves a vector even if the weights stay the same.

        Only what differs from the defaults of its family counts: a choice that a later version
        of the library adds, at its default, gives no new name.
        """
        config = self.transformer.config
        defaults: dict[str, Any] = {}
        with suppress(Exception):  # some families have none
            defaults = type(config)().to_dict()
        choices = {
            name: value
            for name, value in config.to_dict().items()
            if (name not in defaults or defaults[name] != value)
            and not (name in _STILL or name.startswith("_") or "dropout" in name)
        }
        layers = [repr(layer) for layer in self.layers]
        return fingerprint({"family": config.model_type, "choices": choices, "dense": layers})

    def forward(
        self, ids: Int[Tensor, "B L"], real: Bool[Tensor, "B L"], layers: Sequence[int] = ()
    ) -> Float[Tensor, "B D"]:
        """Return one float32 vector per text.

        With `layers`, those after these layers of the transformer (0: the embeddings) stand
        to the right of it, so that a vector has D * (1 + len(layers)) numbers.
        """
        # Some models refuse a mask of booleans.
        found = self.transformer(
            input_ids=ids, attention_mask=real.long(), output_hidden_states=bool(layers) or None
        )
        tokens = [found.last_hidden_state, *(found.hidden_states[layer] for layer in layers)]
        # Pooling and what follows in float32, whatever the tokens were computed in.
        with torch.autocast(ids.device.type, enabled=False):
            return torch.cat([self._vector(one, real) for one in tokens], dim=-1)

    def _vector(self, tokens: Tensor, real: Tensor) -> Tensor:
        vectors = torch.cat([POOLINGS[kind](tokens, real) for kind in self.pooling], dim=-1)
        vectors = self.dense(vectors)
        return unit(vectors) if self.normalised else vectors
