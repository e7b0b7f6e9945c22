"""`nearfar serve`: embeddings, reranking and search over HTTP; `nearfar keys`: who may ask."""

import datetime as dt
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from nearfar.cli.talking import say

_LIBRARIES = ("fastapi", "orjson", "prometheus_client", "uvicorn")

KeysFile = Annotated[Path, typer.Argument(metavar="FILE", help="Where the keys' hashes stand.")]
KeyName = Annotated[str, typer.Argument(metavar="NAME", help="Of who has the key.")]

keys = typer.Typer(no_args_is_help=True, help="Make, list and revoke the API keys of a server.")


def serve(
    model: Annotated[
        list[str] | None,
        typer.Option(help="NAME=WHERE, repeatable, the first is the default: a folder, "
                     "package:NAME, an id on the hub, or registry:[MODEL@]ALIAS."),
    ] = None,
    reranker: Annotated[
        list[str] | None, typer.Option(help="NAME=WHERE of a reranker, likewise; repeatable.")
    ] = None,
    index: Annotated[
        list[str] | None,
        typer.Option(help="NAME=FOLDER or NAME@MODEL=FOLDER of an index that takes writes, made "
                     "by `nearfar index --store`; repeatable, the first is the default."),
    ] = None,
    feedback: Annotated[
        Path | None, typer.Option(help="Folder that keeps what people make of the answers.")
    ] = None,
    keep_searches: Annotated[
        bool, typer.Option("--keep-searches", help="Keep there what was found: ids and scores.")
    ] = False,
    keep_queries: Annotated[
        bool, typer.Option("--keep-queries", help="And what was asked.")
    ] = False,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0: any that is free.")] = 8080,
    keys: Annotated[Path | None, typer.Option(help="A file made by `nearfar keys add`.")] = None,
    without_keys: Annotated[
        bool, typer.Option("--without-keys", help="Let everybody who reaches the port ask.")
    ] = False,
    registry: Annotated[
        str | None, typer.Option(help="Of registry:ALIAS: a folder, or a URL such as s3://b/r.")
    ] = None,
    look_seconds: Annotated[
        float, typer.Option(help="How often to look whether an alias means another version.")
    ] = 30.0,
    cache: Annotated[
        Path | None, typer.Option(help="For fetched versions. Default: in the user's cache.")
    ] = None,
    requests_per_minute: Annotated[
        float | None, typer.Option(help="Of each key that says nothing else. Default: no end.")
    ] = None,
    requests_at_once: Annotated[
        int, typer.Option(min=1, help="Being answered; more get 429.")
    ] = 256,
    body_mib: Annotated[float, typer.Option(help="The most that one request may send.")] = 16.0,
    texts_per_request: Annotated[int, typer.Option(min=1, help="To embed.")] = 2_048,
    tokens_per_request: Annotated[int, typer.Option(min=1, help="Of all its texts.")] = 300_000,
    waiting_tokens: Annotated[
        int, typer.Option(min=1, help="Of all requests in the queue; more get 429.")
    ] = 600_000,
    tokens_per_batch: Annotated[
        int | None, typer.Option(min=1, help="Padding included. Default: what suits the device.")
    ] = None,
    drain_seconds: Annotated[
        float, typer.Option(help="Between /readyz turning red on SIGTERM and the end.")
    ] = 5.0,
    stop_seconds: Annotated[
        int, typer.Option(min=1, help="That requests under way then get to end.")
    ] = 30,
    cors_origin: Annotated[
        list[str] | None,
        typer.Option(help="Such as https://shop.example: whose pages may ask; repeatable."),
    ] = None,
    log_texts: Annotated[
        bool, typer.Option("--log-texts", help="Log the first 2,000 bytes of what is sent.")
    ] = False,
) -> None:  # fmt: skip
    """Serve models until SIGTERM or Ctrl-C; one line of JSON a request goes to standard output.

    Speaks what clients of OpenAI (/v1/embeddings), Cohere, Jina and Voyage (/v2/rerank,
    /v1/rerank) and text-embeddings-inference (/embed, /rerank) speak. Without --keys it serves
    this machine alone. A model that is a registry's alias is replaced while requests run, once
    the alias means another version that works.
    """
    require_libraries()
    from nearfar.serve.limits import Limits
    from nearfar.serve.logs import Log
    from nearfar.serve.run import run
    from nearfar.serve.served import Bounds
    from nearfar.serve.settings import ServerSettings
    from nearfar.serve.sources import IndexSource, Source

    sources = [Source.parse(text, "model") for text in model or []]
    sources += [Source.parse(text, "reranker") for text in reranker or []]
    settings = ServerSettings(
        sources=tuple(sources), indexes=tuple(map(IndexSource.parse, index or [])),
        feedback=feedback, keep_searches=keep_searches, keep_queries=keep_queries,
        host=host, port=port, keys=keys, without_keys=without_keys, registry=registry,
        look_seconds=look_seconds, cache=cache or _cache(),
        drain_seconds=drain_seconds, stop_seconds=stop_seconds,
        origins=tuple(cors_origin or ()), texts_in_log=log_texts,
        limits=Limits(body_bytes=int(body_mib * 2**20), requests_at_once=requests_at_once,
                      requests_per_minute=requests_per_minute),
        bounds=Bounds(texts_per_request=texts_per_request, tokens_per_request=tokens_per_request,
                      waiting_tokens=waiting_tokens, tokens_per_batch=tokens_per_batch),
    )  # fmt: skip

    def opened(address: str) -> None:
        served = [f"{one.name} ({one.kind})" for one in settings.sources]
        names = ", ".join(served + [f"{one.name} (index)" for one in settings.indexes])
        whom = "" if keys is not None or without_keys else ", for this machine alone"
        say(f"Serving {names} on {address}{whom}. Ctrl-C ends it.")

    run(settings, Log(_line), opened)


