"""Tiny created checkpoints of the families of the field, with a tokenizer each."""

from collections.abc import Callable
from pathlib import Path

import torch
from tiny import WORDS, tiny_bert
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    DistilBertConfig,
    DistilBertModel,
    ModernBertConfig,
    ModernBertModel,
    MPNetConfig,
    MPNetModel,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaModel,
)

_SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
_SMALL = {"vocab_size": len(_SPECIAL) + len(WORDS), "hidden_size": 32, "intermediate_size": 64,
          "num_hidden_layers": 2, "num_attention_heads": 4}  # fmt: skip


def _tokenizer(folder: Path, *, length: int, side: str = "right") -> None:
    vocabulary = {word: i for i, word in enumerate(_SPECIAL + WORDS)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        cls_token="<s>",
        sep_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        mask_token="<mask>",
        model_max_length=length,
        padding_side=side,
    ).save_pretrained(folder)


def roberta(folder: Path) -> Path:
    # Its positions begin after the padding's id: two places of 66 are never used.
    config = RobertaConfig(**_SMALL, max_position_embeddings=66, pad_token_id=1, type_vocab_size=1)
    RobertaModel(config).save_pretrained(folder)
    _tokenizer(folder, length=64)
    return folder


def mpnet(folder: Path) -> Path:
    config = MPNetConfig(**_SMALL, max_position_embeddings=66, pad_token_id=1)
    MPNetModel(config).save_pretrained(folder)
    _tokenizer(folder, length=64)
    return folder


def distilbert(folder: Path) -> Path:
    config = DistilBertConfig(
        vocab_size=_SMALL["vocab_size"], dim=32, hidden_dim=64, n_layers=2, n_heads=4,
        max_position_embeddings=64, pad_token_id=1,
    )  # fmt: skip
    DistilBertModel(config).save_pretrained(folder)
    _tokenizer(folder, length=64)
    return folder


def modernbert(folder: Path) -> Path:
    config = ModernBertConfig(
        **_SMALL, max_position_embeddings=64, pad_token_id=1, bos_token_id=0, eos_token_id=2,
        cls_token_id=0, sep_token_id=2, global_attn_every_n_layers=2, local_attention=8,
    )  # fmt: skip
    ModernBertModel(config).save_pretrained(folder)
    _tokenizer(folder, length=64)
    return folder


def padded_left(folder: Path) -> Path:
    """A BERT whose tokenizer would pad on the left."""
    tiny_bert(folder)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    tokenizer.padding_side = "left"
    tokenizer.save_pretrained(folder)
    return folder


FAMILIES: dict[str, Callable[[Path], Path]] = {
    "bert": tiny_bert,
    "roberta": roberta,
    "mpnet": mpnet,
    "distilbert": distilbert,
    "modernbert": modernbert,
    "padded left": padded_left,
}


def created(name: str, folder: Path) -> Path:
    torch.manual_seed(0)
    return FAMILIES[name](folder)
