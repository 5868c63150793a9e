"""Stages and the context: what is computed, what is reused, and in which order it comes."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmark.core.errors import BenchmarkError, ConfigError, DataError, StoreError
from benchmark.core.samples import Manifest, Sample
from benchmark.stages.codec import Artifact
from benchmark.stages.context import MODEL_LIMIT, Context, clear_models
from benchmark.stages.stage import Inputs, Stage
from benchmark.stages.stage_cache import clear_renewed
from benchmark.stages.store import Store
from tests.slow_pipeline import slow_stage, write_images


class Counting:
    """A compute function that remembers its batches."""

    def __init__(self, name: str, *, fail: Sequence[str] = ()) -> None:
        self.name = name
        self.fail = set(fail)
        self.batches: list[list[str]] = []

    def __call__(self, inputs: Sequence[Inputs]) -> list[Artifact]:
        ids = [item.sample.id if item.sample else "once" for item in inputs]
        if self.fail & set(ids):
            raise ValueError(f"cannot do {sorted(self.fail & set(ids))[0]}")
        self.batches.append(ids)
        return [self.one(item) for item in inputs]

    def one(self, item: Inputs) -> Artifact:
        total = 0 if item.image is None else int(item.image.sum())
        return {"value": total + sum(int(up["value"]) for up in item.upstream.values()) + len(self.name)}

    @property
    def ids(self) -> list[str]:
        return [one for batch in self.batches for one in batch]


def stage(count: Counting, **options: Any) -> Stage:
    return Stage(**{"name": count.name, "version": 1, "settings": {}, "compute": count, **options})


@pytest.fixture
def toy(tmp_path: Path) -> Manifest:
    return write_images(tmp_path / "images", 12)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def make(toy: Manifest, store: Store, **options: Any) -> Context:
    return Context(**{"manifest": toy, "samples": toy.test, "store": store, **options})


def values(context: Context, chosen: Stage, samples: Sequence[Sample] | None = None) -> list[tuple[str, int]]:
    return [(sample.id, int(artifact["value"])) for sample, artifact in context.run(chosen, samples)]


def test_fingerprint_changes_with_what_changes_the_result() -> None:
    count = Counting("a")
    base = stage(count, settings={"prompt": "scratch", "k": 3}, weights={"sam": "11"})
    assert stage(count, settings={"k": 3, "prompt": "scratch"}, weights={"sam": "11"}).fingerprint == base.fingerprint
    assert replace(base, batch_size=7, needs_image=False).fingerprint == base.fingerprint
    changed = [
        replace(base, version=2),
        replace(base, name="b"),
        replace(base, settings={"prompt": "dent", "k": 3}),
        replace(base, weights={"sam": "12"}),
        replace(base, upstream=(stage(Counting("u")),)),
        replace(base, upstream=(stage(Counting("u"), version=2),)),
    ]
    assert len({base.fingerprint, *(s.fingerprint for s in changed)}) == 7


@pytest.mark.parametrize("bad", [Path("x"), float("nan"), {1}, np.float32(1)])
def test_settings_must_be_plain(bad: object) -> None:
    with pytest.raises(ConfigError, match="'k'"):
        stage(Counting("a"), settings={"k": bad})


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("batch", [1, 3, 5, 50])
def test_results_come_in_order_and_are_computed_once(toy: Manifest, store: Store, workers: int, batch: int) -> None:
    count = Counting("a")
    chosen = stage(count, batch_size=batch)
    context = make(toy, store, workers=workers)
    first = values(context, chosen)
    assert [name for name, _ in first] == [s.id for s in toy.test]
    assert count.ids == [s.id for s in toy.test]
    assert max(len(b) for b in count.batches) == min(batch, 12)
    assert values(make(toy, store), chosen) == first
    assert len(count.ids) == 12
    assert (context.stats["a"].computed, context.stats["a"].reused) == (12, 0)


def test_batches_hold_missing_samples_only(toy: Manifest, store: Store) -> None:
    count = Counting("a")
    whole = values(make(toy, Store(store.root / "other")), stage(Counting("a")))
    list(make(toy, store).run(stage(count), toy.test[::2]))
    count.batches.clear()
    context = make(toy, store)
    assert values(context, stage(count, batch_size=3)) == whole
    assert count.batches == [[s.id for s in toy.test[1:6:2]], [s.id for s in toy.test[7::2]]]
    assert (context.stats["a"].computed, context.stats["a"].reused) == (6, 6)


def test_device_workers_and_batch_size_recompute_nothing(toy: Manifest, store: Store) -> None:
    count = Counting("a")
    list(make(toy, store, device="cpu", workers=0).run(stage(count)))
    list(make(toy, store, device="cuda:1", workers=4).run(stage(count, batch_size=4)))
    assert len(count.ids) == 12


def test_a_change_recomputes_that_stage_and_what_follows_only(toy: Manifest, store: Store) -> None:
    a, b, c = Counting("a"), Counting("b"), Counting("c")

    def chain(prompt: str, **last: Any) -> Stage:
        first = stage(a)
        second = stage(b, settings={"prompt": prompt}, upstream=(first,), needs_image=False)
        return stage(c, upstream=(second,), needs_image=False, **last)

    list(make(toy, store).run(chain("scratch")))
    list(make(toy, store).run(chain("scratch", version=2)))
    assert (len(a.ids), len(b.ids), len(c.ids)) == (12, 12, 24)
    list(make(toy, store).run(chain("dent")))
    assert (len(a.ids), len(b.ids), len(c.ids)) == (12, 24, 36)


def test_upstream_is_not_read_for_a_stored_result(toy: Manifest, store: Store) -> None:
    a, b = Counting("a"), Counting("b")
    chosen = stage(b, upstream=(stage(a),), needs_image=False)
    list(make(toy, store).run(chosen))
    for entry in list(store.entries("a")):
        entry.path.unlink()
    context = make(toy, store)
    list(context.run(chosen))
    assert len(a.ids) == 12
    assert "a" not in context.stats


def test_a_shared_upstream_stage_is_computed_once(toy: Manifest, store: Store) -> None:
    a, left, right = Counting("a"), Counting("left"), Counting("right")
    base = stage(a, batch_size=4)
    both = (
        stage(left, upstream=(base,), needs_image=False),
        stage(right, upstream=(base,), needs_image=False, batch_size=2),
    )
    rows = list(make(toy, store).run_all(both))
    assert [sample.id for sample, _ in rows] == [s.id for s in toy.test]
    assert all(r["value"] == lo["value"] + 1 for _, (lo, r) in rows)
    assert (len(a.ids), len(left.ids), len(right.ids)) == (12, 12, 12)
    assert max(len(batch) for batch in a.batches) == 4


def test_equal_images_are_computed_once(toy: Manifest, store: Store) -> None:
    count = Counting("a")
    twins = [replace(s, id=f"{s.id}-{i}") for s in toy.test for i in range(2)]
    context = make(toy, store)
    rows = values(context, stage(count, batch_size=3), twins)
    assert [name for name, _ in rows] == [s.id for s in twins]
    assert len(count.ids) == 12
    assert (context.stats["a"].computed, context.stats["a"].reused) == (12, 12)


def test_memory_is_bounded_by_the_look_ahead(toy: Manifest, store: Store) -> None:
    pulled: list[int] = []
    context = make(toy, store, workers=1)
    for n, _ in enumerate(context.run(stage(Counting("a")), [toy.test[i % 12] for i in range(12)])):
        pulled.append(context.stats["a"].computed - n)
    assert max(pulled) <= 2


@pytest.mark.parametrize("workers", [0, 3])
def test_images_come_in_order(toy: Manifest, store: Store, workers: int) -> None:
    rows = list(make(toy, store, workers=workers).images())
    assert [sample.id for sample, _ in rows] == [s.id for s in toy.test]
    assert all(image.shape == (32, 32, 3) and image.dtype == np.uint8 for _, image in rows)


def test_a_failing_image_stops_the_run_and_what_is_done_is_kept(toy: Manifest, store: Store) -> None:
    count = Counting("a", fail=[toy.test[5].id])
    with pytest.raises(
        BenchmarkError,
        match=r"stage 'a' failed on .*00005\.png: ValueError: cannot do.* \(test_stages\.py, line \d+, in ",
    ):
        values(make(toy, store), stage(count, batch_size=4))
    count.fail.clear()
    context = make(toy, store)
    assert len(values(context, stage(count, batch_size=4))) == 12
    assert len(count.ids) == 12
    assert context.stats["a"].reused >= 7


def test_a_failing_image_is_recorded_and_its_batch_goes_on(toy: Manifest, store: Store) -> None:
    bad = [toy.test[5].id, toy.test[6].id]
    count = Counting("a", fail=bad)
    context = make(toy, store, on_error="record")
    rows = values(context, stage(Counting("b"), upstream=(stage(count, batch_size=4),), needs_image=False))
    assert [name for name, _ in rows] == [s.id for s in toy.test if s.id not in bad]
    assert list(context.failed) == bad
    assert "stage 'a'" in context.failed[bad[0]]


def test_an_image_that_cannot_be_read_names_its_file(toy: Manifest, store: Store) -> None:
    toy.test[3].image.write_bytes(b"not an image")
    with pytest.raises(DataError, match=r"00003\.png"):
        values(make(toy, store), stage(Counting("a")))
    context = make(toy, store, on_error="record")
    assert len(values(context, stage(Counting("a"), batch_size=5))) == 11
    assert list(context.failed) == [toy.test[3].id]
    again = make(toy, store, on_error="record")
    assert len(list(again.images())) == 11
    assert list(again.failed) == [toy.test[3].id]


def test_an_artifact_that_cannot_be_stored_ends_the_run_in_any_case(toy: Manifest, store: Store) -> None:
    odd = Stage(name="odd", version=1, settings={}, compute=lambda inputs: [{"x": object()} for _ in inputs])
    with pytest.raises(StoreError, match="'x'"):
        list(make(toy, store, on_error="record").run(odd))


def test_too_few_artifacts_are_noticed(toy: Manifest, store: Store) -> None:
    short = Stage(name="short", version=1, settings={}, compute=lambda inputs: [])
    with pytest.raises(BenchmarkError, match="0 artifacts for 1"):
        list(make(toy, store).run(short))


def test_refresh_computes_anew_once_a_process(toy: Manifest, store: Store) -> None:
    clear_renewed()
    count = Counting("a")
    list(make(toy, store).run(stage(count)))
    list(make(toy, store, refresh=True).run(stage(count)))
    assert len(count.ids) == 24
    list(make(toy, store, refresh=True).run(stage(count)))
    assert len(count.ids) == 24


def test_once_is_stored_by_its_content_key(toy: Manifest, store: Store) -> None:
    a, b = Counting("a"), Counting("b")
    chosen = stage(b, upstream=(stage(a),))
    assert make(toy, store).once(chosen, "text")["value"] == 2
    assert make(toy, store).once(chosen, "text")["value"] == 2
    assert (a.ids, b.ids) == (["once"], ["once"])
    make(toy, store).once(chosen, "other")
    assert len(b.ids) == 2


def test_a_failing_once_names_its_stage(toy: Manifest, store: Store) -> None:
    with pytest.raises(BenchmarkError, match="stage 'a' failed: ValueError: cannot do once"):
        make(toy, store, on_error="record").once(stage(Counting("a", fail=["once"])), "text")


def test_a_full_disk_ends_the_run_and_a_rerun_goes_on(
    toy: Manifest, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = Counting("a")
    whole = values(make(toy, Store(store.root / "calm")), stage(Counting("a")))
    put = Store.put

    def fills_up(self: Store, name: str, key: str, artifact: Artifact) -> None:
        if len(count.ids) > 5:
            raise StoreError("no space left")
        put(self, name, key, artifact)

    with monkeypatch.context() as patched:
        patched.setattr(Store, "put", fills_up)
        with pytest.raises(StoreError, match="no space"):
            values(make(toy, store, on_error="record"), stage(count))
    assert len(count.ids) == 6
    context = make(toy, store)
    assert values(context, stage(count)) == whole
    assert (context.stats["a"].reused, context.stats["a"].computed) == (5, 7)


def test_models_are_kept_between_contexts_and_bounded(toy: Manifest, store: Store) -> None:
    clear_models()
    loaded: list[int] = []

    def load(i: int) -> int:
        loaded.append(i)
        return i

    for _ in range(2):
        assert make(toy, store).model(("m", 0), lambda: load(0)) == 0
    assert loaded == [0]
    for i in range(1, MODEL_LIMIT + 1):
        make(toy, store).model(("m", i), lambda i=i: load(i))
    make(toy, store).model(("m", 0), lambda: load(0))
    assert loaded.count(0) == 2
    clear_models()


def test_progress_says_how_much_was_reused(toy: Manifest, store: Store) -> None:
    seen: list[tuple[str, int, int, int]] = []
    list(make(toy, store).run(stage(Counting("a")), toy.test[:5]))
    list(make(toy, store, on_progress=lambda *row: seen.append(row)).run(stage(Counting("a"))))
    assert seen[0] == ("a", 1, 12, 1)
    assert seen[-1] == ("a", 12, 12, 5)


def test_damaged_entries_are_computed_again_with_the_same_result(toy: Manifest, store: Store) -> None:
    chosen = slow_stage()
    whole = {s.id: (a["masks"], a["scores"].tobytes()) for s, a in make(toy, store).run(chosen)}
    rng = random.Random(0)
    hurt = rng.sample(sorted(entry.path for entry in store.entries()), 4)
    for i, path in enumerate(hurt):
        data = bytearray(path.read_bytes())
        if i % 2:
            data[len(data) // 2] ^= 16
        path.write_bytes(data if i % 2 else data[: len(data) // 2])
    context = make(toy, store)
    assert {s.id: (a["masks"], a["scores"].tobytes()) for s, a in context.run(chosen)} == whole
    stats = context.stats["slow"]
    assert (stats.computed, stats.reused, stats.dropped_corrupt) == (4, 8, 4)
