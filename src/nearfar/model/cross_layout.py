"""The folder of a cross-encoder as sentence-transformers has it: its small files, read and written.

config.json                         the activation, where written before version 6
modules.json                        since version 6: the chain, of a Transformer alone
config_sentence_transformers.json   since version 6: the activation, prompts
sentence_bert_config.json           what its transformer gives: scores

The activation is what *their* `predict` puts around the logit; ours is the logit itself.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from nearfar.errors import BadModel
from nearfar.model.layout import read_layout

_PLAIN = "torch.nn.modules.linear.Identity"
_THEIRS = "sentence_transformers"  # the part of config.json that is the library's
_OLD = "sbert_ce_default_activation_function"  # its name before version 4
_TRANSFORMER = "sentence_transformers.base.modules.transformer.Transformer"


@dataclass(frozen=True, slots=True)
class CrossLayout:
    """What the folder of a cross-encoder says, beside its weights and its tokenizer."""

    transformer: Path
    activation: str = _PLAIN  # a folder that says none gets none: their score is ours
    query_prompt: str = ""
    max_tokens: int | None = None  # of query and document; None: what the tokenizer says


def read_cross_layout(folder: Path) -> CrossLayout:
    """Read the folder of a cross-encoder, of a plain checkpoint, or of an encoder of texts.

    Raises:
        BadModel: its chain of modules is another, or a file is damaged.
    """
    if not (folder / "modules.json").is_file():
        return CrossLayout(folder, activation=_activation(folder))
    kinds, places = _chain(folder / "modules.json")
    if kinds == ["Transformer"]:
        return _of_chain(folder, folder / places[0])
    if "LogitScore" in kinds:
        raise BadModel(
            f"{folder / 'modules.json'}: this reranker is a language model that answers yes or "
            "no. It is read as a YesNoReranker, with the prompt it was trained with."
        )
    # An encoder of texts: what it says of prompts and lengths is said of single texts.
    return CrossLayout(read_layout(folder).transformer)


def write_cross_layout(folder: Path, layout: CrossLayout) -> None:
    """Write the small files beside the weights and the tokenizer, which lie there already."""
    path = folder / "config.json"
    config = {**_object(path), _THEIRS: {"activation_fn": layout.activation}}
    files: dict[str, Any] = {"config.json": config}
    if layout.query_prompt:  # of which only version 6 knows
        files["modules.json"] = [{"idx": 0, "name": "0", "path": "", "type": _TRANSFORMER}]
        files["config_sentence_transformers.json"] = {
            "model_type": "CrossEncoder",
            "activation_fn": layout.activation,
            "prompts": {"query": layout.query_prompt},
            "default_prompt_name": "query",
        }
        files["sentence_bert_config.json"] = {
            "transformer_task": "sequence-classification",
            "modality_config": {"text": {"method": "forward", "method_output_name": "logits"}},
            "module_output_name": "scores",
        }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def forget_layout(transformer: PreTrainedModel) -> None:
    """Take what is the library's out of a configuration: it moves no logit."""
    for name in (_THEIRS, _OLD):
        if hasattr(transformer.config, name):
            delattr(transformer.config, name)


def _of_chain(folder: Path, transformer: Path) -> CrossLayout:
    path = folder / "config_sentence_transformers.json"
    config = _object(path) if path.is_file() else {}
    prompts = config.get("prompts") or {}
    name = config.get("default_prompt_name")
    prompt = prompts.get(name) or "" if isinstance(prompts, dict) else prompts
    path = transformer / "sentence_bert_config.json"
    most = _object(path).get("max_seq_length") if path.is_file() else None
    if not isinstance(prompt, str) or not isinstance(most, int | None):
        raise BadModel(
            f"{folder}: expected prompts as texts with a name each, and max_seq_length as a "
            f"whole number, found {prompts!r} and {most!r}."
        )
    activation = config.get("activation_fn") or _activation(transformer)
    return CrossLayout(transformer, str(activation), prompt, most)


def _activation(folder: Path) -> str:
    config = _object(folder / "config.json")
    theirs = config.get(_THEIRS)
    found = theirs.get("activation_fn") if isinstance(theirs, dict) else None
    return str(found or config.get(_OLD) or _PLAIN)


def _chain(path: Path) -> tuple[list[str], list[str]]:
    """Return the kinds and the places of all modules."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        kinds = [str(one["type"]).rsplit(".", 1)[-1] for one in found]
        return kinds, [str(one["path"]) for one in found]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise BadModel(f"{path}: expected a list of modules, each with type and path.") from error


def _object(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadModel(f"{path}: expected JSON that describes a model ({error}).") from error
    if not isinstance(found, dict):
        raise BadModel(f"{path}: expected a JSON object, found {type(found).__name__}.")
    return found
