"""``run.engine=ray`` gives the result of one process, whatever fails on the way, and leaves no process behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmark.core.errors import BenchmarkError, ConfigError, StoreError
from benchmark.running import ray_connection, ray_engine
from benchmark.running.pools import Entry, Pool, stages_of
from benchmark.running.ray_worker import MOST_ATTEMPTS, Attempts, Job, StageWorker
from benchmark.running.run import make_manifest, planned
from tests.harness import ROOT, places, run, typed

OWN = f"hydra.searchpath=[file://{ROOT / 'tests' / 'conf'}]"
ON_RAY = ("run.engine=ray", "run.ray.actors=[1,2]", "run.ray.batch=4")
MARK = "BENCH_TEST_MARK"


def sat(number: int) -> tuple[str, ...]:
    """So many small generated images for the toy pipeline."""
    sizes = (
        "dataset.size=64",
        "dataset.n_train=4",
        f"dataset.n_good={number // 2}",
        f"dataset.n_defective={number // 2}",
    )
    return (OWN, "dataset=sat", "pipeline=slow_regions", *sizes)


def facts(finished: Any) -> tuple[str, str, bytes]:
    """The identity of a run, its digest, and the bytes of its table."""
    return finished.result.id, finished.result.digest, (finished.folder / "per_image.parquet").read_bytes()


@pytest.fixture(scope="module")
def started() -> Iterator[None]:
    """A Ray of our own, started once for the tests of this file."""
    with ray_connection.connected(typed(*ON_RAY).run.ray):
        yield


def test_one_process_and_ray_have_one_digest(started: None, tmp_path: Path) -> None:
    alone = run(tmp_path / "alone", *sat(12))
    log = tmp_path / "log"
    on_ray = run(tmp_path / "ray", *sat(12), *ON_RAY, f"pipeline.log={log}")
    assert set(on_ray.result.measured.samples_reused.values()) == {0}, "what actors computed was there before"
    assert facts(on_ray) == facts(alone)
    assert sorted(Counter(log.read_text().split()).values()) == [1] * 12
    assert on_ray.result.measured.samples_computed == {"slow": 12}
    again = run(tmp_path / "ray", *sat(12), *ON_RAY, f"pipeline.log={log}")
    assert again.result.digest == alone.result.digest and again.result.measured.samples_computed["slow"] == 0
    anew = run(tmp_path / "ray", *sat(12), *ON_RAY, f"pipeline.log={log}", "run.overwrite=always")
    assert facts(anew) == facts(alone)
    assert sorted(Counter(log.read_text().split()).values()) == [2] * 12


# ---- without Ray


def worker(folder: Path, *words: str, broken: int = 0, begun: int = 0) -> tuple[StageWorker, int]:
    """Return a worker in this process whose first ``broken`` images are no images, and the number of images."""
    config = typed(*sat(6), *places(folder), *words)
    manifest = make_manifest(config)
    for sample in manifest.test[:broken]:
        sample.image.write_bytes(b"no image")
    plan, _ = planned(config, manifest, manifest.test)
    attempts = Attempts()
    for _ in range(begun):
        attempts.begin((0, 0))
    job = Job(
        config=config,
        manifest=manifest,
        samples=manifest.test,
        prepare=planned,
        fingerprints=tuple(stage.fingerprint for stage in stages_of(plan)),
        folder=Path.cwd(),
        host=socket.gethostname(),
    )
    handle = SimpleNamespace(begin=SimpleNamespace(remote=attempts.begin))
    return StageWorker(job=job, attempts=handle, fetch=lambda told: told, settled=frozenset()), len(manifest.test)


def told(answer: dict[str, Any]) -> dict[str, Any]:
    (text,) = [text for text in answer["told"] if text]
    report: dict[str, Any] = json.loads(text)
    return report


def ask(one: StageWorker, count: int) -> dict[str, Any]:
    return one({"stage": np.zeros(count, dtype=np.int64), "sample": np.arange(count)})


def pooled(one: StageWorker, count: int) -> ray_engine._Work:
    """The driver's side of what a worker answers."""
    job = one._job
    _, context = planned(job.config, job.manifest, job.samples)
    pool = Pool("slow", tuple(Entry(0, number) for number in range(count)))
    return ray_engine._Work(job.config.run.ray, context, job.samples, {}, pool)


def test_a_worker_stores_a_batch_and_counts_it(tmp_path: Path) -> None:
    one, count = worker(tmp_path)
    assert told(ask(one, count))["stats"]["slow"]["computed"] == count == 6
    assert told(ask(one, count))["stats"]["slow"]["computed"] == 0


