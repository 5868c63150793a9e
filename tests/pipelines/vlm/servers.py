"""Local servers that speak the protocols of the Gemini API and of chat completions."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

USAGE = {"promptTokenCount": 700, "candidatesTokenCount": 40, "thoughtsTokenCount": 60, "totalTokenCount": 800}
MODEL = "gemini-3.8-flash"


@dataclass(frozen=True)
class Reply:
    """What a server sends back."""

    body: Any = None
    status: int = 200
    delay: float = 0.0
    drop: bool = False
    """Close the connection without a word."""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Call:
    """One line of a server's log."""

    time: float
    path: str
    image: str
    """sha256 of the last image."""
    status: int
    key: str | None


def said(text: str | None, *, finish: str = "STOP", model: str = MODEL, thought: str | None = None) -> Reply:
    """A reply with one candidate."""
    parts = ([{"text": thought, "thought": True}] if thought else []) + ([] if text is None else [{"text": text}])
    candidate: dict[str, Any] = {"finishReason": finish}
    if parts:
        candidate["content"] = {"role": "model", "parts": parts}
    return Reply({"candidates": [candidate], "modelVersion": model, "responseId": "r", "usageMetadata": USAGE})


def label(name: str, reason: str = "seen") -> Reply:
    """A valid answer."""
    return said(json.dumps({"reasoning": reason, "label": name}))


