"""Progress: nothing of short work, life of long work even while one item takes long, on a terminal and elsewhere."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmark.core import progress
from benchmark.core.progress import Progress, duration, pace, track
from tests.harness import SMALL_SAT, run


class Terminal(io.StringIO):
    """Takes what is printed, as a terminal."""

    def isatty(self) -> bool:
        """Be one."""
        return True


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Show at once."""
    for name in ("QUIET_SECONDS", "PLAIN_EVERY_SECONDS", "LIVE_EVERY_SECONDS"):
        monkeypatch.setattr(progress, name, 0.01)


def wait_for(seen: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not seen() and time.monotonic() < end:
        time.sleep(0.01)
    assert seen()


def test_rates_below_one_a_second_and_long_times_can_be_read() -> None:
    assert [pace(x) for x in (12.34, 1.0, 0.5, 0.04)] == ["12.3/s", "1.0/s", "2.0 s each", "25.0 s each"]
    assert [duration(x) for x in (0, 99, 130, 5990, 6000, 11100)] == [
        "0 s", "99 s", "2 min", "1 h 40 min", "1 h 40 min", "3 h 05 min",
    ]  # fmt: skip


def test_short_work_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(track([1, 2, 3], "counting")) == [1, 2, 3]
    assert capsys.readouterr().err == ""


def test_lines_go_on_while_one_item_takes_long(hurried: None, monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr(sys, "stderr", out)
    with Progress("work", 4) as shown:
        shown.advance()
        shown.tell("features 2/8, 1 reused")
        wait_for(lambda: out.getvalue().count("work: 1/4, ") > 3)
    first, *_, last = out.getvalue().splitlines()
    assert first.startswith("work: 1/4, ") and "features 2/8, 1 reused" in out.getvalue() and " left" in first
    assert last.startswith("work: 1/4 done when it stopped, in ")


def test_a_terminal_gets_one_bar_that_is_gone_at_the_end(hurried: None, monkeypatch: pytest.MonkeyPatch) -> None:
    out = Terminal()
    monkeypatch.setattr(sys, "stderr", out)
    with Progress("work [of] mine", 4) as shown:
        shown.tell("fit 3/9")
        wait_for(lambda: "fit 3/9" in out.getvalue())
        shown.advance()
        wait_for(lambda: "1/4" in out.getvalue())
    assert "work [of] mine" in out.getvalue() and out.getvalue().endswith("\x1b[2K")


def test_a_run_shows_stage_reuse_and_what_follows_the_images(
    hurried: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told: list[str] = []
    monkeypatch.setattr(Progress, "tell", lambda self, note: told.append(note))
    for metric in ("default", "full"):  # the second run finds the features
        run(tmp_path, *SMALL_SAT, "pipeline=patchcore", "networks=toy", f"metric={metric}")
    assert "metrics and intervals" in told and told[-1] == "tracking"
    assert any(note.endswith("12/12") for note in told) and any(note.endswith("12/12, 12 reused") for note in told)
