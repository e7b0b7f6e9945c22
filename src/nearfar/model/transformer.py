"""A transformer and its tokenizer, read from the files of a checkpoint."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn
from transformers import AutoModel, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from nearfar.errors import BadModel, said
from nearfar.model.attention import use_fast_attention

_TOKENIZER_FILES = ("tokenizer.json", "vocab.*", "*.model", "tekken.json")


def read_transformer(
    folder: Path, kind: Any = AutoModel
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Read a checkpoint; code that lies in its folder is never run.

    Args:
        folder: of the checkpoint.
        kind: how the library shall read it: AutoModel without a head, another with its own.

    Raises:
        BadModel: files are missing, damaged, or do not belong together.
    """
    # Without these the loader makes up a tokenizer that knows no word.
    if not any(any(folder.glob(pattern)) for pattern in _TOKENIZER_FILES):
        raise BadModel(
            f"{folder}: expected a tokenizer ({', '.join(_TOKENIZER_FILES)}), found "
            f"{_inside(folder)}. Copy the tokenizer's files there."
        )
    try:
        with quiet():
            # Left unsaid, the loader would ask on the terminal whether to trust the folder.
            transformer, found = kind.from_pretrained(
                folder,
                dtype=torch.float32,
                trust_remote_code=False,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # not ignored: refused below, with their names
            )
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # a damaged file can raise anything, a bare Exception too
        raise BadModel(
            f"{folder}: expected a model with config.json, model.safetensors and a tokenizer, "
            f"found {_inside(folder)}. The loader said: {said(error)}"
        ) from error
    # Without a head a transformer is whole without its own pooler: nearfar pools by itself.
    lacking = {*found["missing_keys"], *(key for key, *_ in found["mismatched_keys"])}
    unfit = sorted(key for key in lacking if kind is not AutoModel or "pooler" not in key)
    if unfit:
        raise BadModel(
            f"{folder}: the weights lack {len(unfit)} tensors of {type(transformer).__name__}, or "
            f"have them in another shape, such as {unfit[0]}. They belong to another model than "
            "config.json describes."
        )
    use_fast_attention(transformer)
    return transformer, tokenizer


def places(transformer: PreTrainedModel) -> int | None:
    """Return for how many tokens a transformer has positions; None where it does not say."""
    for name, module in transformer.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
            # Where there is a position of the padding, as in RoBERTa, texts begin after it.
            unused = 0 if module.padding_idx is None else module.padding_idx + 1
            return module.num_embeddings - unused
    found: int | None = getattr(transformer.config, "max_position_embeddings", None)
    return found


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the library's own bars and warnings from the terminal; what matters is checked."""
    switches = cast(Any, transformers_logging)  # they carry no types
    level, bars = switches.get_verbosity(), switches.is_progress_bar_enabled()
    switches.set_verbosity_error()
    switches.disable_progress_bar()
    try:
        yield
    finally:
        switches.set_verbosity(level)
        if bars:
            switches.enable_progress_bar()


def _inside(folder: Path) -> str:
    return ", ".join(sorted(path.name for path in folder.iterdir())) or "nothing"
