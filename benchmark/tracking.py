"""Tracking in MLflow; nothing else in the package knows that MLflow exists."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from pydantic import Field

from benchmark.core.deadline import within
from benchmark.core.errors import BenchmarkError, TrackingError
from benchmark.core.secrets import redact
from benchmark.core.settings import Settings
from benchmark.core.sqlite_files import address_of, damage, file_of, make_whole, set_aside
from benchmark.results.files import read_result
from benchmark.results.mlflow_entry import PARENT_VARIABLE, log_metrics, log_run, told_of
from benchmark.results.mlflow_questions import log_traces
from benchmark.results.traces import read_traces

if TYPE_CHECKING:
    from filelock import FileLock
    from mlflow import MlflowClient


Result = TypeVar("Result")
log = logging.getLogger(__name__)
SECONDS, SECONDS_A_MB = 120.0, 10.0
"""How long a server may take for all of a run: at least, and for each megabyte of its files."""
FILLED = ("SELECT version_num FROM alembic_version", "SELECT name FROM experiments")
"""What finds a row once MLflow has finished making a database."""


class NoTracking(Settings):
    """Tracking switched off."""

    trace_limit: ClassVar[int] = 0
    """How many questions to language models are kept."""

    def log(self, folder: Path, *, results_root: Path) -> str | None:
        """Do nothing."""
        return None

    def start_sweep(self, name: str, *, results_root: Path) -> None:
        """Do nothing."""

    def finish_sweep(
        self, folder: Path, *, results_root: Path, metrics: Mapping[str, float], status: str = "FINISHED"
    ) -> None:
        """Do nothing."""


class Mlflow(Settings):
    """An MLflow store: SQLite in the results folder, or any tracking server."""

    uri: str | None
    """Tracking URI; None: ``<results_root>/mlflow/mlflow.db``."""
    experiment: str
    traces: bool = True
    """Whether each question to a language model is a trace."""
    most_traces: int = Field(default=200, ge=0)
    """Questions of a run that are traces, the first ones."""

    @property
    def trace_limit(self) -> int:
        """How many questions to language models are kept."""
        return self.most_traces if self.traces else 0

    def address(self, results_root: Path) -> str:
        """Return the tracking URI in force."""
        return self.uri if self.uri is not None else address_of(results_root / "mlflow" / "mlflow.db")

    def make_ready(self, results_root: Path) -> str:
        """Make the database where it is a file that is not there yet, and return its address; raises TrackingError."""
        with self._store(results_root, results_root) as address:
            return address

    def log(self, folder: Path, *, results_root: Path) -> str | None:
        """Log a finished run from its folder and return the MLflow run id.

        Raises:
            TrackingError: the store cannot be reached; the run's files stay and can be logged later.
        """
        result, traces = read_result(folder), read_traces(folder, self.trace_limit)

        def send(given_up: Event) -> str:
            with self._client(folder, results_root, given_up) as (client, experiment), _alone(folder):
                run_id = log_run(client, experiment, result, folder)
                log_traces(client, experiment, run_id, traces, dataset=result.dataset.name)
                return run_id

        return self._in_time(send, folder, results_root)

    def start_sweep(self, name: str, *, results_root: Path) -> None:
        """Create the parent run of a sweep; its jobs find it through the environment."""

        def send(given_up: Event) -> str:
            with self._client(results_root, results_root, given_up) as (client, experiment):
                return str(client.create_run(experiment, run_name=name, tags={"kind": "sweep"}).info.run_id)

        os.environ[PARENT_VARIABLE] = self._in_time(send, results_root, results_root)

    def finish_sweep(
        self, folder: Path, *, results_root: Path, metrics: Mapping[str, float], status: str = "FINISHED"
    ) -> None:
        """Log a sweep's table, plots and best metrics to the parent run and end it with a state of MLflow's."""
        parent = os.environ.pop(PARENT_VARIABLE, None)
        if parent is None:
            return
        import pandas as pd

        def send(given_up: Event) -> None:
            with self._client(folder, results_root, given_up) as (client, _):
                table = folder / "points.csv"
                if table.exists():
                    client.log_table(parent, pd.read_csv(table), "tables/points.json")
                for file in sorted(folder.glob("*.*")):
                    client.log_artifact(parent, str(file))
                log_metrics(client, parent, metrics)
                client.set_terminated(parent, status)

        self._in_time(send, folder, results_root)

    def _in_time(self, send: Callable[[Event], Result], folder: Path, results_root: Path) -> Result:
        """Call ``send``; a server that holds it for long, byte by byte, is given up as one that cannot be reached."""
        address, given_up = self.address(results_root), Event()
        if file_of(address) is not None:
            return send(given_up)
        size = sum(path.stat().st_size for path in folder.glob("*.*") if path.is_file())
        try:
            return within(SECONDS + SECONDS_A_MB * size / 1e6, lambda: send(given_up))
        except TimeoutError as error:
            given_up.set()
            raise TrackingError(_unusable(address, f"{error}", folder)) from None

    @contextmanager
    def _client(self, folder: Path, results_root: Path, given_up: Event) -> Iterator[tuple[MlflowClient, str]]:
        """Give a client, which does nothing more once given up, and the experiment's id; failures: TrackingError."""
        with self._store(folder, results_root) as address:
            from mlflow import MlflowClient

            client = MlflowClient(tracking_uri=address)
            with _lock(file_of(address), results_root):
                experiment = self._experiment_id(client, results_root / "mlflow")
            yield cast("MlflowClient", _UntilGivenUp(client, given_up)), experiment

    @contextmanager
    def _store(self, folder: Path, results_root: Path) -> Iterator[str]:
        """Give the address of a store that is whole; any failure, in the block too, becomes a TrackingError."""
        address = self.address(results_root)
        database = file_of(address)
        _quiet_environment(pooled=database is None)
        try:
            _find_home(results_root / "mlflow")
            if database is not None:
                with _lock(database, results_root):
                    self._have(database)
            yield address
        except BenchmarkError:
            raise
        except Exception as error:
            reason = told_of(error)
            if database is not None and database.exists():
                with _lock(database, results_root):
                    broken = damage(database, filled=FILLED, every_page=True)
                    reason += "" if broken is None else f"; {self._refuse(database, broken)}"
            raise TrackingError(_unusable(address, reason, folder)) from None

    def _have(self, database: Path) -> None:
        """Make a database that is not there under another name first, in place of a damaged one too."""
        if database.exists() and (broken := damage(database, filled=FILLED)) is not None:
            message = self._refuse(database, broken)
            if self.uri is not None:
                raise TrackingError(message)
            log.warning(message)
        if not database.exists():
            from mlflow import MlflowClient

            make_whole(database, lambda address: MlflowClient(tracking_uri=address).search_experiments(max_results=1))

    def _refuse(self, database: Path, broken: str) -> str:
        """Say in what a database is damaged; our own gives up its name, so that a new one can be made."""
        if self.uri is not None:
            return f"{database} is damaged or was not finished ({broken}): move it away, or choose another tracking.uri"
        return (
            f"{database} was damaged or not finished ({broken}); it is kept as {set_aside(database).name}, and a new "
            f"one is made. Log earlier results again with: python -m benchmark track "
            f"{database.parent.parent / 'runs'}/*"
        )

    def _experiment_id(self, client: MlflowClient, local: Path) -> str:
        place = self._artifacts(local)
        if self.uri is None:
            _follow(local, (local / "artifacts").resolve().as_uri())
        found = client.get_experiment_by_name(self.experiment)
        if found is not None:
            return str(found.experiment_id)
        return str(client.create_experiment(self.experiment, artifact_location=place))

    def _artifacts(self, local: Path) -> str | None:
        """Return where artifacts go; None where a server decides.

        MLflow would put those of a database into ``./mlruns`` of whatever folder a run was started in.
        """
        from sqlalchemy.engine import make_url
        from sqlalchemy.exc import ArgumentError

        if self.uri is None:
            return (local / "artifacts").resolve().as_uri()
        try:
            address = make_url(self.uri)
        except ArgumentError:
            return None
        if address.get_backend_name() == "sqlite" and address.database:
            return (Path(address.database).resolve().parent / "artifacts").as_uri()
        databases = ("postgresql", "mysql", "mssql")
        return (local / "artifacts").resolve().as_uri() if address.get_backend_name() in databases else None


