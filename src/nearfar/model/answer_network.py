"""The trainable part of a yes/no reranker: the tokens of questions in, one number a question out.

Shapes: B questions, L tokens of the longest, V words.
"""

import inspect
from typing import Any

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel

from nearfar.model.network import TextNetwork
from nearfar.model.pair_network import compute_in_float32


class AnswerNetwork(nn.Module):
    """A causal language model, of whose next word two are looked at: yes and no."""

    dim = 1  # numbers that come out for each question
    head: tuple[str, ...] = ()  # nothing is new: the layer that says words is trained already

    def __init__(self, transformer: PreTrainedModel, word_ids: tuple[int, int]) -> None:
        super().__init__()
        self.transformer = transformer
        self.word_ids = word_ids
        compute_in_float32(transformer.get_output_embeddings())  # type: ignore[no-untyped-call]
        # Asked for now: adapters around it would hide what it takes.
        self._takes = frozenset(inspect.signature(transformer.forward).parameters)

    def architecture(self) -> str:
        """Return the fingerprint of what moves a score even if the weights stay the same."""
        return TextNetwork(self.transformer, pooling=()).architecture()  # it has no pooling

    def forward(self, ids: Int[Tensor, "B L"], real: Bool[Tensor, "B L"]) -> Float[Tensor, " B"]:
        """Return logit(yes) - logit(no) of the word after each question, in float32.

        Padding stands on the left, so that all questions end at one place and the words of no
        other need to be computed; positions are counted from a question's own beginning.
        """
        mask = real.long()
        given: dict[str, Any] = {
            "input_ids": ids,
            "attention_mask": mask,
            "position_ids": (mask.cumsum(1) - 1).clamp(min=0),
            "logits_to_keep": 1,
            "use_cache": False,
        }
        found = self.transformer(**{k: v for k, v in given.items() if k in self._takes})
        logits = found.logits[:, -1].float()  # (B, V)
        yes, no = self.word_ids
        result: Tensor = logits[:, yes] - logits[:, no]
        return result
