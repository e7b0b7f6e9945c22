"""Which kind of reranker a folder holds."""

import json
from dataclasses import replace
from pathlib import Path

from nearfar.model.cross_encoder import CrossEncoder, CrossSettings
from nearfar.model.locate import locate
from nearfar.model.reranker import Reranker
from nearfar.model.yes_no import YesNoReranker, YesNoSettings
from nearfar.model.yes_no_prompt import QWEN3


def load_reranker(name: str | Path, settings: CrossSettings | None = None) -> Reranker:
    """Load a cross-encoder, or a language model that is asked for yes or no.

    A language model of the Qwen3 family is asked as Qwen3-Reranker was trained; others get a
    plain question (`yes_no_prompt.PLAIN`).

    Args:
        name: a folder, `package:NAME`, or the id of a model on the hub.
        settings: what shall differ from what the folder says.

    Raises:
        BadModel: nothing loadable is there, or it is no reranker.
        BadSetting: a setting does not fit the model.
    """
    settings = settings or CrossSettings()
    folder = locate(str(name), revision=settings.revision)
    family = _language_model(folder)
    if family is None:
        return CrossEncoder.load(name, settings)
    asked = YesNoSettings(
        max_tokens=settings.max_tokens,
        precision=settings.precision,
        device=settings.device,
        revision=settings.revision,
    )
    if family.startswith("qwen3"):
        asked = replace(asked, template=QWEN3, yes="yes", no="no")
    return YesNoReranker.load(name, asked)


def _language_model(folder: Path) -> str | None:
    """Return the family of a language model; None of anything else."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        kinds = config.get("architectures") or []
        return str(config["model_type"]) if any("CausalLM" in kind for kind in kinds) else None
    except (OSError, ValueError, KeyError, AttributeError):
        return None  # whoever loads it says what is wrong
