"""Which reader reads which kind of source: a table of functions, one line a kind."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from platform import python_version
from typing import Any, Protocol

from nearfar.data.beir import BeirReader, beir_files, is_beir
from nearfar.data.clicks.columns import ClickColumns
from nearfar.data.clicks.documents import documents_file
from nearfar.data.clicks.reader import ClickReader
from nearfar.data.clicks.settings import Clicks
from nearfar.data.columns import Columns
from nearfar.data.hub import HubSource, fetch, is_hub
from nearfar.data.labels import OUT_OF_SCOPE, LabelsReader
from nearfar.data.lines import require_file
from nearfar.data.modules import PYTHON
from nearfar.data.nli import NliReader
from nearfar.data.notes import Bundle, Notes, Record
from nearfar.data.pairs import FaqReader, PairsReader, TitlesReader
from nearfar.data.python_docs import PythonDocsReader
from nearfar.data.rejects import Rejects
from nearfar.data.rows import files_of_rows, kind_of_rows
from nearfar.data.similar import ParaphrasesReader, StsReader
from nearfar.data.splits import Shares
from nearfar.data.table import TableReader
from nearfar.data.tickets import TicketsReader
from nearfar.data.translations import TranslationsReader
from nearfar.data.views import TextsReader
from nearfar.errors import BadFile, BadSetting
from nearfar.fingerprint import canonical_json, file_sha256

PYTHON_DOCS = "python-docs"
BEIR = "beir"
CLICKS = "clicks"
_BYTES_HASHED = 1 << 30  # of a larger file, the size stands in for the hash


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """How a source is to be read; each reader takes what concerns it."""

    kind: str | None = None  # pairs, faq, nli, ...; None: as the source looks
    keep_splits: bool = True  # False: divide anew by the hash of the groups
    origin_kind: str = ""  # who judged: human, click, ...; "" is what the kind says
    group_field: str = ""  # BEIR: a key of the documents
    columns: Columns = field(default_factory=Columns)  # what is called what
    packages: tuple[str, ...] | None = None  # python-docs: None is the standard library alone
    score_max: float | None = None  # sts: the score of two texts of one meaning; None: guessed
    pivot: str = ""  # translations by key: the language of the documents; "": English
    documents_per_label: int = 8  # labels: texts of a label that the others are to find
    pairs_per_label: int = 1_000  # labels: in each split; further texts are left out
    out_of_scope: tuple[str, ...] = OUT_OF_SCOPE  # labels: those whose texts have no answer
    views: tuple[str, ...] = ("same",)  # texts: same, deletion, crop, letters, keyboard
    seed: int = 0  # labels, texts: of what is drawn
    documents: str = ""  # clicks: where the texts are; "": in the log
    clicks: Clicks = field(default_factory=Clicks)  # what counts as evidence
    click_columns: ClickColumns = field(default_factory=ClickColumns)
    shares: Shares = field(default_factory=Shares)  # where the source gives no split


class RecordReader(Protocol):
    """What yields records one by one."""

    notes: Notes

    def records(self) -> Iterator[Record]:
        """Yield the records."""
        ...


@dataclass(frozen=True, slots=True)
class Opened:
    """A source that is ready to be read."""

    kind: str
    bundles: Callable[[], Iterator[Bundle]]
    notes: Notes
    parent: Mapping[str, Any]  # what the dataset is made from, enough to see it change
    licence: str = ""  # where the source says it itself


@dataclass(frozen=True, slots=True)
class _Kind:
    reader: type[TableReader]
    origin: str
    options: tuple[str, ...] = ()  # those of ReadOptions that this reader takes


TABLE_KINDS: Mapping[str, _Kind] = {
    "pairs": _Kind(PairsReader, "human"),
    "faq": _Kind(FaqReader, "faq"),
    "titles": _Kind(TitlesReader, "title"),
    "paraphrases": _Kind(ParaphrasesReader, "paraphrase"),
    "nli": _Kind(NliReader, "nli"),
    "sts": _Kind(StsReader, "sts", ("score_max",)),
    "translations": _Kind(TranslationsReader, "translation", ("pivot",)),
    "labels": _Kind(
        LabelsReader,
        "label",
        ("documents_per_label", "pairs_per_label", "out_of_scope", "seed"),
    ),
    "tickets": _Kind(TicketsReader, "ticket"),
    "texts": _Kind(TextsReader, "augmented", ("views", "seed")),
}
KINDS = (*TABLE_KINDS, CLICKS, BEIR, PYTHON_DOCS)


def open_source(source: str | Path, options: ReadOptions, rejects: Rejects) -> Opened:
    """Return a source as what it looks like, or as the kind that was named.

    Raises:
        BadFile: it is a dataset already, is missing, or cannot be fetched.
        BadSetting: there is no such kind, the source cannot be of that kind, or the kind has no
            use for an option of clicks.
    """
    kind = options.kind
    if kind is not None and kind not in KINDS:
        raise BadSetting(f"kind: there is no kind {kind!r}. There are: {', '.join(KINDS)}.")
    _require_use(options)
    if source == PYTHON_DOCS:
        return _python_docs(options, rejects)
    if kind == PYTHON_DOCS:
        raise BadSetting(f"{source}: the kind python-docs is the source python-docs itself.")
    if is_hub(source):
        if kind in (CLICKS, BEIR):
            raise BadSetting(
                f"{source}: a data set of the hub cannot be read as {kind}, only files can. Fetch "
                "its files and name them, or read it as another kind."
            )
        return _table(fetch(str(source)), options, rejects)
    path = Path(source)
    if path.is_dir() and (path / "manifest.json").is_file() and not kind_of_rows(path):
        raise BadFile(f"{path}: this is a dataset already. Use it as it is.")
    if path.is_dir() and is_beir(path) and kind in (None, BEIR):
        reader = BeirReader(
            path,
            group_field=options.group_field,
            keep_splits=options.keep_splits,
            kind=options.origin_kind or "human",
            rejects=rejects,
        )
        parent = {"kind": BEIR, "path": str(path)} | _hash(beir_files(path))
        return Opened(BEIR, reader.bundles, reader.notes, parent)
    return _clicks(path, options, rejects) if kind == CLICKS else _table(path, options, rejects)


def _require_use(options: ReadOptions) -> None:
    """Make sure that no option of clicks is given to another kind, or the reverse, in silence."""
    plain = ReadOptions()
    of_clicks, of_others = ("documents", "clicks", "click_columns"), ("group_field", "keep_splits")
    names = of_others if options.kind == CLICKS else of_clicks
    useless = [name for name in names if getattr(options, name) != getattr(plain, name)]
    if options.kind == CLICKS:
        columns = asdict(options.columns)
        useless += [f"columns.{role}" for role, name in columns.items() if name is not None]
    if not useless:
        return
    advice = (
        "In clicks, click_columns names the columns, and the hash of a query, or the time, "
        "decides its split."
        if options.kind == CLICKS
        else f"Read the source as {CLICKS} (kind), or leave it out."
    )
    who = f"The kind {options.kind}" if options.kind else "A source whose kind is not named"
    raise BadSetting(f"{who} has no use for {', '.join(useless)}. {advice}")


def _clicks(path: Path, options: ReadOptions, rejects: Rejects) -> Opened:
    documents = Path(options.documents) if options.documents else None
    reader = ClickReader(
        path,
        documents=documents,
        wanted=options.click_columns,
        settings=options.clicks,
        shares=options.shares,
        kind=options.origin_kind or "click",
        rejects=rejects,
    )
    parent = {"kind": CLICKS, "path": str(path), "settings": asdict(options.clicks)}
    parent |= _hash(files_of_rows(path))
    if documents is not None:
        parent["documents"] = {"path": str(documents)} | _hash([documents_file(documents)])
    return Opened(CLICKS, reader.bundles, reader.notes, parent)


def _table(source: Path | HubSource, options: ReadOptions, rejects: Rejects) -> Opened:
    name = options.kind or "pairs"
    if name == BEIR:
        raise BadSetting(f"{source}: expected a BEIR folder, with corpus.jsonl and qrels/.")
    kind = TABLE_KINDS[name]
    reader = kind.reader(
        source,
        wanted=options.columns,
        keep_splits=options.keep_splits,
        kind=options.origin_kind or kind.origin,
        rejects=rejects,
        **{option: getattr(options, option) for option in kind.options},
    )
    if isinstance(source, HubSource):
        return Opened(name, reader.bundles, reader.notes, {"kind": name} | source.facts())
    parent = {"kind": name, "path": str(source)} | _hash(files_of_rows(source))
    return Opened(name, reader.bundles, reader.notes, parent)


def _python_docs(options: ReadOptions, rejects: Rejects) -> Opened:
    if options.kind not in (None, PYTHON_DOCS):
        raise BadSetting(f"python-docs cannot be read as {options.kind}; leave the kind out.")
    reader = PythonDocsReader(packages=options.packages)
    packages = list(reader.packages or (PYTHON,))
    parent = {"kind": PYTHON_DOCS, "path": f"python {python_version()}", "packages": packages}
    licence = "PSF-2.0" if packages == [PYTHON] else ""
    return Opened(PYTHON_DOCS, one_by_one(reader, rejects), reader.notes, parent, licence)


def one_by_one(reader: RecordReader, rejects: Rejects) -> Callable[[], Iterator[Bundle]]:
    """Return the bundles of a reader that yields records, each a bundle of its own."""

    def bundles() -> Iterator[Bundle]:
        for record in reader.records():
            rejects.tally.read += 1
            source = getattr(record, "source", "") or getattr(record, "origin", None)
            where = source if isinstance(source, str) else getattr(source, "source", "")
            yield Bundle(where, (record,))

    return bundles


def _hash(files: list[Path]) -> dict[str, Any]:
    hashes = {}
    for path in files:
        require_file(path)
        size = path.stat().st_size
        name = f"{path.parent.name}/{path.name}"
        hashes[name] = file_sha256(path) if size <= _BYTES_HASHED else f"{size} bytes"
    if len(files) == 1:
        return {"sha256": next(iter(hashes.values()))}
    listed = canonical_json(hashes).encode()
    return {"files": len(files), "sha256": hashlib.sha256(listed).hexdigest()}
