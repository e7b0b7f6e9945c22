"""Single keys of a terminal, whichever system it is; lines where there is no terminal."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

END = "\x04"  # what Ctrl-D sends, and what stands for the end of all input


class Keyboard(Protocol):
    """Where keys come from."""

    def key(self) -> str:
        """Wait for a key; `END` if there will be none."""
        ...

    def line(self, prompt: str) -> str:
        """Ask for a line of text."""
        ...


@contextmanager
def keyboard() -> Iterator[Keyboard]:
    """Yield the keys of standard input; the terminal is as before at the end, whatever happens."""
    if not sys.stdin.isatty():
        yield Lines()
    elif sys.platform == "win32":
        yield _Windows()
    else:
        import termios

        handle = sys.stdin.fileno()
        before = termios.tcgetattr(handle)
        try:
            yield _Terminal(handle, before)
        finally:
            termios.tcsetattr(handle, termios.TCSADRAIN, before)


class Lines:
    """Keys from lines: the first letter is the key, the rest the text that it asks for."""

    def __init__(self) -> None:
        self._rest = ""

    def key(self) -> str:
        """Read a line; blank ones are passed over."""
        for line in sys.stdin:
            if words := line.strip():
                self._rest = words[1:].strip()
                return words[0]
        return END

    def line(self, prompt: str) -> str:
        """Return what stood behind the key."""
        return self._rest


if sys.platform == "win32":

    class _Windows:
        """Keys of a console of Windows."""

        def key(self) -> str:
            import msvcrt

            key = msvcrt.getwch()
            if key in "\x00\xe0":  # an arrow or the like: its second half follows
                msvcrt.getwch()
                return ""
            if key == "\x03":
                raise KeyboardInterrupt
            return END if key == "\x1a" else key

        def line(self, prompt: str) -> str:
            return input(prompt)

else:
    import os

    class _Terminal:
        """Keys of a terminal that is read without waiting for the end of a line."""

        def __init__(self, handle: int, before: list[Any]) -> None:
            import tty

            self._handle, self._before, self._waiting = handle, before, ""
            self._single = tty.setcbreak
            self._single(handle)

        def key(self) -> str:
            if not self._waiting:
                read = os.read(self._handle, 64)
                if not read:
                    return END
                self._waiting = read.decode(errors="ignore")
            if self._waiting[:1] == "\x1b":  # an arrow or the like, whose letters are no keys
                self._waiting = ""
            key, self._waiting = self._waiting[:1], self._waiting[1:]
            return key

        def line(self, prompt: str) -> str:
            import termios

            termios.tcsetattr(self._handle, termios.TCSADRAIN, self._before)
            self._waiting = ""
            try:
                return input(prompt)
            except EOFError:
                return ""
            finally:
                self._single(self._handle)
