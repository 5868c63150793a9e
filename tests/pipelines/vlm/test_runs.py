"""Whole runs: from the command to the report, killed at random moments, and against a server that fails often."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
import weakref
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from benchmark.chat.answers import AnswerStore
from benchmark.core.samples import Sample
from benchmark.pipelines.vlm import prepare
from tests import harness
from tests.harness import ROOT, SMALL_SAT, command, compose, places, result_of, typed
from tests.pipelines.vlm.servers import Fake, Reply, Script, failed, label, said, serving
from tests.pipelines.vlm.toys import FAST, KEY, context, everything_below, images, pipeline, sent_sha256

GEMINI = ("pipeline=gemini", "pipeline.align.motion=none", "pipeline.draws=1", *FAST)


def confusion_script(
    samples: tuple[Sample, ...], *, wrong: float = 0.3, delay: float = 0.0
) -> tuple[Script, Counter[str]]:
    """Answers that are wrong for a seeded share of the images; also their confusion matrix."""
    truth = {sent_sha256(s): s.defective for s in samples}
    said_nok = {image: t != (random.Random(image).random() < wrong) for image, t in truth.items()}
    names = {(True, True): "tp", (False, True): "fp", (True, False): "fn", (False, False): "tn"}
    cells = Counter(names[truth[image], said_nok[image]] for image in truth)

    def script(image: str, number: int) -> Reply:
        answer = label("NOK" if said_nok[image] else "OK", "the solder shows what was seen")
        return Reply(answer.body, delay=delay)

    return script, cells


def test_sat_from_the_command_to_the_report_and_replayed_without_server_and_key(tmp_path: Path) -> None:
    samples = typed(*SMALL_SAT, *places(tmp_path)).dataset.manifest(tmp_path / "data").test
    script, cells = confusion_script(samples)
    words = (*SMALL_SAT, *GEMINI, "run.workers=0", "tracking=mlflow")
    with serving(script) as fake:
        done = command(*words, f"pipeline.provider.access.base_url={fake.url}", folder=tmp_path, GEMINI_API_KEY=KEY)
        assert done.returncode == 0, done.stderr
        assert len(fake.log) == len(samples) == 12
    first = result_of(tmp_path)
    by_hand = 5 * cells["tp"] / (5 * cells["tp"] + 4 * cells["fn"] + cells["fp"])
    f2 = {m["category"]: m for m in first["metrics"] if m["metric"] == "f2"}
    assert f2["pooled"]["value"] == pytest.approx(by_hand, abs=1e-12) and f2["pooled"]["low"] is not None
    assert {b["policy"] for b in first["baselines"]} >= {"always_defective", "prevalence"}
    assert first["measured"]["counters"]["vlm/answered"] == 12
    assert first["tables"]["labels"][0]["f2"] == pytest.approx(by_hand, abs=1e-12)
    assert first["tables"]["answers"][0]["invalid_rate"] == 0 and "always defective" in done.stdout.replace("_", " ")

    silent = dict.fromkeys(("GEMINI_API_KEY", "GOOGLE_API_KEY"), "")
    again = command(*words, "pipeline.answers.mode=replay", folder=tmp_path, **silent)
    assert again.returncode == 0, again.stderr
    second = result_of(tmp_path)
    assert second["digest"] == first["digest"]
    assert second["measured"]["counters"] == {"vlm/reused": 12.0, "vlm/hit_rate": 1.0, "vlm/spent_usd": 0.0}

    from benchmark.cli.main import main

    page = tmp_path / "report.html"
    assert main(["report", "--results-root", str(tmp_path / "results"), "--out", str(page)]) == 0
    assert "the solder shows what was seen" in page.read_text(encoding="utf-8")
    assert KEY not in done.stdout + done.stderr
    found = [(path, content) for path, content in everything_below(tmp_path) if KEY.encode() in content]
    assert found == []
    assert any("mlflow.db" in str(path) for path, _ in everything_below(tmp_path))


def test_a_missing_key_is_one_line(tmp_path: Path) -> None:
    done = command(*SMALL_SAT, *GEMINI, folder=tmp_path, GEMINI_API_KEY="", GOOGLE_API_KEY="")
    lines = [line for line in done.stderr.splitlines() if "generat" not in line.lower() and line.strip()]
    assert done.returncode == 1 and len(lines) == 1, done.stderr
    assert "GEMINI_API_KEY" in lines[0] and "replay" in lines[0]


WORKER = """
import sys
from pathlib import Path
from tests.pipelines.vlm.toys import context, images, pipeline, predict
folder, url, n = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
chosen = pipeline(folder, f"pipeline.provider.access.base_url={url}", "pipeline.calls.max_concurrency=4")
predict(chosen, context(folder, images(folder / "images", n)))
"""


def kill_and_go_on(folder: Path, fake: Fake, words: list[str], *, kills: int, seed: int, threads: int) -> int:
    """Start, kill after a random number of calls, check that nothing stored is asked again; then let it end.

    Returns how many images were billed more than once (they were under way when a process was killed).
    """
    generator = random.Random(seed)
    environment = {**os.environ, "GEMINI_API_KEY": KEY, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    stored: set[str] = set()
    for _ in range(kills):
        before = len(fake.log)
        process = subprocess.Popen(words, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        wanted = before + generator.randint(1, 2 * threads)
        end = time.monotonic() + 60
        while len(fake.log) < wanted and process.poll() is None and time.monotonic() < end:
            time.sleep(0.002)
        time.sleep(generator.random() * 0.05)
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
        process.communicate()
        assert not stored & {c.image for c in fake.log[before:]}, "an image whose answer was kept is asked again"
        stored = {r.request["parts"][-2]["sha256"] for r in AnswerStore(folder / "answers").records()}
        assert len([i for i in fake.billed if i not in stored]) <= threads, "more answers are lost than were under way"
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stderr
    return sum(n > 1 for n in fake.billed.values())


def labels_of(folder: Path) -> dict[str, Any]:
    """Image to text of every stored answer."""
    read = {}
    for record in AnswerStore(folder / "answers").records():
        parts = [p for p in record.request["parts"] if "sha256" in p]
        assert record.body is not None
        read[parts[-1]["sha256"]] = json.loads(record.body)["candidates"][0]["content"]["parts"][0]["text"]
    return read


@pytest.mark.parametrize("kills", [1, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_at_random_moments_every_image_is_billed_once(tmp_path: Path, kills: int) -> None:
    n = 12 + 6 * kills
    samples = images(tmp_path / "images", n)
    script, cells = confusion_script(samples, delay=0.03)
    with serving(script) as fake:
        words = [sys.executable, "-c", WORKER, str(tmp_path), fake.url, str(n)]
        twice = kill_and_go_on(tmp_path, fake, words, kills=kills, seed=kills, threads=4)
        assert len(fake.billed) == n and twice <= 4 * kills
    with serving(script) as other:
        whole = tmp_path / "whole"
        chosen = pipeline(whole, f"pipeline.provider.access.base_url={other.url}")
        predictions = [p for _, p in harness.predict(chosen, context(whole, samples))]
    assert labels_of(tmp_path) == labels_of(whole)
    replayed = pipeline(tmp_path, "pipeline.answers.mode=replay")
    assert [p for _, p in harness.predict(replayed, context(tmp_path, samples))] == predictions
    assert sum(bool(p.label) for p in predictions) == cells["tp"] + cells["fp"]


def faulty(image: str, number: int) -> Reply:
    """Up to three faults in a row of any kind, then an answer that is valid for most images."""
    generator = random.Random(f"{image}{number}")
    if number <= 3 and generator.random() < 0.25:
        fault = generator.randrange(4)
        delayed = Reply(label("OK").body, delay=2.2)
        return (failed(429, retry=0.2), failed(500), delayed, Reply(drop=True))[fault]
    return said("{malformed") if random.Random(image).random() < 0.1 else label("NOK")


@pytest.mark.parametrize(("n", "rpm"), [(50, 40), pytest.param(1000, 300, marks=pytest.mark.slow)])
def test_a_server_that_fails_often(tmp_path: Path, n: int, rpm: int, monkeypatch: pytest.MonkeyPatch) -> None:
    alive: weakref.WeakSet[object] = weakref.WeakSet()
    encode, most = prepare.encode, 0

    def watched(image: Any) -> Any:
        sent = encode(image)
        alive.add(sent)
        return sent

    monkeypatch.setattr(prepare, "encode", watched)
    samples = images(tmp_path / "images", n)
    with serving(faulty) as fake:
        fake.keep_bodies = False
        chosen = pipeline(
            tmp_path,
            f"pipeline.provider.access.base_url={fake.url}",
            "pipeline.provider.access.timeout_s=1.5",
            "pipeline.calls.max_concurrency=16",
            f"pipeline.calls.rpm={rpm}",
            "pipeline.calls.window_s=2",
        )
        outcomes: Counter[str] = Counter()
        seen = []
        for sample, prediction in harness.streamed(chosen, context(tmp_path, samples)):
            outcomes[prediction.outcome] += 1
            seen.append(sample.id)
            most = max(most, len(alive))
        time.sleep(1.0)  # replies that nobody waits for any more
        log = list(fake.log)
    assert seen == [s.id for s in samples]
    assert outcomes["ok"] + outcomes["invalid"] == n and outcomes["invalid"] > 0
    assert {c.image for c in log} == {sent_sha256(s) for s in samples}
    calls: dict[str, list[Any]] = {}
    for call in log:
        calls.setdefault(call.image, []).append(call)
    for image, made in calls.items():
        replies = [faulty(image, i + 1) for i in range(len(made))]
        good = [r.status == 200 and not r.drop and not r.delay for r in replies]
        assert good == [False] * (len(made) - 1) + [True], "asked again after an answer"
        for i, reply in enumerate(replies[:-1]):
            if reply.status == 429:
                assert made[i + 1].time - made[i].time >= 0.2
    times = sorted(c.time for c in log)
    for i in range(len(times) - rpm):
        # a window of the client, less what messages take to arrive on a busy machine
        assert times[i + rpm] - times[i] > 1.0, "more calls in two seconds than allowed"
    assert most <= 8 * 16, "images of answered questions stay in memory"


def test_table_two_composes_and_prints_the_paper_beside_what_was_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmark.report.papers.availability import obstacles
    from benchmark.report.papers.paper import cells, load_paper

    paper = load_paper("domain_gap")
    asked = [c for c in cells(paper, paper.tables["2"]) if c.method.name.startswith("Gemini 2.5") and c.overrides]
    (basic, refined) = [c for c in asked if c.row.dataset == "mvtec"]
    for cell, prompt, printed in ((basic, "basic", "0.99"), (refined, "refined", "0.92")):
        composed, choices = compose(*cell.overrides)
        assert composed["pipeline"]["prompt"] == prompt and choices["dataset"] == "mvtec"
        assert choices["protocol"] == "domain_gap" and composed["pipeline"]["provider"]["model"] == "gemini-2.5-pro"
        assert composed["dataset"]["split"] == "holdout20"
        assert cell.published[0] is not None and cell.published[0].printed == printed
    for name in ("GEMINI_API_KEY", "GOOGLE_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    for missing in obstacles(asked, extra=places(tmp_path)):
        assert missing is not None and "no stored answers of gemini-2.5-pro" in missing.phrase
        assert "benchmark answers import" in str(missing.fix)
