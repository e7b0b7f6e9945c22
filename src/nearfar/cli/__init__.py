"""The command line: reads arguments, calls one function, prints, sets the exit code.

Exit codes: 0 done, 1 left to Python itself, 2 something for the user to fix, 3 a candidate that
is blocked and 4 evidence that is not enough (`nearfar gate`), 5 data that cannot be trusted or
compared, 70 our bug, 130 stopped by Ctrl-C.
"""

import errno
import os
import sys
import traceback
from typing import Annotated

import typer

import nearfar
from nearfar.cli import (
    audit,
    check,
    compare,
    evaluate,
    export,
    fetch,
    forget,
    gate,
    import_,
    index,
    label,
    lineage,
    mine,
    mteb,
    plan,
    promote,
    release,
    releases,
    rollback,
    run,
    search,
    serve,
    synthesise,
    teach,
    train,
)
from nearfar.errors import DataMismatch, NearfarError, Stopped

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Learn embeddings from pairs, prove them on your own traffic, and search with them.",
)
app.command("run")(run.run)
app.command("import")(import_.import_)
app.command("export")(export.export)
app.command("check")(check.check)
app.command("synthesise")(synthesise.synthesise)
app.command("mine")(mine.mine)
app.command("audit")(audit.audit)
app.command("teach")(teach.teach)
app.command("train")(train.train)
app.command("evaluate")(evaluate.evaluate)
app.command("compare")(compare.compare)
app.command("gate")(gate.gate)
app.command("plan")(plan.plan)
app.command("label")(label.label)
app.command("release")(release.release)
app.command("promote")(promote.promote)
app.command("rollback")(rollback.rollback)
app.command("releases")(releases.releases)
app.command("fetch")(fetch.fetch)
app.command("mteb")(mteb.mteb)
app.command("index")(index.index)
app.command("search")(search.search)
app.command("serve")(serve.serve)
app.add_typer(serve.keys, name="keys")
app.command("lineage")(lineage.lineage)
app.command("forget")(forget.forget)

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        print(f"nearfar {nearfar.__version__}")
        raise typer.Exit


def main() -> None:
    """Run a command; show a problem as one message, a bug as a traceback."""
    os.environ.setdefault("LANCE_INCLUDE_VECTOR_CENTROIDS", "false")  # or lance warns of them
    try:
        app()
    except Stopped as stopped:
        _complain(str(stopped))
        sys.exit(130)
    except KeyboardInterrupt:
        _complain("Stopped. What was done before is kept; the same command goes on from there.")
        sys.exit(130)
    except DataMismatch as problem:
        _complain(str(problem))
        sys.exit(5)
    except NearfarError as problem:
        _complain(str(problem))
        sys.exit(2)
    except OSError as problem:
        _complain(_of_the_system(problem))
        sys.exit(2)
    except Exception:
        traceback.print_exc()
        _complain("This is a bug of nearfar, not of yours. The lines above say where.")
        sys.exit(70)  # never 1: a crash must not look like a verdict


def _of_the_system(problem: OSError) -> str:
    where = problem.filename or "this machine"
    if problem.errno in _NO_ROOM:
        return (
            f"{where}: expected room to write, found none ({problem.strerror}). Make room or name "
            "another disk; nothing half-written is left, and what was done before is kept."
        )
    return f"{where}: the system refused ({problem.strerror or problem}). Check path and rights."


def _complain(message: str) -> None:
    print(f"nearfar: {message}", file=sys.stderr)