class _UntilGivenUp:
    """A client whose calls are refused once nobody waits for them: what is logged later again is not logged twice."""

    def __init__(self, client: MlflowClient, given_up: Event) -> None:
        self._client, self._given_up = client, given_up

    def __getattr__(self, name: str) -> Any:
        if self._given_up.is_set():
            raise TrackingError("given up")
        return getattr(self._client, name)


def _unusable(address: str, reason: str, folder: Path) -> str:
    return (
        f"MLflow at {redact(address)} cannot be used ({reason}). The results are kept in {folder}; "
        f"log them later with: python -m benchmark track {folder} --uri URI"
    )


def _lock(database: Path | None, results_root: Path) -> FileLock:
    """Return the lock of a store: several processes that create one race in its migrations and break it."""
    from filelock import FileLock

    folder = results_root / "mlflow" if database is None else database.parent
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(str(folder / ".lock"))


def _follow(local: Path, place: str) -> None:
    """Let the embedded store find its artifacts again after the results folder was moved or copied."""
    import sqlite3
    from contextlib import closing

    path = local / "mlflow.db"
    if not path.is_file():
        return
    with closing(sqlite3.connect(path)) as store, store:
        places = store.execute("SELECT DISTINCT artifact_location FROM experiments").fetchall()
        for (old,) in places:
            if not old or old == place or not old.endswith("/mlflow/artifacts"):
                continue
            store.execute("UPDATE experiments SET artifact_location = ? WHERE artifact_location = ?", (place, old))
            moved = "UPDATE runs SET artifact_uri = ? || substr(artifact_uri, ?) WHERE substr(artifact_uri, 1, ?) = ?"
            store.execute(moved, (place, len(old) + 1, len(old) + 1, f"{old}/"))


def _find_home(local: Path) -> None:
    """Name a home folder for MLflow where the user has none, as in a container with a user number of its own."""
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = str(local.resolve())


def _quiet_environment(*, pooled: bool = True) -> None:
    """Set MLflow's own switches, unless the user did: no telemetry, no bars, no minutes of retries.

    A database that is a file is opened anew for every use (``pooled`` false): none is written after it was set aside.
    """
    if not pooled:
        os.environ.setdefault("MLFLOW_SQLALCHEMYSTORE_POOLCLASS", "NullPool")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    for name in ("alembic", "mlflow.store.db.utils", "mlflow.utils.environment"):
        logging.getLogger(name).setLevel(logging.WARNING)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the right to log a run's folder; it falls with the process, however that ends."""
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
