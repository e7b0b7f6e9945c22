"""Reading a checkpoint for scores: with the head it was trained with, or with a new one."""

from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from nearfar.errors import BadModel
from nearfar.model.transformer import read_transformer


def read_with_head(folder: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Read a checkpoint whose head is trained.

    Raises:
        BadModel: it has no head, or one of more labels than no and yes; files are damaged.
    """
    reader = _Reader()
    transformer, tokenizer = read_transformer(folder, reader)
    if reader.drawn:
        raise BadModel(
            f"{folder}: expected a reranker with a trained head, found none: its weights lack "
            f"{', '.join(reader.drawn)}, so that every score would be chance. Name a reranker; "
            "or, to train this model into one, ask for a new head (new_head = true)."
            + _of_language_models(transformer)
        )
    labels = int(transformer.config.num_labels or 0)
    if labels not in (1, 2):
        raise BadModel(
            f"{folder}: expected a model with one label, or two (no and yes), found {labels}. "
            "A classifier of more says no single number of a query and a document."
        )
    return transformer, tokenizer


def read_with_new_head(
    folder: Path, *, seed: int
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Read an encoder and draw a head of one label for it, to be trained.

    What the encoder's weights lack of the head is drawn as its family draws it, a pooler
    included; what they have of it is kept.

    Raises:
        BadModel: it has a trained head of one label already; files are damaged or missing.
    """
    reader = _Reader(seed=seed)
    transformer, tokenizer = read_transformer(folder, reader)
    if not reader.drawn:
        raise BadModel(
            f"{folder}: expected an encoder without a head, found one that is trained. "
            "Leave out new_head to go on with it."
        )
    return transformer, tokenizer


def read_with_any_head(
    folder: Path, *, seed: int
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, bool]:
    """Read a checkpoint with its trained head, or with a new one; say whether it is new.

    A head is new where the checkpoint has none, and where it has one of more labels than two.

    Raises:
        BadModel: files are damaged or missing.
    """
    reader = _Reader()
    transformer, tokenizer = read_transformer(folder, reader)
    if not reader.drawn and int(transformer.config.num_labels or 0) in (1, 2):
        return transformer, tokenizer, False
    return *read_with_new_head(folder, seed=seed), True


class _Reader:
    """Reads as the library does, but tells which parts of the head it had to draw."""

    def __init__(self, seed: int | None = None) -> None:
        self._seed = seed  # of a new head of one label; None: the head is as config.json says
        self.drawn: list[str] = []

    def from_pretrained(self, folder: Path, **options: Any) -> tuple[PreTrainedModel, Any]:
        if self._seed is not None:
            options["num_labels"] = 1
        with torch.random.fork_rng(devices=[]):  # nobody else's dice are touched
            # Not torch.manual_seed: it would reach those of the GPUs too.
            torch.default_generator.manual_seed(self._seed or 0)
            model, found = AutoModelForSequenceClassification.from_pretrained(folder, **options)
        encoder = f"{model.base_model_prefix}."
        lacking = {*found["missing_keys"], *(key for key, *_ in found["mismatched_keys"])}
        heads = {key for key in lacking if not key.startswith(encoder) or ".pooler." in key}
        self.drawn = sorted(heads)
        # What is left is of the encoder: without it there is no model at all.
        return model, {**found, "missing_keys": lacking - heads, "mismatched_keys": set()}


def _of_language_models(transformer: PreTrainedModel) -> str:
    wanted = [name for name in transformer.config.architectures or [] if "CausalLM" in name]
    more = " A language model that answers yes or no is read as a YesNoReranker."
    return more if wanted else ""
