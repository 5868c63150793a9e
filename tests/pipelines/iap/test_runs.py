"""IAP-AS as whole runs with tiny models of the real classes: the ablation, replays, and language models that fail."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmark.core.errors import BenchmarkError
from tests.data.dataset_trees import save
from tests.harness import command, run
from tests.pipelines.iap.prompters.servers import Reply, busy, chat, gemini, serving
from tests.tiny_models import one_thread, tiny  # noqa: F401

TINY = ("pipeline=iap_as", *tiny("iap_as"))
FAST = ("pipeline.prompter.retries.first_delay_s=0.01", "pipeline.prompter.retries.longest_delay_s=0.5")


def tree(folder: Path, *, good: bool = True) -> str:
    """Write two good and two defective images of one category in MVTec layout; returns the override for it."""
    rng = np.random.default_rng(0)
    root = folder / "data" / "parts" / "metal_nut"
    for place in ("train/good", "test/good", "test/hole") if good else ("test/hole",):
        for number in range(2):
            save(root / place / f"{number:03}.png", rng.integers(0, 256, (48, 64, 3), dtype=np.uint8))
    mask = np.zeros((48, 64), dtype=np.uint8)
    mask[10:20, 10:30] = 255
    for number in range(2):
        save(root / "ground_truth" / "hole" / f"{number:03}_mask.png", mask)
    return f"dataset.path={root.parent}"


@pytest.mark.slow
def test_shards_over_several_categories_end_with_the_result(tmp_path: Path) -> None:
    where = tree(tmp_path)
    shutil.copytree(tmp_path / "data/parts/metal_nut", tmp_path / "data/parts/tile")
    words = ("dataset=folder", where, *TINY, vocabulary(tmp_path))
    whole = run(tmp_path / "whole", *words)
    first, last = (run(tmp_path / "shards", *words, f"run.shard={part}/2") for part in (1, 2))
    assert first is None and last.result.digest == whole.result.digest


def vocabulary(folder: Path) -> str:
    """Write a vocabulary of a few words, for speed; returns the override for it."""
    path = folder / "words.txt"
    path.write_text("metal\nnut\ntile\nstone\ncup\n", encoding="utf-8")
    return f"pipeline.tagger.vocabulary={path}"


def prompts(finished: Any) -> list[dict[str, Any]]:
    table: list[dict[str, Any]] = finished.result.tables["prompts"]
    return table


@pytest.mark.slow
def test_the_ablation_is_one_sweep_of_six_rows_and_asks_every_prompt_once(tmp_path: Path) -> None:
    words = ["-m", "dataset=folder", tree(tmp_path), *TINY, vocabulary(tmp_path), "+sweep=iap_ablation"]
    done = command(*words, "pipeline.detector.floor=0", "pipeline.thresholds.box=0.01", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    (points,) = (tmp_path / "results" / "sweeps").glob("*/points.parquet")
    table = pd.read_parquet(points)
    steps = [set(str(s).strip("[]").split(",")) - {""} for s in table["pipeline.steps"]]
    assert steps == [
        set(),
        {"tagging"},
        {"tagging", "llm_prompt"},
        {"llm_prompt"},
        {"llm_prompt", "size_filter"},
        {"tagging", "llm_prompt", "size_filter"},
    ]
    assert (table["status"] == "ok").all() and table["ap"].notna().all()
    computed: dict[str, int] = {}
    for path in (tmp_path / "results" / "runs").glob("*/result.json"):
        for stage, number in pd.read_json(path, typ="series")["measured"]["samples_computed"].items():
            computed[stage] = computed.get(stage, 0) + number
    n = 4
    assert computed["sam_embedding"] == n, "the image is embedded once for all rows"
    assert computed["clip_tokens"] == 2 and computed["clip_vocabulary"] == 1
    # Tags on two good images; then on every image four captions with defects, and two names of the object.
    assert computed["groundingdino"] == 2 + 4 * n + 2 * n
    assert computed["iap_candidates"] == 4 * n


def test_a_run_without_any_good_image_ends_and_says_what_it_assumed(tmp_path: Path) -> None:
    finished = run(tmp_path, "dataset=folder", tree(tmp_path, good=False), *TINY, "dataset.include_good=false")
    (row,) = prompts(finished)
    assert row["object"] == "metal nut" and "no good image" in row["assumed"] and row["n_images"] == 2
    assert finished.result.protocol.name == "iap_as_exact"


def answers(name: str, speak: Callable[..., Reply], folder: Path, script: Callable[[int], Reply]) -> Any:
    """A run whose prompts come from a local server."""
    with serving(script) as fake:
        url = f"pipeline.prompter.provider.access.base_url={fake.url}"
        timeout = "pipeline.prompter.provider.access.timeout_s=0.4"
        given = ("dataset=folder", tree(folder), *TINY, vocabulary(folder))
        return run(folder, *given, f"prompter@pipeline.prompter={name}", url, timeout, *FAST), fake


@pytest.mark.parametrize(
    ("name", "speak"), [("openai_compatible", chat), pytest.param("google_genai", gemini, marks=pytest.mark.slow)]
)
def test_a_slow_failing_and_rambling_model_gives_a_run_that_repeats_from_its_records(
    name: str, speak: Callable[..., Reply], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", "AIza-not-a-real-key-012345678901234")
    rambling = "Sure! Here are some words:\n1. Scratch\n2. Crack\n3. A long sentence about how all metal nuts may fail"
    script = [Reply({}, delay=1.0), busy(503), Reply(b"no json"), speak(rambling)]
    finished, fake = answers(name, speak, tmp_path, lambda n: script[n])
    assert len(fake.bodies) == 4, "asked once more after each failure, and never again"
    (row,) = prompts(finished)
    assert row["caption"].startswith("scratch. crack. abnormal. defect.")
    assert "AIza-not" not in "".join(p.read_text() for p in (tmp_path / "results" / "prompts").rglob("*.json"))
    overrides = [word for word in TINY if "tagger" not in word]
    cached = ("tagger@pipeline.tagger=cached", "prompter@pipeline.prompter=cached", "run.overwrite=always")
    repeated = run(tmp_path, "dataset=folder", tree(tmp_path), *overrides, *cached)
    assert prompts(repeated)[0]["caption"] == row["caption"]
    values = [{(m.metric, m.category): m.value for m in one.result.metrics} for one in (finished, repeated)]
    assert values[0] == values[1]
    assert "clip_tokens" not in repeated.result.measured.samples_computed


def test_garbage_leaves_the_fixed_words_and_a_dead_service_ends_the_run(tmp_path: Path) -> None:
    finished, _ = answers("openai_compatible", chat, tmp_path / "a", lambda _: chat("{{#12 %%"))
    (row,) = prompts(finished)
    assert row["caption"].startswith("abnormal. defect.") and "names no defect" in row["assumed"]
    with pytest.raises(BenchmarkError, match=r"after 5 attempts.*prompter@pipeline\.prompter=static"):
        answers("openai_compatible", chat, tmp_path / "b", lambda _: busy(500))
    assert not list((tmp_path / "b" / "results" / "prompts").rglob("*.json"))


@pytest.mark.realdata
@pytest.mark.slow
@pytest.mark.parametrize("dataset", ["mtd", pytest.param("ksdd1_items", marks=pytest.mark.slow)])
def test_static_and_cached_prompts_on_real_images(dataset: str, real_data: Path, tmp_path: Path) -> None:
    base = (f"run.data_root={real_data}", f"dataset={dataset}", "dataset.allow_partial=true", "run.limit=6")
    first = run(tmp_path, *base, *TINY, vocabulary(tmp_path))
    overrides = [word for word in TINY if "tagger" not in word]
    cached = ("tagger@pipeline.tagger=cached", "prompter@pipeline.prompter=cached")
    again = run(tmp_path, *base, *overrides, *cached)
    assert [row["caption"] for row in prompts(first)] == [row["caption"] for row in prompts(again)]
    values = [{(m.metric, m.category): m.value for m in one.result.metrics} for one in (first, again)]
    assert values[0] == values[1] and first.result.dataset.n_samples_effective == 6
    assert sum(again.result.measured.samples_computed.values()) == 0


@pytest.mark.slow  # on generated images above
@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "speak"), [pytest.param("openai_compatible", chat, marks=pytest.mark.slow), ("google_genai", gemini)]
)
def test_language_models_name_defects_of_real_images(
    name: str, speak: Callable[..., Reply], real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", "AIza-not-a-real-key-012345678901234")
    script = [busy(429), speak("blowhole, break, fray")]
    base = (f"run.data_root={real_data}", "dataset=mtd", "run.limit=4", *TINY, vocabulary(tmp_path))
    with serving(lambda n: script[n]) as fake:
        url = f"pipeline.prompter.provider.access.base_url={fake.url}"
        finished = run(tmp_path, *base, f"prompter@pipeline.prompter={name}", url, *FAST)
    assert prompts(finished)[0]["caption"].startswith("blowhole. break. fray. abnormal. defect.")
