"""Why a stage is computed again has an answer that names the change."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from benchmark.stages.context import Context
from benchmark.stages.explain import explain
from benchmark.stages.stage import Stage
from benchmark.stages.store import Store
from tests.slow_pipeline import write_images


def stage(name: str = "detect", **options: object) -> Stage:
    values = {"version": 1, "settings": {"prompt": "scratch", "box": {"floor": 0.1}}, "weights": {"dino": "11" * 32}}
    return Stage(name=name, compute=lambda inputs: [{"x": 1} for _ in inputs], **{**values, **options})  # type: ignore[arg-type]


def note(store: Store, *stages: Stage) -> None:
    for one in stages:
        note(store, *one.upstream)
        store.note(one.name, one.fingerprint, one.facts)


def test_nothing_stored_and_all_stored(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert "nothing is stored" in explain(stage(), store)
    note(store, stage())
    assert "exactly these settings" in explain(stage(), store)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"version": 2}, "version: 1 -> 2"),
        ({"settings": {"prompt": "dent", "box": {"floor": 0.1}}}, 'setting \'prompt\': "scratch" -> "dent"'),
        ({"settings": {"prompt": "scratch", "box": {"floor": 0.2}}}, "setting 'box.floor': 0.1 -> 0.2"),
        ({"settings": {"prompt": "scratch", "box": {"floor": 0.1}, "k": 3}}, "setting 'k': (not set) -> 3"),
        ({"settings": {"box": {"floor": 0.1}}}, "setting 'prompt': \"scratch\" -> (not set)"),
        ({"weights": {"dino": "22" * 32}}, f'weights \'dino\': "{"11" * 32}" -> "{"22" * 32}"'),
    ],
)
def test_the_change_is_named(tmp_path: Path, change: dict[str, object], line: str) -> None:
    store = Store(tmp_path)
    note(store, stage())
    text = explain(stage(**change), store)
    assert text.splitlines()[1:] == [f"  {line}"]


def test_the_nearest_fingerprint_is_taken(tmp_path: Path) -> None:
    store = Store(tmp_path)
    note(store, stage(settings={"prompt": "dent", "box": {"floor": 0.3}}), stage(), stage(version=7, weights={}))
    assert explain(stage(version=2), store).splitlines()[1:] == ["  version: 1 -> 2"]


def test_a_change_far_upstream_is_followed_down(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = stage()
    last = stage("segment", upstream=(stage("box", upstream=(first,)),))
    note(store, last)
    changed = stage("segment", upstream=(stage("box", upstream=(replace(first, version=4),)),))
    (line,) = explain(changed, store).splitlines()[1:]
    assert line == "  upstream stage 'box', upstream stage 'detect', version: 1 -> 4"


def test_added_and_removed_upstream_stages_are_named(tmp_path: Path) -> None:
    store = Store(tmp_path)
    note(store, stage("segment", upstream=(stage("a"),)))
    text = explain(stage("segment", upstream=(stage("b"),)), store)
    assert "'b': new" in text
    assert "'a': no longer there" in text


def test_a_run_says_why_it_computes_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    manifest = write_images(tmp_path / "images", 3)
    store = Store(tmp_path / "store")
    caplog.set_level(logging.INFO, logger="benchmark")
    list(Context(manifest=manifest, samples=manifest.test, store=store).run(stage()))
    assert not caplog.messages
    list(Context(manifest=manifest, samples=manifest.test, store=store).run(stage(version=2)))
    assert [message for message in caplog.messages if "version: 1 -> 2" in message] == caplog.messages
    assert len(caplog.messages) == 1
