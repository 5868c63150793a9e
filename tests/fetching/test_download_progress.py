"""Progress of a download: a line now and then where nobody watches, a bar on a terminal."""

from __future__ import annotations

import io
from typing import Any

import pytest

from benchmark.fetching import download_progress as module
from benchmark.fetching.download_progress import shown

MB = 1_000_000


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which the test sets."""
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def lines(
    clock: list[float], capsys: pytest.CaptureFixture[str], steps: list[tuple[float, int, int | None]]
) -> list[str]:
    """Say how far it is at so many seconds after the start, and return what was printed."""
    with shown("f.bin") as told:
        for seconds, done, total in steps:
            clock[0] = 100.0 + seconds
            told(done, total)
    return capsys.readouterr().err.splitlines()


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        # a line every ten seconds, and one at the end
        ([(1, 1 * MB, 40 * MB), (9.9, 9 * MB, 40 * MB)], []),
        (
            [(0, 0, 40 * MB), (10, 10 * MB, 40 * MB), (19.9, 20 * MB, 40 * MB), (20, 30 * MB, 40 * MB)],
            ["f.bin: 10.0 of 40.0 MB, 1.0 MB/s, 30 s left", "f.bin: 30.0 of 40.0 MB, 1.5 MB/s, 7 s left"],
        ),
        (
            [(0, 0, 20 * MB), (10, 10 * MB, 20 * MB), (12, 20 * MB, 20 * MB)],
            ["f.bin: 10.0 of 20.0 MB, 1.0 MB/s, 10 s left", "f.bin: 20.0 of 20.0 MB, 1.7 MB/s"],
        ),
        # what was over before the first line needs none
        ([(0, 0, 20 * MB), (5, 20 * MB, 20 * MB)], []),
        # a resumed download begins in the middle: what was there has no rate
        ([(0, 30 * MB, 50 * MB), (10, 40 * MB, 50 * MB)], ["f.bin: 40.0 of 50.0 MB, 1.0 MB/s, 10 s left"]),
        # no size, no time left; nothing arrived, no time left either
        ([(0, 0, None), (10, 5 * MB, None)], ["f.bin: 5.0 MB, 0.5 MB/s"]),
        ([(0, 5 * MB, 9 * MB), (10, 5 * MB, 9 * MB)], ["f.bin: 5.0 of 9.0 MB, 0.0 MB/s"]),
        ([(10, 5 * MB, 9 * MB)], ["f.bin: 5.0 of 9.0 MB, 0.0 MB/s"]),
    ],
)
def test_plain_lines(
    steps: list[tuple[float, int, int | None]], said: list[str], clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    assert lines(clock, capsys, steps) == said


def test_a_terminal_shows_a_bar_and_no_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    from rich import progress

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    updates: list[dict[str, Any]] = []
    before = progress.Progress.update

    def update(self: progress.Progress, task: Any, **values: Any) -> None:
        updates.append(values)
        before(self, task, **values)

    monkeypatch.setattr(progress.Progress, "update", update)
    monkeypatch.setattr(module.sys, "stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    with shown("f.bin") as told:
        told(3 * MB, None)
        told(5 * MB, 10 * MB)
    assert updates == [{"completed": 3 * MB, "total": None}, {"completed": 5 * MB, "total": 10 * MB}]
    drawn = module.sys.stderr.getvalue()
    assert "f.bin" in drawn and "MB" in drawn
    assert drawn.rstrip("\n").endswith("\x1b[2K"), "the bar is cleared at the end"
