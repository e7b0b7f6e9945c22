"""The sentence-transformers folder: what its small files say, read and written.

modules.json                        the chain: Transformer, Pooling, Dense ..., Normalize
config_sentence_transformers.json   prompts
sentence_bert_config.json           max_seq_length
config.json, model.safetensors, tokenizer files
1_Pooling/config.json               how tokens become one vector
2_Dense/...                         further layers, where the model has them
3_Normalize/                        vectors of length 1
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nearfar.errors import BadModel

# Names of the field's pooling modes and ours; the order is that of a concatenation.
_POOLING_KEYS = {
    "pooling_mode_cls_token": ("cls", "cls"),
    "pooling_mode_max_tokens": ("max", "max"),
    "pooling_mode_mean_tokens": ("mean", "mean"),
    "pooling_mode_mean_sqrt_len_tokens": ("mean_sqrt_len_tokens", "mean_sqrt"),
    "pooling_mode_weightedmean_tokens": ("weightedmean", "weighted"),
    "pooling_mode_lasttoken": ("lasttoken", "last"),
}
_OURS = dict(_POOLING_KEYS.values())
_DOCUMENT_PROMPTS = ("document", "passage", "corpus")
_KNOWN_MODULES = ("Transformer", "Pooling", "Dense", "Normalize")


@dataclass(frozen=True, slots=True)
class Layout:
    """What a model folder says about itself, beside its weights and its tokenizer."""

    transformer: Path
    pooling: tuple[str, ...] = ("mean",)
    dense: tuple[Path, ...] = ()
    normalised: bool = True
    query_prompt: str = ""
    document_prompt: str = ""
    max_tokens: int | None = None  # None: as many as the model has places for


def read_layout(folder: Path) -> Layout:
    """Read the folder of a sentence-transformers model, or of a plain checkpoint.

    A plain checkpoint says nothing of pooling: it gets the mean, and vectors of length 1.

    Raises:
        BadModel: the chain has a module that nearfar does not know, or a file is damaged.
    """
    if not (folder / "modules.json").is_file():
        return Layout(transformer=folder)
    modules = _read_modules(folder)
    kinds = [kind for kind, _ in modules]
    unknown = sorted(set(kinds) - set(_KNOWN_MODULES))
    if unknown or kinds[:2] != ["Transformer", "Pooling"] or "Normalize" in kinds[:-1]:
        raise BadModel(
            f"{folder / 'modules.json'}: expected Transformer, Pooling, any Dense and at most one "
            f"Normalize in this order, found {', '.join(kinds) or 'none'}. "
            "This model cannot be loaded."
        )
    transformer, pooling = modules[0][1], modules[1][1]
    prompts = _read_prompts(folder / "config_sentence_transformers.json")
    return Layout(
        transformer=transformer,
        pooling=_read_pooling(pooling / "config.json"),
        dense=tuple(path for kind, path in modules if kind == "Dense"),
        normalised="Normalize" in kinds,
        query_prompt=prompts.get("query", ""),
        document_prompt=next((prompts[n] for n in _DOCUMENT_PROMPTS if n in prompts), ""),
        max_tokens=_read_max_tokens(transformer / "sentence_bert_config.json"),
    )


def _read_modules(folder: Path) -> list[tuple[str, Path]]:
    """Return the kind and the place of each module of the chain."""
    path = folder / "modules.json"
    found = _json(path)
    try:
        return [(str(one["type"]).rsplit(".", 1)[-1], folder / one["path"]) for one in found]
    except (TypeError, KeyError) as error:
        raise BadModel(f"{path}: expected a list of modules, each with type and path.") from error


def _read_prompts(path: Path) -> dict[str, str]:
    config = _object(path) if path.is_file() else {}
    prompts = config.get("prompts") or {}
    if not isinstance(prompts, dict) or any(
        not isinstance(prompt, str | None) for prompt in prompts.values()
    ):
        raise BadModel(f"{path}: expected prompts as texts with a name each, found {prompts!r}.")
    return {name: prompt or "" for name, prompt in prompts.items()}


def _read_max_tokens(path: Path) -> int | None:
    config = _object(path) if path.is_file() else {}
    if config.get("do_lower_case"):
        raise BadModel(
            f"{path}: do_lower_case outside the tokenizer is not supported. "
            "Save the model again with a tokenizer that lower-cases by itself."
        )
    found: int | None = config.get("max_seq_length")
    if not isinstance(found, int | None):
        raise BadModel(f"{path}: expected max_seq_length as a whole number, found {found!r}.")
    return found


def _read_pooling(path: Path) -> tuple[str, ...]:
    config = _object(path)
    if config.get("include_prompt", True) is False:
        raise BadModel(
            f"{path}: pooling that leaves out the prompt (include_prompt = false) is not "
            "supported yet. Set it to true to pool over all tokens; the vectors will differ."
        )
    modes = config.get("pooling_mode")
    if modes is None:
        modes = [mode for key, (mode, _) in _POOLING_KEYS.items() if config.get(key)]
    modes = [modes] if isinstance(modes, str) else modes or ["mean"]
    if not isinstance(modes, list) or not all(str(mode) in _OURS for mode in modes):
        raise BadModel(f"{path}: expected a pooling of {', '.join(_OURS)}, found {modes}.")
    return tuple(_OURS[mode] for mode in modes)


def write_layout(folder: Path, layout: Layout, dim: int) -> None:
    """Write the small files of a folder; `layout.dense` are the names of its Dense folders."""
    chain = [("Transformer", ""), ("Pooling", "1_Pooling")]
    chain += [("Dense", path.name) for path in layout.dense]
    if layout.normalised:
        chain.append(("Normalize", f"{len(chain)}_Normalize"))
    modules = [
        # The short names of 2019 are understood by every version of the library.
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (kind, path) in enumerate(chain)
    ]
    prompts = {"query": layout.query_prompt, "document": layout.document_prompt}
    files: dict[str, Any] = {
        "modules.json": modules,
        "1_Pooling/config.json": _pooling_facts(layout.pooling, dim),
        "sentence_bert_config.json": {
            "max_seq_length": layout.max_tokens,
            "do_lower_case": False,
        },
        "config_sentence_transformers.json": {
            "model_type": "SentenceTransformer",
            "prompts": prompts,
            "default_prompt_name": None,
            "similarity_fn_name": "cosine",
        },
    }
    if layout.normalised:
        files[f"{chain[-1][1]}/config.json"] = {}
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _pooling_facts(pooling: tuple[str, ...], dim: int) -> dict[str, Any]:
    flags = {key: ours in pooling for key, (_, ours) in _POOLING_KEYS.items()}
    if pooling == tuple(ours for _, ours in _POOLING_KEYS.values() if ours in pooling):
        return {"word_embedding_dimension": dim, **flags}
    # Flags keep no order. Only version 6 of the library reads names, so only here.
    theirs = {ours: mode for mode, ours in _OURS.items()}
    return {"embedding_dimension": dim, "pooling_mode": [theirs[ours] for ours in pooling]}


def _object(path: Path) -> dict[str, Any]:
    found = _json(path)
    if not isinstance(found, dict):
        raise BadModel(f"{path}: expected a JSON object, found {type(found).__name__}.")
    return found


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadModel(f"{path}: expected JSON that describes a model ({error}).") from error
