"""A language model's server on this machine: both wire formats, and every trouble on demand."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from nearfar.llm.endpoints import open_endpoint
from nearfar.llm.messages import Endpoint
from nearfar.llm.settings import LlmSettings

# What goes wrong with the request of that number (from 0) about that passage; "" for nothing.
Trouble = Callable[[int, str], str]
ERRORS = {str(status): status for status in (400, 401, 404, 408, 429, 500, 502, 503, 504, 524, 529)}
SLOW_SECONDS = 0.15
PRICES = {"input_usd_per_million_tokens": 1_000.0, "output_usd_per_million_tokens": 5_000.0}


@dataclass
class Server:
    """What was asked, and what was answered and would be billed."""

    trouble: Trouble = lambda number, passage: ""
    retry_after: str = "0.01"
    queries: Callable[[str, int], list[str]] = lambda passage, count: [
        f"{passage} query {place}" for place in range(count)
    ]
    asked: list[dict[str, Any]] = field(default_factory=list)
    counted: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    address: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)
    clients: ExitStack = field(default_factory=ExitStack)

    def endpoint(self, settings: LlmSettings, key: str | None = None) -> Endpoint:
        return self.clients.enter_context(open_endpoint(settings, key))

    def passages(self) -> list[str]:
        return [request["passage"] for request in self.asked]


@contextmanager
def served(server: Server) -> Iterator[Server]:
    class Handler(_JudgeHandler if isinstance(server, JudgeServer) else _Handler):
        owner = server

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        server.address = f"http://127.0.0.1:{http.server_address[1]}"
        try:
            with server.clients:
                yield server
        finally:
            http.shutdown()
            thread.join()


def words(text: str) -> int:
    return len(text.split())


class _Handler(BaseHTTPRequestHandler):
    owner: Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or each answer takes 40 ms

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        texts = [turn["content"] for turn in body["messages"]] + [body.get("system", "")]
        said = "\n".join(texts)
        if self.path == "/v1/messages/count_tokens":
            with self.owner.lock:
                self.owner.counted += 1
            return self._send(200, {"input_tokens": words(said)})
        passage = re.search(r"<passage>\n(.*)\n</passage>", said, re.DOTALL)[1]
        count = int(re.search(r"array of (\d+) strings", said)[1])
        with self.owner.lock:
            number = len(self.owner.asked)
            self.owner.asked.append(
                {"passage": passage, "path": self.path, "prompt": said, "headers": self.headers}
                | {name: body[name] for name in body if name != "messages"}
            )
        trouble = self.owner.trouble(number, passage)
        if trouble in ERRORS:
            headers = {"Retry-After": self.owner.retry_after} if trouble == "429" else {}
            error = {"type": "error", "error": {"type": "trouble", "message": f"it is {trouble}"}}
            return self._send(ERRORS[trouble], error, headers)
        if trouble == "old name" and "max_tokens" in body:
            facts = {"message": "use the new name", "code": "unsupported_parameter"}
            return self._send(400, {"error": facts | {"param": "max_tokens"}})
        if trouble == "drop":
            self.close_connection = True
            return None
        if trouble == "slow":
            threading.Event().wait(SLOW_SECONDS)
        return self._answer(said, json.dumps(self.owner.queries(passage, count)), trouble)

    def _answer(self, said: str, text: str, trouble: str) -> None:
        text = {"malformed": f"Sure! {text}", "refuse": "", "cut": text[:-3]}.get(trouble, text)
        read, written = words(said), words(text)
        with self.owner.lock:
            self.owner.input_tokens += read
            self.owner.output_tokens += written
        if self.path == "/v1/messages":
            stop = {"refuse": "refusal", "cut": "max_tokens"}.get(trouble, "end_turn")
            answer = {
                "id": "m", "type": "message", "role": "assistant", "model": "model-2026",
                "content": [{"type": "text", "text": text}], "stop_reason": stop,
                "stop_sequence": None,
                "usage": {"input_tokens": read - 1, "cache_read_input_tokens": 1,
                          "output_tokens": written},
            }  # fmt: skip
        else:
            stop = {"refuse": "content_filter", "cut": "length"}.get(trouble, "stop")
            answer = {
                "id": "c", "object": "chat.completion", "created": 0, "model": "model-2026",
                "choices": [{"index": 0, "finish_reason": stop,
                             "message": {"role": "assistant", "content": text}}],
                "usage": {"prompt_tokens": read, "completion_tokens": written,
                          "total_tokens": read + written},
            }  # fmt: skip
            if trouble == "no usage":
                del answer["usage"]
        self._send(200, {"nobody": "expects this"} if trouble == "strange" else answer)

    def _send(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        data = json.dumps(body).encode()
        try:
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
        except OSError:
            pass  # the client has given up

    def log_message(self, *_: Any) -> None:
        pass


def llm(address: str, **facts: object) -> LlmSettings:
    known = {"model": "m", "base_url": address, "timeout_seconds": 5.0, "api": "openai"}
    known |= {"base_url": f"{address}/v1"} if facts.get("api", "openai") == "openai" else {}
    return LlmSettings(**(known | facts))  # type: ignore[arg-type]


class FakeClock:
    """Time that passes only where someone waits for it."""

    def __init__(self) -> None:
        self.time = 0.0
        self.waits: list[float] = []
        self._lock = threading.Lock()

    def now(self) -> float:
        with self._lock:
            return self.time

    def wait(self, seconds: float, over: threading.Event) -> None:
        with self._lock:
            self.time += seconds
            self.waits.append(seconds)


@dataclass
class JudgeServer(Server):
    """Is asked to grade documents, or which of two is better."""

    grade: Callable[[str, str], int] = lambda query, document: 0

    def judge(self, said: str, query: str, documents: list[str]) -> list[int]:
        grades = [self.grade(query, document) for document in documents]
        if "compare two documents" not in said:
            return grades
        return [0 if grades[0] == grades[1] else 1 + (grades[1] > grades[0])]


class _JudgeHandler(_Handler):
    owner: JudgeServer

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        said = "\n".join([turn["content"] for turn in body["messages"]] + [body.get("system", "")])
        if self.path == "/v1/messages/count_tokens":
            with self.owner.lock:
                self.owner.counted += 1
            return self._send(200, {"input_tokens": words(said)})
        query = re.search(r"<query>\n(.*?)\n</query>", said, re.DOTALL)[1]
        documents = re.findall(r'<document number="\d+">\n(.*?)\n</document>', said, re.DOTALL)
        with self.owner.lock:
            number = len(self.owner.asked)
            self.owner.asked.append({"query": query, "documents": documents, "prompt": said})
        trouble = self.owner.trouble(number, query)
        if trouble in ERRORS:
            error = {"type": "error", "error": {"type": "trouble", "message": f"it is {trouble}"}}
            return self._send(ERRORS[trouble], error)
        return self._answer(said, json.dumps(self.owner.judge(said, query, documents)), trouble)
