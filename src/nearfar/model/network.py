"""The trainable part of a text encoder: token ids in, one float32 vector per text out.

Shapes: B texts, L tokens of the longest, H numbers per token, D dimensions of a vector.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from nearfar.errors import BadModel
from nearfar.model.pooling import POOLINGS
from nearfar.vectors.similarity import unit

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    f"{kind.__module__}.{kind.__qualname__}": kind
    for kind in (nn.Identity, nn.Tanh, nn.ReLU, nn.GELU, nn.SiLU, nn.Sigmoid)
}


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
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        name = config.get("activation_function", "torch.nn.modules.activation.Tanh")
        if name not in _ACTIVATIONS or config.get("use_residual"):
            raise BadModel(
                f"{folder / 'config.json'}: expected a plain layer with one of "
                f"{', '.join(_ACTIVATIONS)}, found {name}."
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
    def dim(self) -> int:
        """How many numbers a vector has."""
        if len(self.dense):
            last = self.dense[-1]
            assert isinstance(last, Dense)
            return last.linear.out_features
        return int(self.transformer.config.hidden_size) * len(self.pooling)

    def forward(self, ids: Int[Tensor, "B L"], real: Bool[Tensor, "B L"]) -> Float[Tensor, "B D"]:
        """Return one float32 vector per text."""
        # Some models refuse a mask of booleans.
        tokens = self.transformer(input_ids=ids, attention_mask=real.long()).last_hidden_state
        # Pooling and what follows in float32, whatever the tokens were computed in.
        with torch.autocast(ids.device.type, enabled=False):
            vectors = torch.cat([POOLINGS[kind](tokens, real) for kind in self.pooling], dim=-1)
            vectors = self.dense(vectors)
            return unit(vectors) if self.normalised else vectors
