"""`nearfar release`: put a model that passed the gate into a registry, with its card."""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from nearfar.lineage.things import Lineage
    from nearfar.release.registry import Done, Sign

Registry = Annotated[str, typer.Argument(help="A folder, or an fsspec URL such as s3://bucket/r.")]
Why = Annotated[str, typer.Option(help="Kept in the history of the alias.")]
By = Annotated[str | None, typer.Option(help="Who changes the alias. Default: the user here.")]
TestSet = Annotated[
    Path | None, typer.Option(help="The dataset that the verdict must be on; else refused.")
]


def release(
    model: Annotated[
        str,
        typer.Argument(help="Encoder or reranker: a folder, package:NAME, or the id on the hub."),
    ],
    registry: Registry,
    name: Annotated[str, typer.Option(help="Of the model in the registry.")],
    verdict: Annotated[Path, typer.Option(help="Folder of `nearfar gate` on this very model.")],
    report: Annotated[
        Path | None, typer.Option(help="Folder of `nearfar evaluate`, for the card.")
    ] = None,
    alias: Annotated[str, typer.Option(help="Name that this version gets.")] = "candidate",
    dataset: TestSet = None,
    licence: Annotated[str, typer.Option(help="Of the model, such as apache-2.0.")] = "unknown",
    language: Annotated[
        list[str] | None, typer.Option(help="Code such as de; repeatable. Default: the cohorts'.")
    ] = None,
    base_model: Annotated[
        str, typer.Option(help="Id on the hub of the model that training began with.")
    ] = "",
    workspace: Annotated[
        Path, typer.Option(help="Where the data behind the model is looked for.")
    ] = Path(),
    push: Annotated[
        str | None, typer.Option(metavar="ORG/NAME", help="Upload it to the 🤗 hub too.")
    ] = None,
    public: Annotated[
        bool, typer.Option("--public", help="With --push: a new repository that all can see.")
    ] = False,
    mlflow: Annotated[
        str | None, typer.Option(metavar="URI", help="Register it in MLflow too.")
    ] = None,
    why: Why = "",
    by: By = None,
) -> None:
    """Release an encoder or a reranker whose verdict passed, for this exact model and dataset.

    A reranker is judged by what it makes of an encoder's candidates: the verdict is one on the
    scores of both, REPORT/reranked-scores of `nearfar evaluate --rerank`.

    Exit code 3: the verdict blocks it. 4: its evidence was not enough. 5: the verdict or the
    report is on another model or other data. The same release twice is one version.
    """
    from nearfar.release.card import About
    from nearfar.release.registry import Evidence
    from nearfar.release.registry import release as release_it
    from nearfar.release.sharing import require_hub, require_mlflow

    if push is not None:
        require_hub(push)
    if mlflow is not None:
        require_mlflow()
    about = About(
        name=name, licence=licence, languages=tuple(language or ()), base_model=base_model
    )
    with refused():
        evidence = Evidence(verdict=verdict, report=report, dataset=dataset,
                            lineage=_lineage(model, workspace))  # fmt: skip
        done = release_it(model, registry, about, evidence, alias=alias, sign=sign(by, why))
    show(done, name, alias)
    if push is not None or mlflow is not None:
        _share(done, registry, push=push, public=public, mlflow=mlflow, alias=alias)


@contextmanager
def refused() -> Iterator[None]:
    """Say why a verdict does not let a model go there, and end with the gate's exit code."""
    from nearfar.release.admission import NotPassed

    try:
        yield
    except NotPassed as no:
        print(f"nearfar: {no}", file=sys.stderr)
        raise typer.Exit(no.exit_code) from no


def sign(by: str | None, why: str) -> "Sign":
    """Return who is at work here, and why."""
    import getpass

    from nearfar.release.registry import Sign

    try:
        return Sign(by=by or getpass.getuser(), why=why)
    except (OSError, KeyError):  # a container without a user of that number
        return Sign(by="unknown", why=why)


def show(done: "Done", name: str, alias: str) -> None:
    """Print what an alias means now."""
    version, before = done.release.version, done.before
    was = "" if before in (None, version) else f", and was {str(before)[:12]}"
    if before == version:
        was = ", as before"
    print(f"{name}@{alias} is {version[:12]}{was}.")
    for note in done.notes:
        print(f"Note: {note}")


def _lineage(model: str, workspace: Path) -> "Lineage | None":
    """Return all that made a model; None if it was not trained here."""
    from nearfar.lineage.walk import lineage
    from nearfar.lineage.workspace import scan

    folder = Path(model)
    if not (folder / "nearfar.json").is_file():
        return None
    return lineage(folder, scan(workspace))


def _share(
    done: "Done", registry: str, *, push: str | None, public: bool, mlflow: str | None, alias: str
) -> None:
    from nearfar.release.fetching import fetch
    from nearfar.release.places import open_place
    from nearfar.release.sharing import push_to_hub, push_to_mlflow

    with tempfile.TemporaryDirectory(prefix="nearfar-") as home:
        folder = Path(home) / done.release.name
        fetch(open_place(registry), done.release, folder)
        if push is not None:
            print(f"hub: {push_to_hub(folder, done.release, push, public=public)}")
        if mlflow is not None:
            print(f"mlflow: {push_to_mlflow(folder, done.release, mlflow, alias=alias)}")
