"""What the options of a loss must be, said in one way."""

from collections.abc import Sequence

from jaxtyping import Bool
from torch import Tensor

from nearfar import errors
from nearfar.losses.edges import Edges


def require(holds: bool, option: str, expected: str, found: object) -> None:
    """Raise BadSetting unless it holds; NaN holds nothing."""
    errors.require(holds, f"loss.{option}", expected, found)


def require_one_of(option: str, found: str, choices: Sequence[str]) -> None:
    """Raise BadSetting unless it is one of the choices."""
    require(found in choices, option, f"one of {', '.join(choices)}", found)


def require_temperature(temperature: float | Tensor) -> None:
    """Raise BadSetting unless it is above 0; a tensor is kept there by whoever learns it."""
    if not isinstance(temperature, Tensor):
        require(temperature > 0, "temperature", "above 0", temperature)


def require_positive(edges: Edges) -> Bool[Tensor, " E"]:
    """Return which edges are positive.

    Raises:
        ValueError: none is.
    """
    positive = edges.positive
    if not positive.any():
        raise ValueError("the batch has no positive edge, so there is nothing to learn from.")
    return positive


def require_judged(edges: Edges) -> Bool[Tensor, " E"]:
    """Return which edges are judged and not excluded.

    Raises:
        ValueError: none is.
    """
    allowed = edges.allowed
    if not allowed.any():
        raise ValueError("the batch has no judged pair, so there is nothing to learn from.")
    return allowed
