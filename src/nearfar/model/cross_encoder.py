"""A cross-encoder: a transformer that reads a query and a document together, and says one number.

Each text is tokenised once, however many pairs it stands in, and pairs of like length are
computed together, whichever queries they are of.

Shapes: N documents, P pairs, L tokens of the longest.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import (
    AutoModelForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from nearfar.errors import BadModel, BadSetting
from nearfar.fingerprint import fingerprint
from nearfar.model.locate import locate
from nearfar.model.microbatches import micro_batches, pad
from nearfar.model.precision import Precision, choose_device, choose_precision, in_precision
from nearfar.model.tokens import TextToTokens
from nearfar.model.transformer import places, read_transformer
from nearfar.progress import Progress, silent

_TOKENS_PER_CHUNK = {"cpu": 2_048, "cuda": 65_536}
_PAIRS_PER_BLOCK = 8_192  # sorted by length together: their ids alone are in memory


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossSettings:
    """What may differ from what the folder says; None leaves it."""

    max_tokens: int | None = None  # of query and document together; longer ones are cut
    precision: Precision = "auto"
    device: str = "auto"
    revision: str | None = None


class CrossEncoder:
    """Any checkpoint for sequence classification with one label, or with two: no and yes."""

    def __init__(
        self,
        transformer: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        max_tokens: int,
        precision: torch.dtype,
    ) -> None:
        self.transformer = transformer
        transformer.eval()  # type: ignore[no-untyped-call]
        transformer.requires_grad_(False)
        self.tokenizer = tokenizer
        self.max_tokens = max_tokens
        self.precision = precision
        self._pad_id = int(tokenizer.pad_token_id or 0)
        self._fingerprint: str | None = None

    @classmethod
    def load(cls, name: str | Path, settings: CrossSettings | None = None) -> "CrossEncoder":
        """Load a model.

        Args:
            name: a folder, `package:NAME`, or the id of a model on the hub.
            settings: what shall differ from what the folder says.

        Raises:
            BadModel: nothing loadable is there, or it says more than one number of a pair.
            BadSetting: a setting does not fit the model.
        """
        settings = settings or CrossSettings()
        folder = locate(str(name), revision=settings.revision)
        device = choose_device(settings.device)
        transformer, tokenizer = read_transformer(folder, AutoModelForSequenceClassification)
        labels = int(transformer.config.num_labels or 0)
        if labels > 2:
            raise BadModel(
                f"{folder}: expected a model with one label, or two (no and yes), found {labels}. "
                "A classifier of more says no single number of a query and a document."
            )
        if tokenizer.pad_token_id is None:
            raise BadModel(
                f"{folder}: expected a tokenizer with a padding token, found none. Set pad_token "
                "in its tokenizer_config.json to one that no text holds."
            )
        transformer.config.pad_token_id = tokenizer.pad_token_id  # decoders find a text's end by it
        most = places(transformer)
        asked = settings.max_tokens or min(int(tokenizer.model_max_length), most or 512)
        special = tokenizer.num_special_tokens_to_add(pair=True)
        if asked < special + 2 or (most is not None and asked > most):
            raise BadSetting(
                f"max_tokens of a reranker must be {special + 2} to {most} for {folder}, got "
                f"{asked}."
            )
        precision = choose_precision(settings.precision, device)
        transformer.to(device)  # type: ignore[arg-type]
        return cls(transformer, tokenizer, asked, precision)

    @property
    def fingerprint(self) -> str:
        """Names everything that moves a score."""
        if self._fingerprint is None:
            digest = hashlib.sha256()
            for name, weight in sorted(self.transformer.state_dict().items()):
                digest.update(f"{name} {tuple(weight.shape)} ".encode())
                digest.update(weight.detach().float().cpu().contiguous().numpy())
            tokens = TextToTokens(self.tokenizer, "", "", self.max_tokens)
            pair = self.tokenizer("one", "two")["input_ids"]
            facts = {"weights": digest.hexdigest(), "tokenizer": tokens.digest(), "pair": pair,
                     "max_tokens": self.max_tokens}  # fmt: skip
            self._fingerprint = fingerprint(facts)
        return self._fingerprint

    def score(self, query: str, documents: Sequence[str]) -> Float[Tensor, " N"]:
        """Return one logit per document, in the order given: the higher, the better the answer."""
        places = torch.arange(len(documents))
        pairs = torch.stack([torch.zeros_like(places), places], dim=1)
        return self.score_pairs([query], documents, pairs)

    def score_pairs(
        self,
        queries: Sequence[str],
        documents: Sequence[str],
        pairs: Int[Tensor, "P 2"],
        *,
        progress: Progress = silent,
    ) -> Float[Tensor, " P"]:
        """Return one logit per pair (place of a query, place of a document), on the CPU."""
        scores = torch.empty(len(pairs))
        # Blocks of documents of like length: what is sorted is what is in memory.
        lengths = np.array([len(text) for text in documents])[pairs[:, 1].numpy()]
        order = torch.from_numpy(np.argsort(-lengths, kind="stable"))
        done = 0
        for some in torch.split(order, _PAIRS_PER_BLOCK):
            for rows, logits in self._block(queries, documents, pairs[some]):
                scores[some[rows]] = logits
                done += len(rows)
                progress("scoring pairs", done, len(pairs))
        return scores

    def _block(
        self, queries: Sequence[str], documents: Sequence[str], pairs: Int[Tensor, "P 2"]
    ) -> Iterator[tuple[Int[Tensor, " b"], Float[Tensor, " b"]]]:
        joined = self._joined(queries, documents, pairs.tolist())
        budget = _TOKENS_PER_CHUNK.get(self.transformer.device.type, _TOKENS_PER_CHUNK["cpu"])
        for chunk in micro_batches([len(ids) for ids, _ in joined], budget):
            yield torch.from_numpy(chunk), self._forward([joined[i] for i in chunk])

    def _joined(
        self, queries: Sequence[str], documents: Sequence[str], pairs: list[list[int]]
    ) -> list[tuple[list[int], list[int]]]:
        """Return the ids of each pair, and of which of the two texts each is."""
        tokenizer: Any = getattr(self.tokenizer, "backend_tokenizer", None)
        if tokenizer is None:  # in plain Python: it knows no other way than pair by pair
            found = self.tokenizer(
                [queries[q] for q, _ in pairs], [documents[d] for _, d in pairs],
                truncation=True, max_length=self.max_tokens, return_token_type_ids=True,
            )  # fmt: skip
            return list(zip(found["input_ids"], found["token_type_ids"], strict=True))
        tokenizer.no_padding()
        tokenizer.no_truncation()
        halves = []
        for texts, side in ((queries, 0), (documents, 1)):
            places = sorted({pair[side] for pair in pairs})
            rows = tokenizer.encode_batch([texts[i] for i in places], add_special_tokens=False)
            halves.append(dict(zip(places, rows, strict=True)))
        tokenizer.enable_truncation(self.max_tokens)  # of the longer of the two first
        both = [tokenizer.post_process(halves[0][q], halves[1][d]) for q, d in pairs]
        tokenizer.no_truncation()
        return [(pair.ids, pair.type_ids) for pair in both]

    @torch.no_grad()
    def _forward(self, rows: Sequence[tuple[list[int], list[int]]]) -> Float[Tensor, " b"]:
        device = self.transformer.device
        ids, real = pad([ids for ids, _ in rows], self._pad_id, self.max_tokens)
        inputs = {"input_ids": ids, "attention_mask": real.long()}
        if "token_type_ids" in self.tokenizer.model_input_names:
            inputs["token_type_ids"] = pad([kinds for _, kinds in rows], 0, self.max_tokens)[0]
        with in_precision(self.precision, device):
            found = self.transformer(**{name: value.to(device) for name, value in inputs.items()})
        logits: Tensor = found.logits.float().cpu()
        return logits[:, 0] if logits.shape[1] == 1 else logits[:, 1] - logits[:, 0]
