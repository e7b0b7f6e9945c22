"""How a run tells of itself; the command line speaks for it."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

from nearfar.progress import Progress, silent


@dataclass(frozen=True, slots=True)
class Talk:
    """Whom a run tells."""

    say: Callable[[str], None] = field(default=lambda sentence: None)
    progress: Progress = silent
    # Entered while work can be stopped and gone on with; yields whether someone asked for it.
    stoppable: Callable[[], AbstractContextManager[Callable[[], bool]]] = field(
        default=lambda: nullcontext(lambda: False)
    )


def best_of(best_step: int, steps: int) -> str:
    """Say which weights of a training were kept; that the base was never beaten, aloud."""
    if best_step:
        return f"Kept the weights after step {best_step} of {steps}."
    return (
        "Training never beat the base on dev, so the base's weights were kept. Try a lower "
        "training.learning_rate, or look at the pairs with `nearfar check`."
    )