def test_a_failed_image_ends_the_run_or_is_a_row_as_in_one_process(tmp_path: Path) -> None:
    for folder in ("record", "stop", "far"):
        (tmp_path / folder).mkdir()
    one, count = worker(tmp_path / "record", "run.on_error=record", broken=2)
    answer = ask(one, count)
    assert answer["failed"].tolist() == [True, True, False, False, False, False]
    assert told(answer)["stats"]["slow"]["computed"] == 4
    one, count = worker(tmp_path / "stop", broken=1)
    kind, text = told(ask(one, count))["error"]
    assert kind == "DataError" and "00" in text and ".png" in text and "Ray node" not in text
    one, count = worker(tmp_path / "far", broken=1)
    object.__setattr__(one._job, "host", "another")
    kind, text = told(ask(one, count))["error"]
    assert kind == "DataError" and text.startswith(f"on the Ray node {socket.gethostname()}: ")


def test_a_batch_that_ends_its_processes_is_given_up(tmp_path: Path) -> None:
    one, count = worker(tmp_path, begun=MOST_ATTEMPTS - 1)
    assert "stats" in told(ask(one, count))
    answer = ask(one, count)
    assert told(answer) == {"begun": MOST_ATTEMPTS + 1}, (
        "nothing is loaded once more, as that may be what ends processes"
    )
    with pytest.raises(
        BenchmarkError, match=r"'slow': 4 processes ended over the 6 images from .*png on; where memory"
    ):
        pooled(one, count)._take(answer)


def test_a_node_with_other_files_says_so(tmp_path: Path) -> None:
    one, count = worker(tmp_path)
    object.__setattr__(one._job, "fingerprints", ("0" * 64,))
    kind, text = told(ask(one, count))["error"]
    assert kind == "ConfigError" and f"on the Ray node {socket.gethostname()}: the same settings plan other" in text


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (RuntimeError("odd"), "RuntimeError: odd .*test_ray.py"),
        (MemoryError(), "out of memory, .*run.batch_size"),
        (ModuleNotFoundError("No module named 'x'"), "No module named 'x' .*; every node needs the same packages$"),
    ],
)
def test_what_no_image_is_to_blame_for_is_a_sentence_too(tmp_path: Path, error: Exception, text: str) -> None:
    one, count = worker(tmp_path)

    def fails(*_: object) -> None:
        raise error

    object.__setattr__(one._job, "prepare", fails)
    with pytest.raises(BenchmarkError, match=f"^on the Ray node {socket.gethostname()}: .*{text}"):
        pooled(one, count)._take(ask(one, count))


def test_a_process_that_ends_at_once_is_told_by_one_beside_it() -> None:
    code = "from benchmark.running import ray_connection; import os, sys\n"
    code += "with ray_connection._told_if_cut_off('h:1'):\n    sys.argv[1:] and os._exit(7)"
    for words, status, said in (
        ((), 0, ""),
        (("cut",), 7, "error: the run was cut off: its Ray (run.ray.address=h:1)"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", code, *words], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == status and done.stderr.strip().startswith(said) and bool(done.stderr) == bool(said)


def test_a_further_interrupt_does_not_disturb_how_ray_ends() -> None:
    with ray_connection._without_interrupts():
        signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_actors_fit_into_nodes_not_into_their_sum(caplog: pytest.LogCaptureFixture) -> None:
    two = typed("run.engine=ray", "run.ray.actors=[2,2]", "run.ray.gpus=2").run.ray
    with pytest.raises(ConfigError, match=r"2 actors want 1 processor and 2 GPUs each, .* has room for 1: give"):
        ray_connection._check_room(two, [{"CPU": 4, "GPU": 1}, {"CPU": 4, "GPU": 3}])
    with pytest.raises(ConfigError, match=r"has room for 0: .*; run.ray.gpus=0 computes on processors"):
        ray_connection._check_room(two, [{"CPU": 4}])
    ray_connection._check_room(two, [{"CPU": 1, "GPU": 2}, {"CPU": 4, "GPU": 3}])
    assert not caplog.text
    ray_connection._check_room(two.model_copy(update={"gpus": 0}), [{"CPU": 2, "GPU": 1}])
    assert "left idle; run.ray.gpus=1 gives" in caplog.text
    ray_connection._check_room(two.model_copy(update={"address": "h:1"}), [{"CPU": 2, "GPU": 1}])
    assert "has room for 0; the run waits until there is more" in caplog.text


def test_what_workers_answer_reaches_the_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    one, count = worker(tmp_path, begun=1)
    work = pooled(one, count)
    context = work._context
    shown: list[tuple[str, int, int, int]] = []
    context.on_progress = lambda *told: shown.append(told)
    work._take(ask(one, count))
    assert context.stats["slow"].computed == 6 and shown == [("slow on Ray", 6, 6, 0)]
    assert "a Ray process or node was lost; its images of stage slow are begun again" in caplog.text
    failed = {"told": ["", json.dumps({"error": ["StoreError", "the disk is full"]})], "sample": [0, 1]}
    with pytest.raises(StoreError, match="the disk is full"):
        work._take(failed)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("run.shard=1/2",), "shard and engine=ray each share the work out; give one of them$"),
        (("run.ray.actors=[3,2]",), "run.ray.actors: .*the fewest and the most"),
        (("run.ray.actors=[0,2]",), "run.ray.actors: .*the fewest and the most"),
        (("run.ray.actors=2",), "run.ray.actors: .*the fewest and the most"),
        (("run.ray.actors=[a,b]",), "run.ray.actors: .*the fewest and the most"),
        (("run.ray.gpus=1.5",), r"run.ray.gpus: .*a part of one GPU, such as 0.5, or whole ones \(got 1.5\)$"),
        (("run.ray.address=ray://head:10001",), "run.ray.address: .*give local, auto, or host:port"),
        (("run.ray.batch=0",), "run.ray.batch"),
        (("run.device=cuda:0",), "device=cuda:0 with ray.gpus=0, which gives no actor a GPU: give run.ray.gpus=1"),
        (("run.ray.gpus=-1",), "run.ray.gpus"),
        (("+run.ray.gpu=1",), "unknown key 'run.ray.gpu'; did you mean 'gpus'"),
    ],
)
def test_wrong_settings_are_named(words: tuple[str, ...], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        typed("run.engine=ray", *words)


def test_without_ray_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_engine, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"Ray is not installed; install the extra: .*fm-defect-bench\[ray\]"):
        run(tmp_path, *sat(4), *ON_RAY)


