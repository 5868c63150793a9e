"""What the store lacks, in pools: each entry once, and only what something missing rests on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmark.config.pipeline import Plan
from benchmark.core.samples import Prediction, Sample
from benchmark.running.pools import Entry, batches, missing_pools, samples_of, stages_of
from benchmark.stages.codec import Artifact
from benchmark.stages.context import Context
from benchmark.stages.stage import Inputs, Stage
from benchmark.stages.store import Store
from tests.slow_pipeline import write_images


def numbers(inputs: Sequence[Inputs]) -> list[Artifact]:
    return [{"n": 1} for _ in inputs]


def chain(category: str) -> tuple[Stage, Stage, Stage]:
    """Boxes of a category, a shared embedding, and masks from both."""
    boxes = Stage(name="boxes", version=1, settings={"prompt": category}, compute=numbers)
    embedding = Stage(name="embedding", version=1, settings={}, compute=numbers)
    masks = Stage(name="masks", version=1, settings={}, compute=numbers, upstream=(boxes, embedding), needs_image=False)
    return boxes, embedding, masks


def planned(folder: Path) -> tuple[Plan, Context]:
    """Four images of two categories, of which two have one content."""
    made = write_images(folder / "images", 3)
    one, two, three = made.samples
    samples: list[Sample] = [one, replace(two, category="other"), three, replace(one, id="twin", category="other")]
    context = Context(manifest=made, samples=samples, store=Store(folder / "store"), workers=0)
    stages = {category: (chain(category)[2],) for category in context.categories}
    return Plan(stages=stages, predict=lambda _: Prediction(image_score=0.0)), context


def found(plan: Plan, context: Context) -> dict[str, list[tuple[str, str]]]:
    """Pool to its entries, as the prompt of the stage and the image."""
    stages, samples = stages_of(plan), samples_of(plan, context)
    return {
        pool.name: [(str(stages[e.stage].settings.get("prompt", "")), samples[e.sample].id) for e in pool.entries]
        for pool in missing_pools(plan, context)
    }


def test_each_entry_is_wanted_once_and_what_it_rests_on_comes_first(tmp_path: Path) -> None:
    plan, context = planned(tmp_path)
    pools = found(plan, context)
    assert list(pools) == ["boxes", "embedding", "masks"]
    images = ["00000.png", "00001.png", "00002.png"]
    assert [image for _, image in pools["embedding"]] == images  # the twin's embedding is that of its twin
    assert pools["boxes"] == [("toy", images[0]), ("other", images[1]), ("toy", images[2]), ("other", "twin")]
    assert len(pools["masks"]) == 4
    boxes = missing_pools(plan, context)[0]
    assert [samples_of(plan, context)[entry.sample].id for entry in boxes.first()] == images[:2]


def test_what_is_stored_and_what_only_that_rests_on_are_left_out(tmp_path: Path) -> None:
    plan, context = planned(tmp_path)
    first, *_ = context.samples
    (masks,) = plan.stages["toy"]
    boxes, _ = masks.upstream
    for _ in context.run(boxes, [context.samples[2]]):
        pass
    context.store.put("masks", masks.key(first.sha256), {"n": 1})
    pools = found(plan, context)
    assert pools["boxes"] == [("other", "00001.png"), ("other", "twin")]
    assert [image for _, image in pools["embedding"]] == ["00001.png", "00002.png", "twin"]
    for stage in plan.distinct:
        for _ in context.run(stage, [s for s in context.samples if stage in plan.stages[s.category]]):
            pass
    assert missing_pools(plan, context) == []
    context.refresh = True
    assert [len(pool.entries) for pool in missing_pools(plan, context)] == [4, 3, 4]
    context.stage_cache.settled = frozenset({"boxes", "embedding"})
    pools = found(plan, context)
    assert pools["boxes"] == [("toy", "00000.png")]  # its masks were there, so that they were never made
    assert len(pools["masks"]) == 4 and "embedding" not in pools


def test_batches_hold_all_entries_in_order() -> None:
    entries = [Entry(0, number) for number in range(5)]
    assert [len(batch) for batch in batches(entries, 2)] == [2, 2, 1]
    assert [entry for batch in batches(entries, 2) for entry in batch] == entries
