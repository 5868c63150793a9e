"""Memory stays flat in the number of images; tests/perf/scale.py measures the whole of it."""

from __future__ import annotations

import gc
import tracemalloc
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmark.core import mapped
from benchmark.core.sample_columns import Samples
from benchmark.results import figures, files
from benchmark.running import run
from benchmark.scoring.kept_images import tables_of
from benchmark.scoring.metrics import bootstrap, score_spool, swap
from benchmark.scoring.metrics.counts import Counts, score_counts
from benchmark.scoring.metrics.pixel import ap
from benchmark.scoring.metrics.pool import image_counts
from benchmark.tracking import NoTracking
from tests import harness
from tests.generated_images import evaluated, kept, samples


def bytes_of(make):
    """Return the bytes that the package holds of what is made, without what the interpreter keeps for its own use."""
    tracemalloc.start()
    made = make()
    gc.collect()
    held = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, "*/benchmark/*")])
    tracemalloc.stop()
    del made
    return sum(trace.size for trace in held.traces)


def test_a_further_image_costs_some_hundred_bytes():
    evaluated(50, maps=False, resamples=0)  # what is imported is not the images' memory
    few, many = (bytes_of(lambda n=n: evaluated(n, maps=False, resamples=0)) for n in (300, 3000))
    assert (many - few) / 2700 < 500
    few, many = (bytes_of(lambda n=n: Samples.of(samples(n))) for n in (300, 3000))
    assert (many - few) / 2700 < 300


def test_samples_come_back_as_they_were_given():
    given = list(samples(90))
    given[3] = replace(given[3], split="train", group="tile", mask_sha256="no digest", more_masks=(Path("b.png"),))
    given[4] = replace(given[4], id="caf\udce9.png", image=Path("/d/caf\udce9.png"), category="other", mask_peak=200)
    kept_samples = Samples.of(iter(given))
    assert kept_samples == given
    assert kept_samples[4:2:-1] == given[4:2:-1]
    assert kept_samples.of_split("train") == [given[3]]
    assert kept_samples.of_split("test")[3:].categories == tuple(dict.fromkeys(s.category for s in given[4:]))


def test_what_lies_in_files_counts_the_same(tmp_path, monkeypatch):
    answers = {}
    monkeypatch.setattr(bootstrap, "BLOCK", 2000)
    for name in ("memory", "files"):
        folder = tmp_path / name
        folder.mkdir()
        evaluation = evaluated(80, maps=True, resamples=20)
        digest = kept(evaluation, folder)
        answers[name] = digest, evaluation.report(), sorted(p.read_bytes() for p in folder.glob("[bd]*"))
        monkeypatch.setattr(mapped, "HELD_BYTES", 1000)
        monkeypatch.setattr(swap, "HELD_BYTES", 1000)
        monkeypatch.setattr(score_spool, "HELD_BYTES", 0)
        monkeypatch.setattr(score_spool, "SEGMENT_BYTES", 20_000)
    assert answers["memory"] == answers["files"]


def test_counts_of_images_leave_no_holes():
    tables = tables_of(evaluated(300, maps=True, resamples=0)._sets()["pooled"])
    tracemalloc.start()
    counts = image_counts(tables, np.linspace(1.3, 0.0, 50))
    pieces = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, "*/metrics/pool.py")]).traces
    tracemalloc.stop()
    assert counts.tp.shape == (300, 50)
    assert len(pieces) < 100, "an array an image lies between what is freed, so that nothing goes back to the system"


def test_resampled_scores_are_those_of_repeated_images():
    random = np.random.default_rng(1)
    scores, truth = random.integers(0, 6, 40).astype(float), random.random(40) < 0.3
    weights = bootstrap.resample(40, resamples=9, seed=0, stratum="a")
    counts = score_counts(scores, truth)
    drawn = bootstrap.score_replicates(scores, truth, counts, weights, {"ap": ap})["ap"]
    for value, times in zip(drawn, weights, strict=True):
        repeated: Counts = score_counts(np.repeat(scores, times), np.repeat(truth, times))
        assert value == pytest.approx(float(ap(repeated)), abs=1e-12)


def test_rows_of_groups_are_those_of_one_table(tmp_path, monkeypatch):
    rows = [
        {"id": str(at), "label": None if at < 3 else at % 2 == 0, "iou": None if at < 5 else 0.25, "rationale": None}
        | {"pixels": at if at != 6 else None, "whole": at}
        | ({"late": at} if at > 7 else {})
        for at in range(12)
    ]
    files.write_rows(tmp_path / "one", rows)
    monkeypatch.setattr(files, "GROUP", 4)
    files.write_rows(tmp_path / "groups", rows)
    import pandas as pd

    expected = files.rows_frame(rows)
    for name in ("one", "groups"):
        found = pd.read_parquet(tmp_path / name)
        assert list(found) == list(expected)
        assert found.dtypes.to_dict() == expected.dtypes.to_dict()
        assert (
            found.astype(object)
            .where(found.notna(), None)
            .equals(expected.astype(object).where(expected.notna(), None))
        )


def test_a_tracking_server_gets_no_json_of_many_rows(tmp_path, monkeypatch):
    files.write_rows(tmp_path / files.ROWS, [{"id": str(at), "defective": True} for at in range(3)])
    assert figures.tables_of(tmp_path) == figures.TABLES
    monkeypatch.setattr(figures, "MOST_ROWS", 2)
    assert figures.tables_of(tmp_path) == figures.TABLES[:1]


def test_what_is_kept_of_images_is_free_before_a_run_is_tracked(tmp_path, monkeypatch):
    kept_of, left = [], []
    evaluate = run.evaluate

    def watched(*given):
        evaluation = evaluate(*given)
        kept_of.append(weakref.ref(evaluation))
        return evaluation

    monkeypatch.setattr(run, "evaluate", watched)
    monkeypatch.setattr(NoTracking, "log", lambda *_, **__: left.append(kept_of[0]()))
    harness.run(tmp_path, *harness.SMALL_SAT, "pipeline=constant")
    assert left == [None]
