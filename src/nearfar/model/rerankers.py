"""Which kind of reranker a folder holds."""

import json
from dataclasses import dataclass
from pathlib import Path

from nearfar.errors import BadSetting
from nearfar.model.cross_encoder import CrossEncoder, CrossSettings
from nearfar.model.locate import locate
from nearfar.model.yes_no import YesNoReranker, YesNoSettings
from nearfar.model.yes_no_layout import is_their_reranker

_QUESTION = ("template", "yes", "no")


@dataclass(frozen=True, slots=True, kw_only=True)
class RerankerSettings(CrossSettings):
    """What may differ from what the folder says; of a language model, what it is asked."""

    # plain, qwen3, or a text that holds {query} and {document} and ends where the answer stands.
    template: str | None = None
    yes: str | None = None  # one token, as it follows the template
    no: str | None = None


def load_reranker(
    name: str | Path, settings: CrossSettings | None = None
) -> CrossEncoder | YesNoReranker:
    """Load a cross-encoder, or a language model that is asked for yes or no.

    A language model is asked as its folder says (`yes_no_layout`), or its family; `new_head=True`
    makes a cross-encoder of it instead. One within an encoder of texts is no reranker: its words
    were not what was trained.

    Args:
        name: a folder, `package:NAME`, or the id of a model on the hub.
        settings: what shall differ from what the folder says.

    Raises:
        BadModel: nothing loadable is there, or it is no reranker.
        BadSetting: a setting does not fit the model.
    """
    settings = settings or CrossSettings()
    folder = locate(str(name), revision=settings.revision, sha256=settings.sha256)
    question = {key: getattr(settings, key, None) for key in _QUESTION}
    if _says_words(folder) and settings.new_head is not True:
        return YesNoReranker.load(
            folder,
            YesNoSettings(
                max_tokens=settings.max_tokens,
                precision=settings.precision,
                device=settings.device,
                **question,
            ),
        )
    if said := [key for key, value in question.items() if value is not None]:
        raise BadSetting(
            f"{said[0]} is what a language model is asked, but {name} is read as a cross-encoder, "
            f"which is asked nothing. Leave out {', '.join(said)}, or name a language model."
        )
    return CrossEncoder.load(name, settings)


def _says_words(folder: Path) -> bool:
    """Return whether a folder holds a language model, to be asked."""
    if is_their_reranker(folder) is False:
        return False
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return any("CausalLM" in kind for kind in config.get("architectures") or [])
    except (OSError, ValueError, AttributeError):
        return False  # whoever loads it says what is wrong
