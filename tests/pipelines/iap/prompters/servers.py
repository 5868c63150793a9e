"""A local server that speaks the text side of chat completions and of the Gemini API."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Reply:
    """What is sent back."""

    body: Any
    """JSON values, or bytes as they are."""
    status: int = 200
    delay: float = 0.0
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Fake:
    """A server's address and what it was asked."""

    url: str
    bodies: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)


def chat(text: str | None, *, model: str = "llama3", finish: str = "stop", **more: Any) -> Reply:
    """A reply of a chat-completions endpoint."""
    choice = {"message": {"role": "assistant", "content": text, **more}, "finish_reason": finish}
    return Reply({"id": "c1", "model": model, "choices": [choice], "usage": {"prompt_tokens": 9}})


def gemini(text: str | None, *, model: str = "gemini-3.8-flash", finish: str = "STOP") -> Reply:
    """A reply of the Gemini API."""
    candidate: dict[str, Any] = {"finishReason": finish}
    if text is not None:
        candidate["content"] = {"role": "model", "parts": [{"text": text}]}
    usage = {"promptTokenCount": 9, "candidatesTokenCount": 5, "totalTokenCount": 14}
    return Reply({"candidates": [candidate], "modelVersion": model, "responseId": "r", "usageMetadata": usage})


def busy(status: int = 503, **headers: str) -> Reply:
    """A refusal that both protocols send alike."""
    return Reply({"error": {"code": status, "message": "busy", "status": "X"}}, status=status, headers=headers)


@contextmanager
def serving(script: Callable[[int], Reply]) -> Iterator[Fake]:
    """Serve on a free local port; ``script`` gets the number of the call, from 0."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            reply = script(len(fake.bodies))
            fake.bodies.append(body)
            fake.paths.append(self.path)
            time.sleep(reply.delay)
            raw = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
            try:
                self.send_response(reply.status)
                for name, value in {"content-type": "application/json", **reply.headers}.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)
            except OSError:
                self.close_connection = True  # the caller did not wait

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    fake = Fake(url=f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, daemon=True, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