@keys.command("add")
def add(
    file: KeysFile,
    name: KeyName,
    right: Annotated[
        list[str] | None,
        typer.Option(help="read, write or admin; repeatable. Default: read."),
    ] = None,
    requests_per_minute: Annotated[
        float | None, typer.Option(help="At most. Default: as the server says.")
    ] = None,
) -> None:
    """Make a key and print it, this once: the file keeps only its hash."""
    from nearfar.serve.keys import add_key

    key = add_key(file, name, right or ["read"], at=_now(), requests_per_minute=requests_per_minute)
    print(key)
    say(f"{file}: {name} may {', '.join(right or ['read'])}. Keep the key: it is shown only now.")


@keys.command("list")
def list_(file: KeysFile) -> None:
    """Say who has a key, and what it allows."""
    from nearfar.serve.keys import read_keys

    for key in read_keys(file):
        rate = key.requests_per_minute
        rate_said = "as often as the server lets it" if rate is None else f"{rate:g} times a minute"
        state = f"revoked {key.revoked}" if key.revoked else f"since {key.created}"
        print(f"{key.name}: {', '.join(key.rights)}; {rate_said}; {state}")


@keys.command("revoke")
def revoke(file: KeysFile, name: KeyName) -> None:
    """Let a key hold no more; a server that runs refuses it from its next request on."""
    from nearfar.serve.keys import revoke_key

    key = revoke_key(file, name, at=_now())
    print(f"{file}: {key.name} was revoked.")


def require_libraries() -> None:
    """Refuse to begin where the libraries of a server are missing.

    Raises:
        BadSetting: names the extra that brings them.
    """
    import importlib

    from nearfar.errors import BadSetting

    for library in _LIBRARIES:
        try:
            importlib.import_module(library)
        except ImportError as error:
            raise BadSetting(
                f"`nearfar serve` needs {library}, which is not installed. Install all that a "
                "server needs with `pip install 'nearfar[serve]'`."
            ) from error


def _line(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()  # whoever reads the log reads it now


def _cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "nearfar" / "releases"


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
