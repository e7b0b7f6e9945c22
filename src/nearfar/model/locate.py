"""Where a model lies: a folder, an installed Python package, or a hub."""

import importlib.util
from pathlib import Path

from nearfar.errors import BadModel, said
from nearfar.fingerprint import file_sha256
from nearfar.model.layout import read_layout

_PACKAGE = "package:"
_MARKS = ("modules.json", "config.json")  # a folder with one of these holds a model
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")


def locate(name: str, *, revision: str | None = None, sha256: str | None = None) -> Path:
    """Return the folder of a model.

    Args:
        name: a folder, `package:NAME` for a model that an installed package carries, or the
            id of a model on the hub.
        revision: which version of a model on the hub.
        sha256: what the SHA-256 of its weight file must be, in hex.

    Raises:
        BadModel: there is no such model, or its weights are not the ones asked for.
    """
    if name.startswith(_PACKAGE):
        folder = _in_package(name.removeprefix(_PACKAGE))
    elif _is_folder(name):
        folder = Path(name)
    else:
        folder = _on_hub(name, revision)
    if sha256 is not None:
        _require_weights(folder, sha256)
    return folder


def called(name: str, *, revision: str | None = None) -> str:
    """Return what people call a model: what it was asked for by, and the commit if of the hub.

    Args:
        name: a folder, `package:NAME`, or the id of a model on the hub.
        revision: of the hub.
    """
    folder = locate(name, revision=revision)
    # The hub's own cache names a folder by its commit.
    of_hub = folder.parent.name == "snapshots" and not Path(name).exists()
    return f"{name}@{folder.name}" if of_hub else name


def _is_folder(name: str) -> bool:
    try:
        return Path(name).is_dir()
    except OSError:  # longer than a name may be
        return False


def _in_package(package: str) -> Path:
    try:
        spec = importlib.util.find_spec(package)  # found, not imported: nothing of it runs
    except (ImportError, ValueError):
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise BadModel(
            f"package:{package}: no installed Python package of that name. "
            f"Install it with `pip install {package.replace('_', '-')}`, or name a model folder."
        )
    root = Path(next(iter(spec.submodule_search_locations)))
    for mark in _MARKS:
        found = sorted(root.rglob(mark), key=lambda path: (len(path.parts), path))
        if found:
            return found[0].parent
    raise BadModel(f"package:{package}: expected {' or '.join(_MARKS)} under {root}, found none.")


def _on_hub(name: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    # Tensors of other frameworks would be downloaded for nothing.
    unused = ["*.h5", "*.ot", "*.msgpack", "*.onnx", "onnx/*", "openvino/*", "*.gguf"]
    try:
        return Path(snapshot_download(name, revision=revision, ignore_patterns=unused))
    except (OSError, HFValidationError, ValueError) as error:
        raise BadModel(
            f"{name}: expected a model folder, package:NAME or the id of a model on the hub. "
            f"There is no such folder here, and the hub answered: {said(error)}"
        ) from error


def _require_weights(folder: Path, sha256: str) -> None:
    place = read_layout(folder).transformer  # where they are loaded from
    files = [place / name for name in _WEIGHTS if (place / name).is_file()]
    if not files:
        raise BadModel(f"{place}: expected {' or '.join(_WEIGHTS)} to hold against its SHA-256.")
    found = file_sha256(files[0])
    if found != sha256.lower():
        raise BadModel(
            f"{files[0]}: expected weights with SHA-256 {sha256}, found {found}. "
            "Name the model that was meant, or pin this one."
        )
