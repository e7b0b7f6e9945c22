"""A tiny world for training: a created checkpoint, and a dataset that can be learned."""

from pathlib import Path

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from nearfar.data.dataset import Dataset
from nearfar.data.writer import write_dataset
from nearfar.records import Document, Judgment, Origin, Query, Split

WORDS = [f"{a}{b}" for a in "bdfgklmnprst" for b in ("a", "e", "i", "o", "u", "an", "el", "or")]
_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def tiny_bert(folder: Path, *, dropout: float = 0.0, seed: int = 0) -> Path:
    """Create a BERT of two layers whose vocabulary is WORDS."""
    vocabulary = {word: i for i, word in enumerate(_SPECIAL + WORDS)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=64,
    ).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=64,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        BertModel(config).save_pretrained(folder)
    return folder


def tiny_dataset(folder: Path, *, pairs: int = 48) -> Dataset:
    """Write pairs that share a rare word, so that there is something to learn, in three splits."""
    with write_dataset(folder, licence="CC0-1.0", parents=[]) as writer:
        for i in range(pairs):
            own, other = WORDS[i % len(WORDS)], WORDS[(7 * i + 3) % len(WORDS)]
            long = " ".join(WORDS[(i * k + k) % len(WORDS)] for k in range(3 + i % 17))
            where = f"tiny.jsonl:{i + 1}"
            split: Split = "train" if i % 4 else ("dev" if i % 8 else "test")
            writer.add_document(
                Document(id=f"d{i}", content=f"{own} {long}", group=f"g{i}", source=where)
            )
            writer.add_query(Query(id=f"q{i}", content=f"{own} {other}", source=where))
            writer.add_judgment(
                Judgment(
                    query_id=f"q{i}",
                    document_id=f"d{i}",
                    grade=1,
                    origin=Origin(kind="human", source=where),
                    split=split,
                )
            )
    return Dataset.open(folder)


def tiny_cross(folder: Path, *, labels: int = 1, seed: int = 3, dropout: float = 0.0) -> Path:
    """Create a cross-encoder of two layers: [CLS] query [SEP] document [SEP]."""
    base = tiny_bert(folder / "base", dropout=dropout)
    config = AutoConfig.from_pretrained(base, num_labels=labels)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForSequenceClassification.from_config(config)
        for weight in model.parameters():
            if weight.dim() > 1:
                torch.nn.init.normal_(weight, std=0.2)  # so that scores differ, and can be learned
    model.save_pretrained(folder / "cross")
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    tokenizer.save_pretrained(folder / "cross")
    return folder / "cross"


def tiny_llama(folder: Path, *, side: str = "right", seed: int = 0) -> Path:
    """Create a language model of two layers that knows WORDS, "yes" and "no"."""
    special = ["<s>", "<unk>", "<pad>", "yes", "no", ":", "?"]
    vocabulary = {word: i for i, word in enumerate(special + WORDS)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 0)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", unk_token="<unk>", pad_token="<pad>",
        padding_side=side, model_max_length=96,
    ).save_pretrained(folder)  # fmt: skip
    config = LlamaConfig(
        vocab_size=max(vocabulary.values()) + 1, hidden_size=32, intermediate_size=64,
        num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        max_position_embeddings=96, bos_token_id=0, eos_token_id=None, pad_token_id=2,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
        for weight in model.parameters():
            if weight.dim() > 1:
                torch.nn.init.normal_(weight, std=0.3)  # so that answers differ
    model.save_pretrained(folder)
    return folder
