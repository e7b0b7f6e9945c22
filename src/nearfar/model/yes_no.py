"""A language model as a reranker: asked whether a document answers a query, yes or no.

Shapes: N documents, P pairs, b prompts of a chunk, L tokens of the longest, V words.
"""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel

from nearfar.errors import require
from nearfar.fingerprint import fingerprint
from nearfar.model.locate import locate
from nearfar.model.microbatches import TOKENS_PER_CHUNK, micro_batches
from nearfar.model.network import TextNetwork
from nearfar.model.pair_network import compute_in_float32
from nearfar.model.pair_tokens import Ids
from nearfar.model.precision import Precision, choose_device, choose_precision, without_gradients
from nearfar.model.reranker import pairs_of_one
from nearfar.model.scoring import Pairs, Scored, score_in_blocks
from nearfar.model.tokens import TextToTokens
from nearfar.model.transformer import places, read_transformer
from nearfar.model.weights import weights_sha256, weights_state
from nearfar.model.yes_no_prompt import PLAIN, YesNoPrompt
from nearfar.progress import Progress, silent

_PROMPTS_AT_ONCE = 1_024  # whose tokens alone are in memory
_TOKENS_UNLESS_SAID = 8_192  # models have room for more; few documents need it, memory does


@dataclass(frozen=True, slots=True, kw_only=True)
class YesNoSettings:
    """How a language model is asked."""

    template: str = PLAIN  # holds {query} and {document}; its end is where the answer stands
    yes: str = " yes"  # one token, as it would follow the template
    no: str = " no"
    max_tokens: int | None = None  # of the whole prompt; long documents are cut, never its end
    precision: Precision = "auto"
    device: str = "auto"
    revision: str | None = None


@dataclass(slots=True)
class YesNoReranker:
    """Any causal language model, asked a question: score = logit(yes) - logit(no).

    Its sigmoid is the probability of yes where only yes and no are possible.

    Source: Nogueira et al. 2020, arXiv:2003.06713, sec. 3 (the two words); Zhang et al. 2025,
        arXiv:2506.05176, sec. 2 (Qwen3-Reranker; its prompt is `yes_no_prompt.QWEN3`).
    """

    network: PreTrainedModel
    prompt: YesNoPrompt
    precision: torch.dtype
    _named: tuple[tuple[Any, ...], str] | None = field(default=None, repr=False)

    @classmethod
    def load(cls, name: str | Path, settings: YesNoSettings | None = None) -> "YesNoReranker":
        """Load a language model.

        Args:
            name: a folder, `package:NAME`, or the id of a model on the hub.
            settings: how it is asked; models trained as rerankers need the prompt of their
                training.

        Raises:
            BadModel: nothing loadable is there, or it is no language model.
            BadSetting: a setting does not fit the model.
        """
        settings = settings or YesNoSettings()
        folder = locate(str(name), revision=settings.revision)
        device = choose_device(settings.device)
        network, tokenizer = read_transformer(folder, AutoModelForCausalLM)
        most = places(network)
        said = min(int(tokenizer.model_max_length), most or _TOKENS_UNLESS_SAID)
        said = min(said, _TOKENS_UNLESS_SAID)
        asked = said if settings.max_tokens is None else settings.max_tokens
        require(most is None or asked <= most, "max_tokens", f"at most {most} for {folder}", asked)
        prompt = YesNoPrompt(tokenizer, asked, settings.template, settings.yes, settings.no)
        compute_in_float32(network.get_output_embeddings())  # type: ignore[no-untyped-call]
        network.to(device)  # type: ignore[arg-type]
        network.eval().requires_grad_(False)  # type: ignore[no-untyped-call]
        return cls(network, prompt, choose_precision(settings.precision, device))

    @property
    def fingerprint(self) -> str:
        """Names everything that moves a score; it changes when, and only when, something does."""
        weights = weights_state(self.network)
        state = (self.prompt, weights)
        if self._named is None or weights is None or self._named[0] != state:
            self._named = (state, self._name())
        return self._named[1]

    @property
    def max_tokens(self) -> int:
        """How many tokens of a query and a document together are read."""
        return self.prompt.max_tokens

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

        def block(some: Pairs) -> Scored:
            for start in range(0, len(some), _PROMPTS_AT_ONCE):
                piece = some[start : start + _PROMPTS_AT_ONCE]
                # The whole question at once: where its parts meet, tokens may merge.
                prompts = [self.prompt(queries[q], documents[d]) for q, d in piece.tolist()]
                lengths = [len(prompt) for prompt in prompts]
                device = self.network.device.type
                budget = TOKENS_PER_CHUNK.get(device, TOKENS_PER_CHUNK["cpu"])
                for chunk in micro_batches(lengths, budget):
                    yield chunk + start, self._forward([prompts[i] for i in chunk]).cpu()

        with without_gradients(self.network, self.precision):
            return score_in_blocks(documents, pairs, block, progress)

    def _forward(self, prompts: Sequence[Ids]) -> Float[Tensor, " b"]:
        """Return the logit of each prompt.

        Padding stands on the left, so that all prompts end at one place and the words of no
        other need to be computed; positions are counted from a prompt's own beginning.
        """
        width = max(map(len, prompts))
        real = torch.from_numpy(
            np.arange(width)[None, :] >= width - np.array([[len(ids)] for ids in prompts])
        )  # (b, L)
        ids = torch.zeros(real.shape, dtype=torch.int64)  # under the mask any word would do
        ids[real] = torch.from_numpy(np.concatenate(prompts)).long()
        inputs = {
            "input_ids": ids,
            "attention_mask": real.long(),
            "position_ids": (real.long().cumsum(1) - 1).clamp(min=0),
        }
        known = inspect.signature(self.network.forward).parameters
        device = self.network.device
        given: dict[str, Any] = {
            key: value.to(device) for key, value in inputs.items() if key in known
        }
        options = {"logits_to_keep": 1, "use_cache": False}
        given |= {key: value for key, value in options.items() if key in known}
        logits = self.network(**given).logits[:, -1].float()  # (b, V)
        yes, no = self.prompt.word_ids
        result: Tensor = logits[:, yes] - logits[:, no]
        return result

    def _name(self) -> str:
        # The network's own pooling does not matter here: it has none.
        architecture = TextNetwork(self.network, pooling=()).architecture()
        prompt = self.prompt
        return fingerprint({
            "weights": weights_sha256(self.network),
            "architecture": architecture,
            "tokenizer": TextToTokens(prompt.tokenizer, "", "", prompt.max_tokens).digest(),
            "question": [prompt.template, prompt.yes, prompt.no, prompt.max_tokens],
        })  # fmt: skip
