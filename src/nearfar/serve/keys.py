"""API keys: a file that names who may ask, for what, and how often, and holds no key itself.

A key is 32 random bytes, and the file keeps its SHA-256. Slow hashes (argon2, bcrypt) guard what
people choose, since that can be guessed; nobody guesses one of 2^256, and a slow hash would cost
every request its time, and whoever sends false keys could keep the server busy with them.
"""

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from nearfar.errors import BadFile, BadSetting, NearfarError, require, said
from nearfar.files import lock, whole_file

Right = Literal["read", "write", "admin"]
RIGHTS: tuple[Right, ...] = get_args(Right)
FORMAT = 1
_BEGINS = "nf_"  # so that people, and those who scan for lost secrets, see what it is
_BYTES = 32
_LONGEST = 200  # characters of what is sent as a key: more is hashed by nobody
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """Who may do what; logs name the name."""

    name: str
    sha256: str
    rights: tuple[Right, ...]
    requests_per_minute: float | None = None  # None: as the server says
    created: str = ""  # ISO 8601
    revoked: str = ""  # ISO 8601; empty: it holds

    def may(self, right: Right) -> bool:
        """Tell whether it has a right; who may administer may do all."""
        return right in self.rights or "admin" in self.rights


def read_keys(path: Path) -> tuple[Key, ...]:
    """Return every key of a file, the revoked ones too.

    Raises:
        BadFile: it is not there, or is no file of keys.
    """
    try:
        facts = json.loads(path.read_bytes())
        if (found := facts["format"]) != FORMAT:
            raise ValueError(f"its format is {found!r}, not {FORMAT}")
        keys = tuple(_key(one) for one in facts["keys"])
        if len({key.name for key in keys}) < len(keys):
            raise ValueError("two keys have one name")
        return keys
    except FileNotFoundError as error:
        raise BadFile(
            f"{path}: expected a file of keys, found none. Make it, and a key in it, with "
            f"`nearfar keys add {path} NAME`."
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError, BadSetting) as error:
        raise BadFile(
            f"{path}: expected a file of keys ({said(error)}). It is written by `nearfar keys`; "
            "put back the copy you have, or make it anew."
        ) from error


def add_key(
    path: Path, name: str, rights: Sequence[str], *, at: str,
    requests_per_minute: float | None = None,
) -> str:  # fmt: skip
    """Put a new key into a file, which need not be there yet.

    Args:
        path: of the file.
        name: of who gets the key; never one that another had.
        rights: of RIGHTS.
        at: ISO 8601.
        requests_per_minute: the most that it may ask; None: as the server says.

    Returns:
        The key, which is written down nowhere.

    Raises:
        BadSetting: a name or a right is not allowed, or the name is taken.
        BadFile: the file is no file of keys, or somebody else changes it now.
    """
    token = _BEGINS + secrets.token_urlsafe(_BYTES)
    key = _checked(
        Key(name=name, sha256=_digest(token), rights=tuple(rights), created=at,  # type: ignore[arg-type]
            requests_per_minute=requests_per_minute)
    )  # fmt: skip
    with _changing(path):
        keys = read_keys(path) if path.exists() else ()
        if any(one.name == name for one in keys):
            raise BadSetting(
                f"{path}: {name!r} is taken, by a key that holds or one that was revoked: logs "
                "tell keys apart by name. Choose another, such as the next number."
            )
        _write(path, (*keys, key))
    return token


def revoke_key(path: Path, name: str, *, at: str) -> Key:
    """Let a key hold no more; servers that run notice within a second.

    Raises:
        BadSetting: there is none of that name, or it was revoked before.
        BadFile: the file is no file of keys, or somebody else changes it now.
    """
    with _changing(path):
        keys = read_keys(path)
        found = next((key for key in keys if key.name == name), None)
        if found is None:
            known = ", ".join(key.name for key in keys) or "none"
            raise BadSetting(f"{path}: expected a key named {name!r}; there are: {known}.")
        if found.revoked:
            raise BadSetting(f"{path}: {name!r} was revoked at {found.revoked} already.")
        gone = replace(found, revoked=at)
        _write(path, tuple(gone if key is found else key for key in keys))
    return gone


def find_key(keys: Sequence[Key], token: str) -> Key | None:
    """Return the key that was sent, if it holds.

    Every key is compared whole, so that the time says nothing of how near a guess came.
    """
    if len(token) > _LONGEST:
        return None
    digest, found = _digest(token), None
    for key in keys:
        if hmac.compare_digest(digest, key.sha256) and not key.revoked:
            found = key
    return found


class KeyRing:
    """The keys of a file as it stands now: what is added or revoked counts without a restart."""

    def __init__(self, path: Path, tell: Callable[[str], None]) -> None:
        """Read the file.

        Args:
            path: of the file.
            tell: gets a sentence if the file cannot be read any more.

        Raises:
            BadFile: it cannot be read.
        """
        self._path, self._tell = path, tell
        self._keys = read_keys(path)
        self._seen = self._state()

    def find(self, token: str) -> Key | None:
        """Return the key that was sent, if it holds."""
        if (state := self._state()) != self._seen:
            self._seen = state
            try:
                self._keys = read_keys(self._path)
            except (NearfarError, OSError) as error:  # half a file must not lock everybody out
                self._tell(f"The keys read before still hold: {said(error)}")
        return find_key(self._keys, token)

    def _state(self) -> tuple[int, ...]:
        try:
            now = self._path.stat()
        except OSError:
            return ()
        return now.st_ino, now.st_mtime_ns, now.st_size


def _key(facts: dict[str, Any]) -> Key:
    key = Key(**facts | {"rights": tuple(facts["rights"])})
    if not _SHA256.fullmatch(key.sha256):
        raise ValueError(f"the hash of {key.name!r} is not 64 hex digits")
    return _checked(key)


def _checked(key: Key) -> Key:
    require(
        isinstance(key.name, str) and _NAME.fullmatch(key.name) is not None, "A key's name",
        "1 to 64 letters, digits, dots, - and _, a letter or digit first", key.name,
    )  # fmt: skip
    for right in key.rights:
        require(right in RIGHTS, "A right", f"one of {', '.join(RIGHTS)}", right)
    require(bool(key.rights), "The rights of a key", f"some of {', '.join(RIGHTS)}", "none")
    rate = key.requests_per_minute
    require(rate is None or (isinstance(rate, int | float) and rate >= 1),
            "requests_per_minute", "1 or more", rate)  # fmt: skip
    return key


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def _write(path: Path, keys: tuple[Key, ...]) -> None:
    facts = {"format": FORMAT, "keys": [asdict(key) for key in keys]}
    with whole_file(path) as part:
        part.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


@contextmanager
def _changing(path: Path) -> Iterator[None]:
    """Keep others from changing the file meanwhile: a revocation must not be lost."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("a") as file:
        lock(file.fileno(), f"{path}: somebody else changes the keys at this moment. Try again.")
        yield
