"""A server of vectors on this machine, in OpenAI's format: every trouble on demand."""

import base64
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
from doubles import LetterEncoder

# What goes wrong with the request of that number, from 0; "" for nothing.
Trouble = Callable[[int], str]


@dataclass
class VectorServer:
    """Counts letters, as `LetterEncoder` does; a token is a word."""

    trouble: Trouble = lambda number: ""
    most_texts: int = 2_048
    floats_only: bool = False
    says_usage: bool = True
    silent: Callable[[int], bool] = lambda number: False  # on the tokens of that request
    asked: list[dict[str, Any]] = field(default_factory=list)
    keys: set[str | None] = field(default_factory=set)
    address: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def texts(self) -> list[str]:
        return [text for body in self.asked for text in body["input"]]


@contextmanager
def vectors_served(server: VectorServer) -> Iterator[VectorServer]:
    class Handler(_Handler):
        owner = server

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        server.address = f"http://127.0.0.1:{http.server_address[1]}/v1"
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    owner: VectorServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or each answer takes 40 ms

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        owner = self.owner
        with owner.lock:
            number = len(owner.asked)
            owner.asked.append(body)
            owner.keys.add(self.headers["Authorization"])
        if self.path != "/v1/embeddings":
            return self._refuse(404, f"no {self.path}")
        trouble = owner.trouble(number)
        if trouble.isdigit():
            return self._refuse(int(trouble), f"it is {trouble}")
        if len(body["input"]) > owner.most_texts:
            return self._refuse(422, f"batch size {len(body['input'])} > {owner.most_texts}")
        if owner.floats_only and body["encoding_format"] != "float":
            return self._refuse(400, "encoding_format must be float")
        answer = self._answer(body, trouble)
        if owner.silent(number):
            answer.pop("usage", None)
        return self._send(200, answer)

    def _answer(self, body: dict[str, Any], trouble: str) -> dict[str, Any]:
        vectors = LetterEncoder().encode(body["input"], "document").numpy()
        if trouble == "shorter":
            vectors = vectors[:, :20]
        if trouble == "nan":
            vectors[-1, 3] = np.nan
        rows = [
            {"object": "embedding", "index": place, "embedding": self._packed(vector, body)}
            for place, vector in enumerate(vectors)
        ]
        rows = rows[::-1]  # the index says whose it is, not the order
        if trouble == "lost":
            rows.pop()
        answer = {"object": "list", "model": body["model"], "data": rows}
        if self.owner.says_usage:
            tokens = sum(len(text.split()) for text in body["input"])
            answer["usage"] = {"prompt_tokens": tokens, "total_tokens": tokens}
        return answer

    def _packed(self, vector: Any, body: dict[str, Any]) -> Any:
        if body["encoding_format"] == "base64":
            return base64.b64encode(vector.astype("<f4").tobytes()).decode()
        return [float(number) for number in vector]

    def _refuse(self, status: int, message: str) -> None:
        self._send(status, {"error": {"message": message, "type": "trouble"}})

    def _send(self, status: int, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Retry-After", "0")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass
