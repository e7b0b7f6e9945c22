"""Whether options fit a loss, found out from the loss itself."""

import difflib
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

from nearfar.errors import BadSetting


def require_options(
    name: str,
    loss: Callable[..., Tensor],
    options: Mapping[str, Any],
    *,
    trial: Sequence[Any],
    set_elsewhere: Sequence[str] = (),
    table: str = "loss",
) -> None:
    """Raise BadSetting unless the loss knows the options and takes their values.

    Args:
        name: of the loss, for the message.
        loss: its options are its keyword-only parameters; it checks their values when called.
        options: to be checked.
        trial: what the loss is called with to find out.
        set_elsewhere: parameters that are no options.
        table: of the settings that the options stand in, for the message.
    """
    known = [
        option
        for option, parameter in inspect.signature(loss).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and option not in set_elsewhere
    ]
    for option in options:
        if option not in known:
            close = difflib.get_close_matches(option, known, n=1)
            hint = f"Did you mean {close[0]!r}?" if close else f"It has: {', '.join(known) or '-'}."
            raise BadSetting(f"{table}.options.{option} is not an option of {name}. {hint}")
    try:
        loss(*trial, **options)
    except (TypeError, ValueError, AttributeError) as error:
        raise BadSetting(
            f"{table}.options of {name}: {dict(options)} do not fit: {error}"
        ) from error