@pytest.mark.parametrize("listens", [False, True])
def test_an_address_without_a_cluster_is_named_soon(
    listens: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_connection, "CONNECT_SECONDS", 0.5)
    monkeypatch.setenv("RAY_NUM_REDIS_GET_RETRIES", "2")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        if listens:  # and says nothing
            taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ConfigError, match=f"run.ray.address={address}: no Ray answers there"):
            run(tmp_path, *sat(4), "run.engine=ray", f"run.ray.address={address}")


# ---- what dies


def marked(mark: str) -> list[int]:
    """Processes that have the mark in their environment, as all have that a marked one starts."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except OSError:  # it ended meanwhile, or is not ours
            continue
    return found


def wait_for(happened: Callable[[], object], *, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.2)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("kind", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_a_run_that_is_stopped_leaves_no_process(tmp_path: Path, kind: signal.Signals, status: int) -> None:
    log = tmp_path / "log"
    words = [*sat(60), *places(tmp_path), *ON_RAY, "pipeline.seconds=0.5", f"pipeline.log={log}"]
    started = subprocess.Popen(
        [sys.executable, "-m", "benchmark", *words], cwd=ROOT, env={**os.environ, MARK: str(tmp_path)}
    )
    try:
        wait_for(lambda: log.exists() and len(log.read_text().split()) > 3, seconds=600)
        assert len(marked(str(tmp_path))) > 3
        started.send_signal(kind)
        assert started.wait(60) == status
        wait_for(lambda: not marked(str(tmp_path)), seconds=120)
    finally:
        started.kill()
        for process in marked(str(tmp_path)):
            os.kill(process, signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_node_lost_in_the_middle_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from ray._private import state
    from ray.cluster_utils import Cluster

    number, batch, log = 400, 20, tmp_path / "log"
    alone = run(tmp_path / "alone", *sat(number))
    monkeypatch.setenv(MARK, str(tmp_path))
    node = {"num_cpus": 1, "object_store_memory": 2**27}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    try:
        others = cluster.add_node(**node), cluster.add_node(**node)
        cluster.wait_for_nodes()

        def kill() -> None:
            """Kill a node whose actor is in the middle of a batch."""
            wait_for(lambda: log.exists() and len(log.read_text().split()) > number // 2, seconds=600)
            actors = {one["Address"]["NodeID"]: one["Pid"] for one in state.actors().values()}
            at_work = [(node, log.with_name(f"{log.name}-{actors[node.node_id]}")) for node in others]
            node, own = next((node, own) for node, own in at_work if own.exists())
            wait_for(lambda: 2 < len(own.read_text().split()) % batch < batch // 2, seconds=600)
            cluster.remove_node(node, allow_graceful=False)

        killer = threading.Thread(target=kill)
        killer.start()
        words = ("run.engine=ray", f"run.ray.address={cluster.address}", "run.ray.actors=[3,3]")
        on_ray = run(
            tmp_path / "ray",
            *sat(number),
            *words,
            f"run.ray.batch={batch}",
            "pipeline.seconds=0.1",
            f"pipeline.log={log}",
        )
        killer.join()
    finally:
        cluster.shutdown()
    begun = Counter(log.read_text().split())
    twice = sum(begun.values()) - len(begun)
    print(f"{len(begun)} entries, {twice} begun twice, {on_ray.result.measured.seconds:.0f} s")
    assert facts(on_ray) == facts(alone)
    assert "a Ray process or node was lost" in caplog.text and "all 3 Ray nodes must see it" in caplog.text
    assert len(begun) == number and twice <= batch
    wait_for(lambda: len(marked(str(tmp_path))) <= 1, seconds=60)  # this process itself may show the mark
