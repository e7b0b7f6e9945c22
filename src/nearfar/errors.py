"""Everything nearfar raises on purpose.

NearfarError
├── BadFile          a file or folder is missing, unreadable, damaged or of another kind
├── BadRecord        a row of data breaks its contract; names the file and the line
├── BadSetting       a recipe or an option is not allowed; names the key and the choices
├── BadModel         a model folder cannot be loaded, or is not the one that was asked for
├── SpaceMismatch    vectors of two different spaces were about to be compared
├── DataMismatch     results were about to be compared that do not measure the same thing
├── Diverged         training has stopped making sense: a loss or a weight is not a number
├── StoreFull        a disk or a server has no more room; what was kept before is kept
├── RankLost         a process of a run of several ended before the others
└── Stopped          someone asked long work to stop; what is done is kept

A message says what was expected, what was found, where, and what to do next.
`assert` is kept for our own mistakes: no input of a user can reach one.
"""


class NearfarError(Exception):
    """A problem the user can fix; the command line prints it without a traceback."""


class BadFile(NearfarError):
    """A file or folder is missing, unreadable, damaged or of another kind."""


class BadRecord(NearfarError):
    """A row of data breaks its contract."""


class BadSetting(NearfarError):
    """A recipe or an option is not allowed."""


class BadModel(NearfarError):
    """A model folder cannot be loaded, or is not the one that was asked for."""


class SpaceMismatch(NearfarError):
    """Vectors of two different spaces were about to be compared."""


class DataMismatch(NearfarError):
    """Results were about to be compared that do not measure the same thing."""


class Diverged(NearfarError):
    """Training has stopped making sense: a loss or a weight is not a number."""


class StoreFull(NearfarError):
    """A disk or a server has no more room; what was kept before is kept."""


class RankLost(NearfarError):
    """A process of a run of several ended before the others."""


class Stopped(NearfarError):
    """Someone asked long work to stop; what is done is kept."""


def said(error: Exception) -> str:
    """Return in one line what a library said as it gave up, or what its error is called."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def require(holds: bool, key: str, expected: str, found: object) -> None:
    """Raise BadSetting unless it holds; NaN holds nothing."""
    if not holds:
        raise BadSetting(f"{key} must be {expected}, got {found!r}.")