def failed(status: int, message: str = "busy", **details: Any) -> Reply:
    """An error as Google sends it; ``retry`` and ``quota`` become its details."""
    listed: list[dict[str, Any]] = []
    if "retry" in details:
        listed.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{details['retry']}s"})
    if "quota" in details:
        violation = {"quotaId": details["quota"], "quotaMetric": "requests"}
        listed.append({"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [violation]})
    return Reply({"error": {"code": status, "message": message, "status": "X", "details": listed}}, status=status)


def sha256_of(data: str) -> str:
    """Hash of base64 data in either alphabet."""
    return hashlib.sha256(base64.b64decode(data.replace("-", "+").replace("_", "/"))).hexdigest()


Script = Callable[[str, int], Reply]
"""From the sha256 of the image and how often it was asked about (from 1) to a reply."""


class Fake:
    """A server and its log.

    ``billed`` counts the complete replies by image: what a service would put on the bill.
    """

    def __init__(self, script: Script) -> None:
        self.script = script
        self.log: list[Call] = []
        self.bodies: list[dict[str, Any]] = []
        self.keep_bodies = True
        self.asked: dict[str, int] = {}
        self.billed: dict[str, int] = {}
        self.lock = threading.Lock()
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.polls_until_done = 1
        self.batch_state = "BATCH_STATE_SUCCEEDED"
        self.url = ""

    def answer(self, image: str, path: str, key: str | None) -> Reply:
        with self.lock:
            self.asked[image] = number = self.asked.get(image, 0) + 1
        reply = self.script(image, number)
        with self.lock:
            self.log.append(Call(time.monotonic(), path, image, 0 if reply.drop else reply.status, key))
        return reply

    def generated(self, body: dict[str, Any], path: str, key: str | None) -> Reply:
        if self.keep_bodies:
            self.bodies.append(body)
        images = [p for c in body["contents"] for p in c["parts"] if "inlineData" in p or "inline_data" in p]
        data = (images[-1].get("inlineData") or images[-1]["inline_data"])["data"] if images else ""
        return self.answer(sha256_of(data), path, key)

    def chat(self, body: dict[str, Any], path: str, key: str | None) -> Reply:
        self.bodies.append(body)
        urls = [p["image_url"]["url"] for p in body["messages"][0]["content"] if p["type"] == "image_url"]
        data = urls[-1].partition(",")[2]
        return self.answer(sha256_of(data), path, key)

    def run_batch(self, name: str) -> None:
        """Answer every line of a job's file."""
        job = self.batches[name]
        lines = []
        for line in self.files[job["file"]].decode().splitlines():
            read = json.loads(line)
            reply = self.generated(read["request"], "batch", None)
            if reply.status == 200:
                image = self.log[-1].image
                self.billed[image] = self.billed.get(image, 0) + 1
            body = {"response": reply.body} if reply.status == 200 else {"error": reply.body["error"]}
            lines.append(json.dumps({"key": read["key"], **body}))
        self.files[f"files/{name.partition('/')[2]}-out"] = "\n".join(lines).encode()

    def batch_json(self, name: str) -> dict[str, Any]:
        job = self.batches[name]
        done = job["polls"] >= self.polls_until_done
        metadata = {
            "displayName": job["display_name"],
            "state": self.batch_state if done else "BATCH_STATE_RUNNING",
            "model": f"models/{MODEL}",
        }
        if done:
            metadata["output"] = {"responsesFile": f"files/{name.partition('/')[2]}-out"}
        return {"name": name, "metadata": metadata, "done": done}

    def route(self, method: str, path: str, raw: bytes, headers: Any) -> Reply:
        key = headers.get("x-goog-api-key") or headers.get("authorization")
        bare = path.partition("?")[0]
        if ":generateContent" in bare:
            return self.generated(json.loads(raw), bare, key)
        if bare.endswith("/chat/completions"):
            return self.chat(json.loads(raw), bare, key)
        if ":countTokens" in bare:
            return Reply({"totalTokens": 777})
        if "/upload/" in bare and headers.get("x-goog-upload-command") == "start":
            return Reply({}, headers={"X-Goog-Upload-URL": f"{self.url}/put", "X-Goog-Upload-Status": "active"})
        if bare == "/put":
            name = f"files/f{len(self.files)}"
            self.files[name] = raw
            body = {"file": {"name": name, "sizeBytes": str(len(raw)), "state": "ACTIVE"}}
            return Reply(body, headers={"X-Goog-Upload-Status": "final"})
        if ":batchGenerateContent" in bare:
            batch = json.loads(raw)["batch"]
            name = f"batches/b{len(self.batches)}"
            file = batch["inputConfig"]["fileName"]
            self.batches[name] = {"display_name": batch["displayName"], "file": file, "polls": 0}
            self.run_batch(name)
            return Reply(self.batch_json(name))
        if bare.endswith("/batches") and method == "GET":
            return Reply({"operations": [self.batch_json(n) for n in self.batches]})
        if "/batches/" in bare and method == "GET":
            name = f"batches/{bare.rpartition('/')[2]}"
            self.batches[name]["polls"] += 1
            return Reply(self.batch_json(name))
        if bare.endswith(":download"):
            return Reply(self.files[f"files/{bare.rpartition('/')[2].removesuffix(':download')}"])
        return Reply({"error": {"message": f"no such path {path}"}}, status=404)


@contextmanager
def serving(script: Script) -> Iterator[Fake]:
    """Serve on a free local port."""
    fake = Fake(script)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            self.handle_call("GET")

        def do_POST(self) -> None:
            self.handle_call("POST")

        def handle_call(self, method: str) -> None:
            raw = self.rfile.read(int(self.headers.get("content-length") or 0))
            before = len(fake.log)
            reply = fake.route(method, self.path, raw, self.headers)
            if reply.delay:
                time.sleep(reply.delay)
            if reply.drop:
                self.close_connection = True
                return
            body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
            try:
                self.send_response(reply.status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)
            except OSError:
                self.close_connection = True
                return
            asked = ":generateContent" in self.path or self.path.endswith("/chat/completions")
            if asked and reply.status == 200 and len(fake.log) > before:
                image = _image_of(raw)
                with fake.lock:
                    fake.billed[image] = fake.billed.get(image, 0) + 1

    class Server(ThreadingHTTPServer):
        request_queue_size = 128
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            pass

    server = Server(("127.0.0.1", 0), Handler)
    fake.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _image_of(raw: bytes) -> str:
    """The sha256 of the last image of a request, whichever protocol it is."""
    body = json.loads(raw)
    if "contents" in body:
        parts = [p for c in body["contents"] for p in c["parts"]]
        data = [(p.get("inlineData") or p.get("inline_data"))["data"] for p in parts if "text" not in p]
    else:
        content = body["messages"][0]["content"]
        data = [p["image_url"]["url"].partition(",")[2] for p in content if p["type"] == "image_url"]
    return sha256_of(data[-1])
