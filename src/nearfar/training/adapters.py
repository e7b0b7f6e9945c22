"""LoRA: small matrices beside the frozen ones learn, and are added to them at the end.

Source: Hu et al. 2021, arXiv:2106.09685, through the PEFT library.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from transformers import PreTrainedModel

from nearfar.errors import BadSetting
from nearfar.training.settings import Lora


def add_adapters(
    transformer: PreTrainedModel, settings: Lora, whole: Sequence[str] = ()
) -> PreTrainedModel:
    """Return the transformer with adapters; nothing else of it learns any more.

    Args:
        transformer: stays in it, as it is.
        settings: how large the adapters are, and where they stand.
        whole: names of modules that learn all the same, such as a head that begins at dice.

    Raises:
        BadSetting: PEFT is not installed, or no layer has one of the names.
    """
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise BadSetting(
            "training.lora needs the PEFT library. Run `pip install 'nearfar[lora]'`."
        ) from error
    targets = settings.targets
    pools = any("pooler" in name for name, _ in transformer.named_modules())
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules="all-linear" if targets == ("all-linear",) else list(targets),
        exclude_modules=r".*pooler.*" if pools else None,  # PEFT warns of what fits nothing
        modules_to_save=list(whole) or None,
    )
    try:
        adapted: Any = get_peft_model(transformer, config)
    except ValueError as error:
        raise BadSetting(f"training.lora.targets: {error}") from error
    return cast(PreTrainedModel, adapted)


def save_adapters(transformer: PreTrainedModel, folder: Path) -> None:
    """Write the adapters alone, as PEFT loads them."""
    transformer.save_pretrained(folder)


def merge_adapters(transformer: PreTrainedModel) -> PreTrainedModel:
    """Return the transformer as it was built, with what the adapters learned in its weights."""
    merged: PreTrainedModel = transformer.merge_and_unload()  # type: ignore[operator]
    return merged
