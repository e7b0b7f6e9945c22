"""Which system is meant: a word on the command line becomes something that finds."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from nearfar.data.dataset import Dataset
from nearfar.data.words import VERSION
from nearfar.errors import BadSetting
from nearfar.evaluation.runs import read_run
from nearfar.evaluation.served import ServedEncoder
from nearfar.evaluation.systems import (
    Search,
    System,
    encoder_system,
    run_system,
    served_system,
    words_system,
)
from nearfar.fingerprint import file_sha256
from nearfar.llm.embedding import EmbeddingClient
from nearfar.llm.messages import Endpoint
from nearfar.llm.settings import LlmSettings
from nearfar.model.locate import locate
from nearfar.model.text import TextEncoder, TextSettings
from nearfar.progress import Progress
from nearfar.records import Role
from nearfar.search.index import contents
from nearfar.search.lexical_file import LexicalIndex, best_rows, write_lexical
from nearfar.stores.words_index import K1, B

WORDS = "bm25"
_RUN = "run:"
_NAME = re.compile(r"\w[\w.+-]{0,99}")  # it becomes the name of a folder
_SERVED = ("http://", "https://")

OpenEndpoint = Callable[[LlmSettings], AbstractContextManager[Endpoint]]


@dataclass(frozen=True, slots=True)
class Prompts:
    """What a model reads before a text; None: what its folder says, and of a server nothing."""

    query: str | None = None
    document: str | None = None


_NO_PROMPTS = Prompts()


@dataclass(frozen=True, slots=True)
class _Server:
    """An address of the form http://host/v1#model."""

    address: str
    model: str


def require_system(name: str, what: str) -> None:
    """Raise BadSetting unless a name can be that of a folder, and says a system that may be.

    What lies on disk is looked for too; a hub is not asked yet.
    """
    if not _NAME.fullmatch(name):
        raise BadSetting(
            f"--system {name}={what}: expected a short name of letters, digits, '.', '-', '_' and "
            f"'+' before the '=', found {name!r}. A folder will be called so."
        )
    if what.startswith(_SERVED):
        _server(name, what)
    elif what.startswith(_RUN):
        path = Path(what.removeprefix(_RUN))
        if not path.is_file():
            raise BadSetting(f"--system {name}={what}: {path} is no file. Check the path.")
    elif not what:
        raise BadSetting(
            f"--system {name}=: expected a model (folder, package:NAME or hub id), {WORDS}, "
            "run:FILE or http://host/v1#model, found nothing."
        )


def is_model(what: str) -> bool:
    """Tell whether a system is a model: it reads tokens, which may cost, and prompts."""
    return what != WORDS and not what.startswith(_RUN)


@contextmanager
def opened(
    name: str,
    what: str,
    open_endpoint: OpenEndpoint,
    progress: Progress,
    prompts: Prompts = _NO_PROMPTS,
) -> Iterator[System]:
    """Yield a system that is ready to work; its connections are closed at the end.

    Args:
        name: what people call it.
        what: as `require_system` has seen it.
        open_endpoint: opens the way to a server.
        progress: told while a run is read.
        prompts: of a model; what is none has none.

    Raises:
        BadModel: a model cannot be loaded.
        BadFile, BadRecord: a run cannot be read.
    """
    if what.startswith(_SERVED):
        server = _server(name, what)
        # Vectors are no talk: of a talk's settings the address, the pace and the patience count.
        settings = LlmSettings(model=server.model, api="openai", base_url=server.address)
        with open_endpoint(settings) as endpoint:
            put = {"query_prompt": prompts.query or "", "document_prompt": prompts.document or ""}
            encoder = ServedEncoder(EmbeddingClient(endpoint, settings), **put)
            facts = {"address": server.address, "model": server.model, **put}
            yield served_system(name, encoder, encoder.count, facts)
    elif what.startswith(_RUN):
        path = Path(what.removeprefix(_RUN))
        run = read_run(path, progress=progress)
        yield run_system(name, run, {"sha256": file_sha256(path), "tag": run.tag})
    elif what == WORDS:
        yield words_system(name, _words, {"words": VERSION, "k1": K1, "b": B})
    else:
        yield _model(name, what, prompts)


def _server(name: str, what: str) -> _Server:
    address, _, model = what.partition("#")
    if "@" in address.split("/", 3)[2] or "?" in address:
        raise BadSetting(
            f"--system {name}: expected an address without a user, a password or a '?', since it "
            "is written into files, found one with them. Put the key into OPENAI_API_KEY."
        )
    if not model:
        raise BadSetting(
            f"--system {name}={what}: expected the model after a '#', as in "
            f"{address.rstrip('/')}#text-embedding-3-small."
        )
    LlmSettings(model=model, api="openai", base_url=address)  # says what is wrong with it
    return _Server(address.rstrip("/"), model)


def _model(name: str, what: str, prompts: Prompts) -> System:
    folder = locate(what)
    settings = TextSettings(query_prompt=prompts.query, document_prompt=prompts.document)
    encoder = TextEncoder.load(folder, settings)

    def count(texts: Sequence[str], role: Role) -> int:
        return sum(encoder.tokens.count(texts, role))

    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    costs = {
        "parameters": float(sum(weight.numel() for weight in encoder.network.parameters())),
        "download_bytes": float(size),
    }
    return encoder_system(name, encoder, count=count, costs=costs)


@contextmanager
def _words(dataset: Dataset, progress: Progress) -> Iterator[tuple[Search, int]]:
    """Yield a search by the words of all documents, and the bytes of its index."""
    with TemporaryDirectory(prefix="nearfar-words-") as place:
        folder = Path(place) / "lexical"
        write_lexical(folder, lambda: contents(dataset), progress=progress)
        index = LexicalIndex(folder, dataset.count("documents"))
        size = sum(file.stat().st_size for file in folder.iterdir())
        yield lambda query, depth: best_rows(index.scores(query), depth), size
