"""Tracking beside the points: in order, told of failures, never held up, and gone with the process that began it."""

from __future__ import annotations

import os
import signal
import time
from multiprocessing import get_context
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest

from benchmark import tracking
from benchmark.core.errors import TrackingError
from benchmark.results.mlflow_entry import POINT_VARIABLE
from benchmark.running.tracking_beside import ENDED, MOST_WAITING, Beside


class Written:
    """Stands in for a tracker: writes what it is asked for into a file."""

    def __init__(self, place: Path, *, seconds: float = 0) -> None:
        self.place, self.seconds = place, seconds

    def log(self, what: str) -> None:
        time.sleep(self.seconds)
        if what == "refused":
            raise TrackingError("refused by the server")
        if what == "broken":
            raise ValueError("no such thing")
        if what == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        with self.place.open("a") as file:
            file.write(f"{what} {os.environ[POINT_VARIABLE]} {os.getpid() == os.getppid()}\n")


def _beside(tracker: Any) -> Beside:
    return Beside(tracker, last=lambda: tracker.place.with_suffix(".ended").touch())


def test_calls_are_done_in_order_and_failures_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beside, told = _beside(Written(tmp_path / "calls")), []
    for number, what in enumerate(["one", "refused", "two", "broken", "three"]):
        monkeypatch.setenv(POINT_VARIABLE, f"k={number}")
        beside.ask("log", what, then=lambda message, what=what: told.append((what, message)))
    beside.close()
    assert (tmp_path / "calls").read_text().split("\n")[:3] == ["one k=0 False", "two k=2 False", "three k=4 False"]
    assert [what for what, _ in told] == ["one", "refused", "two", "broken", "three"]
    assert [message for _, message in told if message] == ["refused by the server", "ValueError: no such thing"]


def test_points_are_not_computed_far_ahead(tmp_path: Path) -> None:
    beside, told = _beside(Written(tmp_path / "calls", seconds=0.05)), []
    for number in range(6):
        beside.ask("log", str(number), then=told.append)
        assert number + 1 - len(told) <= MOST_WAITING + 1
    beside.settle()
    assert told == [None] * 6
    beside.close()


def test_a_process_that_was_killed_is_told_of_and_holds_nothing_up(tmp_path: Path) -> None:
    beside, told = _beside(Written(tmp_path / "calls")), []
    for what in ("one", "killed", "two", "three", "four", "five"):
        beside.ask("log", what, then=told.append)
    beside.close()
    assert told == [None, *[ENDED] * 5]


def test_ctrl_c_is_for_the_process_that_leads(tmp_path: Path) -> None:
    beside, told = _beside(Written(tmp_path / "calls", seconds=0.2)), []
    beside.ask("log", "one", then=told.append)
    os.kill(beside._process.pid or 0, signal.SIGINT)
    beside.ask("log", "two", then=told.append)
    beside.close()
    assert told == [None, None]


def _led(place: Path) -> None:
    beside = _beside(Written(place, seconds=0.3))
    for what in ("one", "two"):
        beside.ask("log", what, then=lambda _: None)
    place.with_suffix(".pid").write_text(str(beside._process.pid))
    os.kill(os.getpid(), signal.SIGKILL)


def test_it_ends_with_the_process_that_began_it(tmp_path: Path) -> None:
    lead = get_context("fork").Process(target=_led, args=(tmp_path / "calls",))
    lead.start()
    lead.join()
    pid = int((tmp_path / "calls.pid").read_text())
    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid}").exists() and Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] != "Z":
        assert time.monotonic() < deadline, "the process beside a killed one lives on"
        time.sleep(0.02)
    assert [line.split()[0] for line in (tmp_path / "calls").read_text().splitlines()] == ["one", "two"]
    assert (tmp_path / "calls.ended").exists(), "a sweep that was killed is said to be over"


def test_a_call_that_was_given_up_does_nothing_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, go_on = [], Event()

    class Client:
        def __init__(self, **_: Any) -> None: ...

        def get_experiment_by_name(self, _: str) -> SimpleNamespace:
            return SimpleNamespace(experiment_id="1")

        def create_run(self, *_: Any, **__: Any) -> SimpleNamespace:
            asked.append("create_run")
            go_on.wait(10)
            return SimpleNamespace(info=SimpleNamespace(run_id="r"))

        def set_terminated(self, *_: Any) -> None:
            asked.append("set_terminated")

    import mlflow

    ended = Event()
    monkeypatch.setattr(mlflow, "MlflowClient", Client)
    monkeypatch.setattr(tracking, "SECONDS", 0.2)
    tracker = tracking.Mlflow(uri="http://127.0.0.1:9", experiment="e")

    def send(given_up: Event) -> None:
        try:
            with tracker._client(tmp_path, tmp_path, given_up) as (client, experiment):
                client.create_run(experiment)
                client.set_terminated("r")
        finally:
            ended.set()

    with pytest.raises(TrackingError, match="no whole reply within"):
        tracker._in_time(send, tmp_path, tmp_path)
    go_on.set()
    assert ended.wait(10) and asked == ["create_run"]
