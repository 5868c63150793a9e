"""Attacks by a server: it drips, it never ends, and it sends elsewhere; no call is held, and no key follows."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmark.chat import batching
from benchmark.core.atomic import open_temporary
from benchmark.core.deadline import within
from benchmark.core.errors import BenchmarkError
from tests.pipelines.vlm.conftest import key
from tests.pipelines.vlm.servers import Reply, label, serving
from tests.pipelines.vlm.test_batches import BATCH
from tests.pipelines.vlm.test_endpoint import NOK
from tests.pipelines.vlm.toys import KEY, context, images, pipeline, predict, sent_sha256

__all__ = ["key"]
Drip = Callable[[socket.socket], None]


def _slowly(sent: socket.socket, content: bytes, *, first: bytes = b"") -> None:
    """Send a byte every 50 ms for 30 seconds."""
    sent.sendall(first)
    for number in range(600):
        sent.sendall(content[number % len(content) : number % len(content) + 1])
        time.sleep(0.05)


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
DRIPS: dict[str, Drip] = {
    "silence": lambda sent: time.sleep(30),
    "status line": lambda sent: _slowly(sent, b"HTTP/1.1 200 OK" + b"K" * 600),
    "headers": lambda sent: _slowly(sent, b"x-a: 1\r\n", first=HEAD),
    "body with a length": lambda sent: _slowly(sent, b" ", first=HEAD + b"Content-Length: 100000\r\n\r\n"),
    "body to the end": lambda sent: _slowly(sent, b" ", first=HEAD + b"\r\n"),
    "chunks": lambda sent: _slowly(sent, b"1\r\n \r\n", first=HEAD + b"Transfer-Encoding: chunked\r\n\r\n"),
    "hundreds": lambda sent: _slowly(sent, b"HTTP/1.1 100 Continue\r\n\r\n"),
}


@contextlib.contextmanager
def dripping(drip: Drip) -> Iterator[str]:
    """Serve every connection with a drip."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve(sent: socket.socket) -> None:
        with contextlib.suppress(OSError), sent:
            sent.recv(1 << 20)
            drip(sent)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listening.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()


