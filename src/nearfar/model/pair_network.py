"""The trainable part of a cross-encoder: the tokens of pairs in, one number a pair out.

Shapes: B pairs, L tokens of the longest.
"""

import inspect

import torch
import torch.nn.functional as F  # noqa: N812  # as all the world calls it
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from nearfar.model.network import TextNetwork


class PairNetwork(nn.Module):
    """A transformer with a head for one label, or for two: no and yes."""

    dim = 1  # numbers that come out for each pair

    def __init__(self, transformer: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
        super().__init__()
        self.transformer = transformer
        for layer in _last_layers(transformer):
            compute_in_float32(layer)
        kinds = getattr(transformer.config, "type_vocab_size", 2)
        self.reads_types = (
            "token_type_ids" in tokenizer.model_input_names
            and "token_type_ids" in inspect.signature(transformer.forward).parameters
            and kinds != 1  # of one type there is nothing to read
        )

    @property
    def head(self) -> tuple[str, ...]:
        """The names of the modules that make a number of what the encoder says."""
        model = self.transformer
        own = [
            name
            for name, module in model.named_children()
            if name != model.base_model_prefix and any(True for _ in module.parameters())
        ]
        pools = any(name.endswith(".pooler") for name, _ in model.named_modules())
        return (*own, "pooler") if pools else tuple(own)

    def architecture(self) -> str:
        """Return the fingerprint of what moves a score even if the weights stay the same."""
        return TextNetwork(self.transformer, pooling=()).architecture()

    def forward(
        self, ids: Int[Tensor, "B L"], real: Bool[Tensor, "B L"], types: Int[Tensor, "B L"]
    ) -> Float[Tensor, " B"]:
        """Return one float32 logit per pair; of two labels, that of yes less that of no."""
        more = {"token_type_ids": types} if self.reads_types else {}
        # Some models refuse a mask of booleans.
        found = self.transformer(input_ids=ids, attention_mask=real.long(), **more)
        logits: Tensor = found.logits.float()  # (B, labels)
        return logits[:, 0] if logits.shape[1] == 1 else logits[:, 1] - logits[:, 0]


class Float32Linear(nn.Linear):
    """A layer computed in float32, whatever autocast asks of the others.

    In bfloat16 logits between 8 and 16 are sixteenths: documents of near scores would tie.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return x W^T + b."""
        with torch.autocast(input.device.type, enabled=False):
            return F.linear(input.float(), self.weight, self.bias)


def compute_in_float32(layer: nn.Module) -> None:
    """Let a linear layer compute in float32; it keeps its weights, and whoever shares them."""
    if type(layer) is nn.Linear:
        layer.__class__ = Float32Linear


def _last_layers(transformer: PreTrainedModel) -> list[nn.Linear]:
    """Return the layers of the head that say the logits."""
    encoder = set(transformer.base_model.modules())
    return [
        layer
        for layer in transformer.modules()
        if isinstance(layer, nn.Linear)
        and layer not in encoder
        and layer.out_features == transformer.config.num_labels
    ]
