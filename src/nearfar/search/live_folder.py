"""The folder of an index that takes writes: which store it is in, and where that stands."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit, urlunsplit

from nearfar.data.dataset import Dataset
from nearfar.data.tables import TEXT_COLUMNS
from nearfar.errors import BadFile, BadRecord, BadSetting
from nearfar.files import whole_file
from nearfar.search.live_facts import FORMAT
from nearfar.stores.contract import Kind, Shelf

StoreKind = Literal["lance", "postgres"]
STORES = ("files", "lance", "postgres://USER@HOST/DATABASE")
_POSTGRES = ("postgres", "postgresql")
_CARD = "index.json"
_VERSIONS = "versions"  # where LanceDB keeps its tables
_KINDS: dict[str, Kind] = {"string": "text", "int64": "integer", "double": "number",
                           "bool": "truth"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class LiveFolder:
    """Where an index stands; written as index.json, beside what LanceDB writes."""

    folder: Path
    kind: StoreKind
    url: str = ""  # of a server, without its password
    index: str = ""  # its name there

    @classmethod
    def of_store(cls, folder: Path, store: str) -> "LiveFolder":
        """Return the place that is meant by what people call a store.

        Raises:
            BadSetting: the store is unknown, or its address carries a password.
        """
        if store == "lance":
            return cls(folder, "lance")
        parts = urlsplit(store)
        if parts.scheme not in _POSTGRES or not parts.netloc + parts.query:
            raise BadSetting(f"--store must be one of {', '.join(STORES)}, got {_shown(store)!r}.")
        if parts.password is not None:
            raise BadSetting(
                f"--store {_shown(store)}: expected an address without a password, since it is "
                "kept in the folder. PostgreSQL takes the password from PGPASSWORD or ~/.pgpass."
            )
        return cls(folder, "postgres", url=store, index=folder.resolve().name)

    @property
    def called(self) -> str:
        """What people call the store."""
        return "LanceDB" if self.kind == "lance" else "PostgreSQL"

    def shelf(self) -> Shelf:
        """Open the store.

        Raises:
            BadSetting: its library is not installed.
            BadFile: it cannot be reached, or holds something else.
        """
        if self.kind == "lance":
            from nearfar.stores.lance import LanceShelf

            return LanceShelf(self.folder / _VERSIONS)
        from nearfar.stores.postgres import PostgresShelf

        return PostgresShelf(self.url, self.index)

    def write(self) -> None:
        """Write down where the index stands."""
        told = {"format": FORMAT, "store": self.kind, "url": self.url, "index": self.index}
        with whole_file(self.folder / _CARD) as part:
            part.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


def format_of(folder: Path) -> int | None:
    """Return the format of the index in a folder; None: there is none, or it cannot be read."""
    try:
        told = json.loads((folder / _CARD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    found = told.get("format") if isinstance(told, dict) else None
    return found if isinstance(found, int) else None


def read_folder(folder: Path) -> LiveFolder:
    """Return where the index of a folder stands.

    Raises:
        BadFile: the folder is no index that takes writes.
    """
    path = folder / _CARD
    try:
        told: Any = json.loads(path.read_text(encoding="utf-8"))
        if told["format"] == FORMAT and told["store"] in ("lance", "postgres"):
            return LiveFolder(folder, told["store"], str(told["url"]), str(told["index"]))
        found = f"format {told['format']!r}, store {told.get('store')!r}"
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        found = f"{type(error).__name__}: {error}"
    raise BadFile(
        f"{path}: expected an index that takes writes, found {found}. Make one with "
        "`nearfar index DATASET FOLDER --store lance`."
    )


def fields_of(dataset: Dataset) -> dict[str, Kind]:
    """Return the fields of a dataset's documents, and their kinds.

    Raises:
        BadFile: the table cannot be read.
        BadRecord: a field is of a kind that no search can be narrowed by.
    """
    schema = next((batch.schema for batch in dataset.batches("documents")), None)
    found: dict[str, Kind] = {}
    for one in schema or ():
        if one.name in TEXT_COLUMNS:
            continue
        if str(one.type) not in _KINDS:
            raise BadRecord(
                f"{dataset.folder}: the field {one.name!r} holds {one.type}, and expected is one "
                f"of {', '.join(_KINDS)}. Import the source again."
            )
        found[one.name] = _KINDS[str(one.type)]
    return found


def _shown(store: str) -> str:
    """Return an address without its password: it may end in a log."""
    parts = urlsplit(store)
    if parts.password is None:
        return store
    return urlunsplit(parts._replace(netloc=parts.netloc.replace(f":{parts.password}@", ":...@")))