@pytest.mark.parametrize("drip", DRIPS)
@pytest.mark.parametrize("name", ["gemini", "vlm_endpoint"])
def test_a_dripping_server_holds_an_attempt_no_longer_than_it_may_take(
    name: str, drip: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with dripping(DRIPS[drip]) as url:
        words = [f"pipeline.provider.access.base_url={url}", "pipeline.provider.access.timeout_s=0.2"]
        chosen = pipeline(tmp_path, *words, "pipeline.calls.attempts=2", name=name)
        begun = time.monotonic()
        (prediction,) = predict(chosen, context(tmp_path, images(tmp_path / "images", 1)))
        assert prediction.outcome == "failed"
        assert time.monotonic() - begun < 10


def test_a_dripping_batch_service_ends_the_run_and_keeps_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with dripping(DRIPS["body to the end"]) as url:
        words = [f"pipeline.provider.access.base_url={url}", "pipeline.provider.access.timeout_s=0.5", *BATCH]
        monkeypatch.setattr(batching, "SECONDS_A_MB", 1)
        chosen = pipeline(tmp_path, *words, "pipeline.batch.max_mb=1")
        begun = time.monotonic()
        with pytest.raises(BenchmarkError, match="the job is remembered"):
            predict(chosen, context(tmp_path, images(tmp_path / "images", 1)))
        assert time.monotonic() - begun < 20
    assert list((tmp_path / "answers").rglob("*.job.json"))


STATUSES = (300, 301, 302, 303, 307, 308)


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("name", ["gemini", "vlm_endpoint", "batch"])
def test_no_key_follows_a_redirect(name: str, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    good = NOK if name == "vlm_endpoint" else label("NOK")
    with serving(lambda image, number: good) as thief, serving(lambda image, number: good) as fake:
        heard: list[str] = []
        route = thief.route

        def listen(method: str, path: str, raw: bytes, headers: Any) -> Reply:
            heard.append(path)
            return route(method, path, raw, headers)

        thief.route = listen  # type: ignore[method-assign]

        def elsewhere(method: str, path: str, raw: bytes, headers: Any) -> Reply:
            return Reply({}, status=status, headers={"Location": thief.url + path})

        fake.route = elsewhere  # type: ignore[method-assign]
        words = BATCH if name == "batch" else ()
        option = "gemini" if name == "batch" else name
        chosen = pipeline(tmp_path, f"pipeline.provider.access.base_url={fake.url}", *words, name=option)
        with pytest.raises(BenchmarkError, match=str(status)):
            predict(chosen, context(tmp_path, images(tmp_path / "images", 2)))
    assert heard == []


@pytest.mark.parametrize("name", ["gemini", "vlm_endpoint"])
@pytest.mark.parametrize("status", [400, 403, 404, 405, 406, 409, 410, 411, 413, 414, 415, 418, 422, 431, 451])
def test_a_question_that_is_always_refused_is_one_row_where_answers_are_stored(
    name: str, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first question of the run, while all others have their answers from an earlier run."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    samples = images(tmp_path / "images", 4)
    good = label("NOK") if name == "gemini" else NOK
    answers = {True: Reply({"error": {"code": status, "message": "no"}}, status=status), False: good}
    bad = sent_sha256(samples[0])
    with serving(lambda image, number: answers[image == bad]) as fake:
        version = "/v1" if name == "vlm_endpoint" else ""
        chosen = pipeline(tmp_path, f"pipeline.provider.access.base_url={fake.url}{version}", name=name)
        predict(chosen, context(tmp_path, samples[1:]))
        for _ in range(2):
            outcomes = [p.outcome for p in predict(chosen, context(tmp_path, samples))]
            assert outcomes == ["failed", "ok", "ok", "ok"]
    assert fake.asked[bad] == 2 and all(n == 1 for image, n in fake.asked.items() if image != bad)


def test_what_a_kill_left_among_the_answers_is_swept(tmp_path: Path) -> None:
    place = tmp_path / "answers" / "answers" / "ab"
    place.mkdir(parents=True)
    left = place / ".ab12.json.0123456789abcdef.part"
    left.write_bytes(b"half an answer")
    with serving(lambda image, number: label("NOK")) as fake, open_temporary(place / "other.json") as living:
        chosen = pipeline(tmp_path, f"pipeline.provider.access.base_url={fake.url}")
        predict(chosen, context(tmp_path, images(tmp_path / "images", 2)))
        assert not left.exists() and Path(living.name).exists()
        Path(living.name).unlink()


def test_a_call_is_left_after_its_time() -> None:
    begun = time.monotonic()
    with pytest.raises(TimeoutError, match=r"within 0\.05 s"):
        within(0.05, lambda: time.sleep(5))
    assert time.monotonic() - begun < 2


def test_a_call_that_gets_on_is_waited_for_and_one_that_does_not_is_left() -> None:
    done: list[int] = []

    def works(steps: int, pause: float) -> str:
        for _ in range(steps):
            time.sleep(pause)
            done.append(1)
        return "ended"

    assert within(0.3, lambda: works(8, 0.1), progress=lambda: len(done)) == "ended"
    with pytest.raises(TimeoutError):
        within(0.1, lambda: works(1, 3), progress=lambda: len(done))


@pytest.mark.parametrize("error", [ValueError("x"), TimeoutError("its own"), KeyError(1), SystemExit(3)])
def test_what_a_call_raises_is_raised(error: BaseException) -> None:
    def fails() -> None:
        raise error

    with pytest.raises(type(error)) as told:
        within(5, fails)
    assert told.value is error
    assert within(5, lambda: 7) == 7
