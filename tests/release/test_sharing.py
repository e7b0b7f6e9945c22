"""A release goes to the hub as one commit with its version as a tag; what is missing is said."""

import base64
import json
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from nearfar.errors import BadFile, BadSetting
from nearfar.release.records import Release
from nearfar.release.sharing import push_to_hub, require_hub, require_mlflow

RELEASE = Release(
    name="tiny", space="s" * 16, dataset="d" * 16, split="test", policy="p" * 16, outcome="PASS",
    files={}, measures={},
)  # fmt: skip
TAG = RELEASE.version[:12]
COMMIT = "c" * 40


@dataclass
class Hub:
    """The few routes of the hub that a push needs, and what was asked of them."""

    address: str = ""
    token: str = "hf_right"
    asked: list[tuple[str, Any]] = field(default_factory=list)

    def bodies(self, path: str) -> list[Any]:
        return [body for asked, body in self.asked if asked == path]


class _Handler(BaseHTTPRequestHandler):
    hub: Hub

    def do_POST(self) -> None:
        lines = self.rfile.read(int(self.headers["Content-Length"])).splitlines()
        body = [json.loads(line) for line in lines]
        self.hub.asked.append((self.path, body))
        if self.headers["Authorization"] != f"Bearer {self.hub.token}":
            self._answer(401, {"error": "Invalid username or password."})
        elif self.path == "/api/repos/create":
            self._answer(200, {"url": f"{self.hub.address}/org/tiny"})
        elif self.path.endswith("/preupload/main"):
            files = [{"path": one["path"], "uploadMode": "regular", "shouldIgnore": False}
                     for one in body[0]["files"]]  # fmt: skip
            self._answer(200, {"files": files})
        elif self.path.endswith("/commit/main"):
            url = f"{self.hub.address}/org/tiny/commit/{COMMIT}"
            self._answer(200, {"commitUrl": url, "commitOid": COMMIT})
        else:
            self._answer(200, {"errors": [], "warnings": []})

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Be silent."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub on this machine, where somebody with the right token is logged in."""
    own = Hub()
    handler = type("Handler", (_Handler,), {"hub": own})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        own.address = f"http://127.0.0.1:{http.server_address[1]}"
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", own.address)
        monkeypatch.setenv("HF_TOKEN", "hf_right")
        yield own
        http.shutdown()
        thread.join()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tiny/release").mkdir(parents=True)
    (tmp_path / "tiny/README.md").write_text("---\nlicense: mit\n---\n# tiny\n")
    (tmp_path / "tiny/config.json").write_text("{}")
    (tmp_path / "tiny/release/verdict.json").write_text("[]")
    return tmp_path / "tiny"


def test_a_release_is_one_commit_and_a_tag(hub: Hub, folder: Path) -> None:
    require_hub("org/tiny")
    assert push_to_hub(folder, RELEASE, "org/tiny") == f"{hub.address}/org/tiny/commit/{COMMIT}"
    (made,) = hub.bodies("/api/repos/create")
    assert (made[0]["name"], made[0]["organization"]) == ("tiny", "org")
    assert seen_by(made[0]) == "private"
    (commit,) = hub.bodies("/api/models/org/tiny/commit/main")
    sent = {one["value"]["path"]: base64.b64decode(one["value"]["content"])
            for one in commit if one["key"] == "file"}  # fmt: skip
    names = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
    assert set(sent) == names
    assert sent["config.json"] == b"{}"
    assert commit[0]["value"]["summary"] == f"tiny {TAG}"
    assert hub.bodies(f"/api/models/org/tiny/tag/{COMMIT}") == [[{"tag": TAG}]]


def test_a_new_repository_is_public_only_if_that_is_asked(hub: Hub, folder: Path) -> None:
    push_to_hub(folder, RELEASE, "org/tiny", public=True)
    assert seen_by(hub.bodies("/api/repos/create")[0][0]) == "public"


def seen_by(made: dict[str, Any]) -> str:
    """Who may see a new repository, as older and newer libraries ask for it."""
    return str(made.get("visibility") or ("private" if made["private"] else "public"))


def test_a_token_that_may_not_write_is_said(
    hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(BadFile, match=r"org/tiny: expected the hub .*401.*hf auth whoami"):
        push_to_hub(folder, RELEASE, "org/tiny")
    assert [path for path, _ in hub.asked] == ["/api/repos/create"]


def test_a_hub_that_cannot_be_reached_is_said(
    hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as closed:
        port = closed.server_address[1]  # nobody listens there any more
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{port}")
    with pytest.raises(BadFile, match="that the hub can be reached"):
        push_to_hub(folder, RELEASE, "org/tiny")


def test_what_is_missing_is_said_before_anything_is_released(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.delenv("HUGGING_FACE_HUB_TOKEN", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "none"))
    with pytest.raises(BadSetting, match="ORG/NAME"):
        require_hub("tiny")
    with pytest.raises(BadSetting, match="hf auth login"):
        require_hub("org/tiny")


def test_a_folder_called_mlflow_is_not_the_library(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "mlflow").mkdir()
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    for name in [one for one in sys.modules if one.split(".")[0] == "mlflow"]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(BadSetting, match="pip install mlflow"):
        require_mlflow()
