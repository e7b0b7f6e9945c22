"""From a TOML table to frozen settings: unknown keys are refused with the nearest name."""

import difflib
import tomllib
import typing
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from nearfar.errors import BadSetting

T = TypeVar("T")


def settings_from(
    kind: type[T], table: Mapping[str, Any], *, where: str, key: str = "", default: T | None = None
) -> T:
    """Return the settings that a table describes.

    Args:
        kind: a frozen dataclass; fields that are dataclasses are tables within the table.
        table: what the file says; "none" is None, where a setting can be that.
        where: the file, for messages.
        key: the path of the table within the file, for messages.
        default: what holds for all that the table leaves out; None: the defaults of `kind`.

    Raises:
        BadSetting: a key is unknown or missing, or a value is not allowed; names file and key.
    """
    known: dict[str, Field[Any]] = {f.name: f for f in fields(kind)}  # type: ignore[arg-type]
    hints = typing.get_type_hints(kind)
    for name in table:
        if name not in known:
            raise BadSetting(_unknown(where, _join(key, name), name, list(known)))
    values = {
        name: _value(hints[name], value, _default(known[name]), where=where, key=_join(key, name))
        for name, value in table.items()
    }
    if default is not None:
        values = {name: getattr(default, name) for name in known} | values
    for name, field in known.items():
        if name not in values and field.default is MISSING and field.default_factory is MISSING:
            raise BadSetting(f"{where}: {_join(key, name)} is missing. Add it; it has no default.")
    try:
        return kind(**values)
    except BadSetting as error:  # a setting that checks itself does not know its file
        raise BadSetting(f"{where}: {error}") from error


def changed(kind: type[T], changes: Sequence[str]) -> T:
    """Return settings of a kind that has a default for everything, with some changes.

    Raises:
        BadSetting: names the key, what was found and what is allowed.
    """
    table: dict[str, Any] = {}
    for change in changes:
        apply_change(table, change)
    return settings_from(kind, table, where="--set")


def apply_change(table: dict[str, Any], change: str) -> None:
    """Put a change such as "training.seed=1" into a table of tables.

    Raises:
        BadSetting: it is no change, or names a setting as if it were a table.
    """
    key, equals, text = change.partition("=")
    if not equals:
        raise BadSetting(f"Expected KEY=VALUE such as training.seed=1, got {change!r}.")
    *parents, name = key.strip().split(".")
    for parent in parents:
        table = table.setdefault(parent, {})
        if not isinstance(table, dict):
            raise BadSetting(f"{change!r}: {parent} is a setting, not a table of settings.")
    try:
        table[name] = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        table[name] = text.strip()  # a bare word is a string


def _default(field: Field[Any]) -> Any:
    """Return what a setting is where nothing is said; None also where something must be."""
    if field.default_factory is not MISSING:
        return field.default_factory()
    return None if field.default is MISSING else field.default


def _value(hint: Any, value: Any, default: Any, *, where: str, key: str) -> Any:
    table_kind = next((kind for kind in _members(hint) if is_dataclass(kind)), None)
    if table_kind is not None and isinstance(value, Mapping | list):
        several = typing.get_origin(hint) is tuple
        if several != isinstance(value, list):
            wanted = f"a list of tables, [[{key}]]" if several else f"one table, [{key}]"
            raise BadSetting(f"{where}: {key}: expected {wanted}, got {value!r}.")
        if isinstance(value, list):
            return tuple(
                _value(table_kind, one, None, where=where, key=f"{key}[{i}]")
                for i, one in enumerate(value)
            )
        assert isinstance(table_kind, type)
        held = default if isinstance(default, table_kind) else None
        return settings_from(table_kind, value, where=where, key=key, default=held)
    if value == "none" and type(None) in _members(hint) and str not in _members(hint):
        return None  # TOML has no word for it
    try:
        # Strict, so that a number in quotes is a mistake; yet 1 is a float and a list a tuple.
        adapter = TypeAdapter(hint, config=ConfigDict(strict=True))
        return adapter.validate_json(_as_json(value))
    except (ValidationError, TypeError) as error:
        problem = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise BadSetting(f"{where}: {key}: {problem}, got {value!r}.") from error


def _members(hint: Any) -> tuple[Any, ...]:
    return typing.get_args(hint) or (hint,)


def _as_json(value: Any) -> str:
    import json

    return json.dumps(value, default=str)  # a date, which TOML knows and JSON does not


def _unknown(where: str, key: str, name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"Did you mean {close[0]!r}?" if close else f"There are: {', '.join(known)}."
    return f"{where}: {key} is not a setting. {hint}"


def _join(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name
