"""What the routes of indexes share: which index is meant, and how its errors are said."""

from collections.abc import Iterator
from contextlib import contextmanager

from nearfar.errors import BadModel, BadRecord, BadSetting, NearfarError, StoreFull
from nearfar.serve.errors import Refusal
from nearfar.serve.indexes import Indexes, ServedIndex


@contextmanager
def using(indexes: Indexes, name: str | None) -> Iterator[ServedIndex]:
    """Yield the index of a name, or the default.

    Raises:
        Refusal: there is none; the message names those there are.
    """
    chosen = name or indexes.default or ""
    names = indexes.names
    if chosen not in names:
        said = f"found {_short(chosen)}" if chosen else "the request names none"
        raise Refusal(
            404, f"Expected an index that is served ({', '.join(names) or 'none'}), {said}.",
            param="index", code="index_not_found",
        )  # fmt: skip
    with indexes.using(chosen) as found:
        yield found


@contextmanager
def refusing(*, setting: int = 400, param: str | None = None) -> Iterator[None]:
    """Say what an index refuses as a server does.

    Args:
        setting: the status of what does not fit: 400, or 409 where the index is at fault.
        param: the field of the request that is likely at fault.
    """
    try:
        yield
    except BadSetting as error:
        code = "invalid_value" if setting == 400 else "index_closed"
        raise Refusal(setting, str(error), code=code, param=param) from error
    except BadRecord as error:
        raise Refusal(400, str(error), code="invalid_document", param="documents") from error
    except StoreFull as error:
        raise Refusal(507, str(error), code="store_full") from error
    except BadModel as error:
        raise Refusal(500, str(error), code="model_failed") from error
    except NearfarError as error:  # the index was removed or damaged behind the server's back
        raise Refusal(503, str(error), code="index_failed", retry_seconds=5) from error


def _short(name: str) -> str:
    return repr(name if len(name) <= 80 else name[:77] + "...")
