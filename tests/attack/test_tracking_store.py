"""Attacks on the tracking database: whatever ends its making, or damages it, the next run logs."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from benchmark import tracking
from benchmark.cli.main import main
from benchmark.core.errors import TrackingError
from benchmark.core.sqlite_files import BESIDE, address_of, damage, file_of, make_whole, set_aside
from benchmark.results.files import read_result
from benchmark.tracking import FILLED, Mlflow
from tests.attack.test_servers import DRIPS, dripping
from tests.harness import ROOT, SMALL_SAT, run

STORE = Mlflow(uri=None, experiment="x")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database as MLflow makes it."""
    root = tmp_path_factory.mktemp("whole")
    STORE.make_ready(root)
    return root / "mlflow" / "mlflow.db"


def _emptied(table: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        with closing(sqlite3.connect(path)) as database, database:
            database.execute("PRAGMA foreign_keys=OFF")
            database.execute(f"DELETE FROM {table}")

    return change


def _dropped(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("DROP TABLE alembic_version")


DAMAGES: dict[str, Callable[[Path], Any]] = {
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_bytes(b"hello" * 100),
    "zeros": lambda path: path.write_bytes(bytes(8192)),
    "a page": lambda path: os.truncate(path, 4096),
    "half": lambda path: os.truncate(path, path.stat().st_size // 2),
    "no version": _dropped,
    "version not written": _emptied("alembic_version"),
    "no experiment yet": _emptied("experiments"),
    "half made": lambda path: path.unlink() or _half_made(path),  # type: ignore[func-returns-value]
    "a folder": lambda path: path.unlink() or path.mkdir(),  # type: ignore[func-returns-value]
    "a folder with files": lambda path: path.unlink() or (path / "x").mkdir(parents=True),  # type: ignore[func-returns-value]
}


def _half_made(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE datasets (x)")


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_database_is_set_aside_and_the_next_run_logs(
    kind: str, whole: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    database = tmp_path / "mlflow" / "mlflow.db"
    database.parent.mkdir()
    shutil.copy(whole, database)
    DAMAGES[kind](database)
    before = database.read_bytes() if database.is_file() else None
    STORE.make_ready(tmp_path)
    assert damage(database, filled=FILLED, every_page=True) is None
    (aside,) = database.parent.glob("mlflow.db.damaged-*")
    assert aside.is_dir() if before is None else aside.read_bytes() == before
    assert aside.name in caplog.text and "track" in caplog.text


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_database_of_ones_own_is_named_and_left(kind: str, whole: Path, tmp_path: Path) -> None:
    database = tmp_path / "own.db"
    shutil.copy(whole, database)
    DAMAGES[kind](database)
    with pytest.raises(TrackingError, match=r"own\.db is damaged or was not finished .*move it away"):
        Mlflow(uri=address_of(database), experiment="x").make_ready(tmp_path)
    assert database.exists() and not list(tmp_path.glob("*damaged*"))


def test_a_whole_database_is_left_as_it_is(whole: Path, tmp_path: Path) -> None:
    database = tmp_path / "mlflow" / "mlflow.db"
    database.parent.mkdir()
    shutil.copy(whole, database)
    before = database.read_bytes()
    STORE.make_ready(tmp_path)
    assert database.read_bytes() == before
    assert [p.name for p in database.parent.iterdir() if not p.name.startswith(".")] == ["mlflow.db"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device"), RuntimeError("x")])
def test_what_ends_the_making_leaves_nothing(error: BaseException, tmp_path: Path) -> None:
    path = tmp_path / "a.db"

    def fails(address: str) -> None:
        _half_made(file_of(address) or tmp_path)
        raise error

    with pytest.raises(BaseException):  # noqa: B017
        make_whole(path, fails)
    assert list(tmp_path.iterdir()) == []


def test_leftovers_of_a_killed_making_are_no_part_of_the_next(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    for ending in BESIDE:
        (tmp_path / f".a.db.new{ending}").write_bytes(b"left by a kill")
    make_whole(path, lambda address: _half_made(file_of(address) or tmp_path))
    assert [p.name for p in tmp_path.iterdir()] == ["a.db"]


def test_a_database_is_set_aside_with_its_journal_and_never_over_another(tmp_path: Path) -> None:
    names = set()
    for _ in range(3):
        for ending in ("", "-journal", "-wal"):
            (tmp_path / f"a.db{ending}").write_text(ending)
        names.add(set_aside(tmp_path / "a.db").name)
    assert len(names) == 3 and len(list(tmp_path.iterdir())) == 9
    assert not (tmp_path / "a.db-journal").exists()


@pytest.mark.parametrize(
    ("address", "file"),
    [("sqlite:////a/b.db", "/a/b.db"), ("sqlite+pysqlite:////a/b%3Fc.db", "/a/b?c.db"), ("sqlite://", None),
     ("sqlite:///:memory:", None), ("http://h/x.db", None), ("nosuch", None), ("", None), ("postgresql://h/m", None)],
)  # fmt: skip
def test_which_addresses_are_files(address: str, file: str | None) -> None:
    found = file_of(address)
    assert (None if found is None else str(found)) == file


def test_a_run_that_was_killed_while_it_was_logged_is_logged_once(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(tracking.PARENT_VARIABLE, raising=False)
    from mlflow import MlflowClient

    folder = run(tmp_path, *SMALL_SAT, "pipeline=constant", "run.gallery=0").folder
    steps = ("log_batch", "log_inputs", "log_artifacts", "set_terminated")
    for step in steps:

        def killed(*_: Any, **__: Any) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(MlflowClient, step, killed)
            STORE.log(folder, results_root=tmp_path)
    found = STORE.log(folder, results_root=tmp_path)
    client = MlflowClient(tracking_uri=STORE.address(tmp_path))
    experiment = client.get_experiment_by_name("x")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], f"tags.result_id = '{read_result(folder).id}'")
    assert [(r.info.run_id, r.info.status) for r in runs] == [(found, "FINISHED")]


@pytest.mark.parametrize(
    "drip", ["silence", "chunks", *(pytest.param(d, marks=pytest.mark.slow) for d in ("headers", "body with a length"))]
)
def test_a_server_that_drips_is_given_up_and_the_results_are_kept(
    drip: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(tracking.PARENT_VARIABLE, raising=False)
    monkeypatch.setattr(tracking, "SECONDS", 0.7)
    with dripping(DRIPS[drip]) as url:
        begun = time.monotonic()
        where = [f"run.{name}_root={tmp_path / name}" for name in ("data", "results", "cache")]
        words = [*SMALL_SAT, "pipeline=constant", "run.gallery=0", "tracking=mlflow", f"tracking.uri={url}", *where]
        assert main(words) == 1
        with pytest.raises(TrackingError, match=r"no whole reply within .* log them later"):
            Mlflow(uri=url, experiment="x").start_sweep("x", results_root=tmp_path)
        assert time.monotonic() - begun < 60
    said = capsys.readouterr().err
    (folder,) = (tmp_path / "results" / "runs").iterdir()
    assert f"The results are kept in {folder}; log them later with" in said and "Traceback" not in said
    assert read_result(folder).outcomes == {"ok": 12}


SIGNALS = {"killed": signal.SIGKILL, "interrupted": signal.SIGINT}


@pytest.mark.slow
@pytest.mark.parametrize("how", SIGNALS)
@pytest.mark.timeout(1800)
def test_tracking_goes_on_after_its_making_was_ended_at_any_instant(how: str, tmp_path: Path) -> None:
    code = f"from benchmark.tracking import *; Mlflow(uri=None, experiment='x').make_ready(Path({str(tmp_path)!r}))"
    place = tmp_path / "mlflow"
    rng, tried = random.Random(19), 0
    for _ in range(24 if how == "killed" else 8):
        shutil.rmtree(place, ignore_errors=True)
        child = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.DEVNULL)
        while child.poll() is None and not (place / ".mlflow.db.new").exists():
            time.sleep(0.01)
        time.sleep(rng.random())
        child.send_signal(SIGNALS[how])
        child.wait()
        tried += 1
        database = place / "mlflow.db"
        assert not database.exists() or damage(database, filled=FILLED, every_page=True) is None
    STORE.make_ready(tmp_path)
    assert damage(place / "mlflow.db", filled=FILLED, every_page=True) is None and tried >= 8


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_tracking_goes_on_after_the_disk_was_full_while_it_was_made(tmp_path: Path) -> None:
    """A limit on the size of files fails a write as a full disk does."""
    code = (
        "import resource, signal, sys\nfrom benchmark.tracking import *\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))\n"
        "Mlflow(uri=None, experiment='x').make_ready(Path(sys.argv[1]))"
    )
    for size in (0, 1000, 5000, 50_000, 100_000, 200_000, 300_000, 400_000):
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path), str(size)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode != 0 and "TrackingError" in done.stderr, done.stderr
        assert not (tmp_path / "mlflow" / "mlflow.db").exists()
    STORE.make_ready(tmp_path)
    assert damage(tmp_path / "mlflow" / "mlflow.db", filled=FILLED, every_page=True) is None
