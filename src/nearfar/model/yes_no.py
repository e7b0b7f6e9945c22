"""A language model as a reranker: asked whether a document answers a query, yes or no.

Shapes: N documents, P pairs, b prompts of a chunk, L tokens of the longest.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import AutoModelForCausalLM

from nearfar.errors import require
from nearfar.fingerprint import fingerprint
from nearfar.model.answer_network import AnswerNetwork
from nearfar.model.locate import locate
from nearfar.model.microbatches import TOKENS_PER_CHUNK, micro_batches
from nearfar.model.pair_tokens import Ids
from nearfar.model.precision import Precision, choose_device, choose_precision
from nearfar.model.question_texts import QuestionTexts
from nearfar.model.reranker import pairs_of_one
from nearfar.model.rounded import Rounded, looking
from nearfar.model.scoring import Pairs, Scored, score_in_blocks
from nearfar.model.tokens import TextToTokens
from nearfar.model.transformer import places, quiet, read_transformer
from nearfar.model.weights import weights_sha256, weights_state
from nearfar.model.yes_no_layout import read_yes_no, write_yes_no
from nearfar.model.yes_no_prompt import YesNoPrompt, choose_question
from nearfar.progress import Progress, silent

_PROMPTS_AT_ONCE = 1_024  # whose tokens alone are in memory
_TOKENS_UNLESS_SAID = 8_192  # models have room for more; few documents need it, memory does


@dataclass(frozen=True, slots=True, kw_only=True)
class YesNoSettings:
    """How a language model is asked; None leaves it as its folder says.

    A folder that says nothing of a question is asked as its family was trained, where we know
    that (Qwen3), and else plainly (`yes_no_prompt.PLAIN`).
    """

    template: str | None = None  # see `yes_no_prompt.choose_question`
    yes: str | None = None  # one token, as it would follow the template
    no: str | None = None
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

    network: AnswerNetwork
    prompt: YesNoPrompt
    precision: torch.dtype
    drawn: ClassVar[bool] = False  # no part of it is ever new
    _named: tuple[tuple[Any, ...], str] | None = field(default=None, repr=False)
    _rounded: Rounded = field(default_factory=Rounded, repr=False, compare=False)

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
        transformer, tokenizer = read_transformer(folder, AutoModelForCausalLM)
        said, told = read_yes_no(folder, tokenizer)
        most = places(transformer)
        if told is None:
            told = min(int(tokenizer.model_max_length), most or _TOKENS_UNLESS_SAID)
            told = min(told, _TOKENS_UNLESS_SAID)
        length = told if settings.max_tokens is None else settings.max_tokens
        fits = most is None or length <= most
        require(fits, "max_tokens", f"at most {most} for {folder}", length)
        asked = choose_question(settings.template, settings.yes, settings.no, unless_said=said)
        prompt = YesNoPrompt(tokenizer, length, asked.template, asked.yes, asked.no)
        network = AnswerNetwork(transformer, prompt.word_ids).to(device)
        reranker = cls(network, prompt, choose_precision(settings.precision, device))
        reranker.freeze()
        return reranker

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.network.parameters()).device

    @property
    def tokens(self) -> QuestionTexts:
        """How texts are kept for training, and become questions."""
        return QuestionTexts.of(self.prompt)

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

        def block(network: nn.Module, some: Pairs) -> Scored:
            for start in range(0, len(some), _PROMPTS_AT_ONCE):
                piece = some[start : start + _PROMPTS_AT_ONCE]
                # The whole question at once: where its parts meet, tokens may merge.
                prompts = [self.prompt(queries[q], documents[d]) for q, d in piece.tolist()]
                lengths = [len(prompt) for prompt in prompts]
                budget = TOKENS_PER_CHUNK.get(self.device.type, TOKENS_PER_CHUNK["cpu"])
                for chunk in micro_batches(lengths, budget):
                    yield chunk + start, self._logits(network, [prompts[i] for i in chunk]).cpu()

        with looking(self.network, self.precision, self._rounded) as network:
            return score_in_blocks(documents, pairs, partial(block, network), progress)

    def forward_rows(self, rows: Sequence[Ids]) -> Float[Tensor, " b"]:
        """Return one float32 logit per question, on the device, with its graph.

        Precision and mode are the caller's: neither autocast nor eval() is called here.
        """
        return self._logits(self.network, rows)

    def _logits(self, network: nn.Module, rows: Sequence[Ids]) -> Float[Tensor, " b"]:
        width = max(map(len, rows))
        starts = width - np.array([[len(ids)] for ids in rows])
        real = torch.from_numpy(np.arange(width)[None, :] >= starts)  # (b, L)
        ids = torch.zeros(real.shape, dtype=torch.int64)  # under the mask any word would do
        ids[real] = torch.from_numpy(np.concatenate(rows)).long()
        result: Tensor = network(ids.to(self.device), real.to(self.device))
        return result

    def save(self, folder: Path) -> None:
        """Fill an empty folder, with the question in it (`yes_no_layout`).

        `sentence_transformers.CrossEncoder(folder)` asks the same and `predict` says our logit,
        without an activation, where its tokens can be those of our question (see there).
        """
        with quiet():
            self.network.transformer.save_pretrained(folder)
            write_yes_no(folder, self.prompt)

    def _name(self) -> str:
        transformer, prompt = self.network.transformer, self.prompt
        return fingerprint({
            "weights": weights_sha256(transformer),
            "architecture": self.network.architecture(),
            "tokenizer": TextToTokens(prompt.tokenizer, "", "", prompt.max_tokens).digest(),
            "question": [prompt.template, prompt.yes, prompt.no, prompt.max_tokens],
        })  # fmt: skip
