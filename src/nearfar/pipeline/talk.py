"""How a run tells of itself, and comes to a language model; the command line does both for it."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

from nearfar.errors import BadSetting
from nearfar.llm.endpoints import open_endpoint
from nearfar.llm.messages import Endpoint
from nearfar.llm.settings import LlmSettings
from nearfar.progress import Progress, silent


def without_key(llm: LlmSettings) -> AbstractContextManager[Endpoint]:
    """Return the endpoint of a server of one's own.

    Raises:
        BadSetting: no address is given, and the maker's own server needs a key.
    """
    if llm.base_url is None:
        raise BadSetting(
            f"{llm.model} needs an API key, or the address of a server of your own as base_url. "
            "From Python hand the key in: Talk(endpoint=lambda llm: open_endpoint(llm, key))."
        )
    return open_endpoint(llm, None)


@dataclass(frozen=True, slots=True)
class Talk:
    """Whom a run tells, and whom it may ask."""

    say: Callable[[str], None] = field(default=lambda sentence: None)
    progress: Progress = silent
    # Entered while work can be stopped and gone on with; yields whether someone asked for it.
    stoppable: Callable[[], AbstractContextManager[Callable[[], bool]]] = field(
        default=lambda: nullcontext(lambda: False)
    )
    # Opens the way to a language model: whoever calls has the keys.
    endpoint: Callable[[LlmSettings], AbstractContextManager[Endpoint]] = without_key


def best_of(best_step: int, steps: int) -> str:
    """Say which weights of a training were kept; that the base was never beaten, aloud."""
    if best_step:
        return f"Kept the weights after step {best_step} of {steps}."
    return (
        "Training never beat the base on dev, so the base's weights were kept. Try a lower "
        "training.learning_rate, or look at the pairs with `nearfar check`."
    )
