"""Batches: how large they are, what is left of them when memory runs out, and what the time went for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmark.core.samples import Manifest
from benchmark.stages.batching import ON_CUDA, Batching
from benchmark.stages.codec import Artifact
from benchmark.stages.context import Context
from benchmark.stages.stage import Inputs, Stage
from benchmark.stages.store import Store
from tests.slow_pipeline import write_images


class Network:
    """Counts its batches; memory does for ``fits`` images at once, and one image cannot be computed."""

    def __init__(self, *, fits: int, bad: str = "", error: type[Exception] = RuntimeError) -> None:
        self.fits, self.bad, self.error = fits, bad, error
        self.done: list[int] = []
        self.tried: list[int] = []

    def __call__(self, inputs: Sequence[Inputs]) -> list[Artifact]:
        self.tried.append(len(inputs))
        if len(inputs) > self.fits:
            raise self.error("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has 1.00 GiB free.")
        if any(one.sample and one.sample.id == self.bad for one in inputs):
            raise ValueError("cannot be computed")
        self.done.append(len(inputs))
        return [{"value": int(one.pixels.sum())} for one in inputs]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return write_images(tmp_path_factory.mktemp("images"), 12)


def stage_of(network: Network, batch_size: int | None = 1) -> Stage:
    return Stage(name="net", version=1, settings={}, compute=network, batch_size=batch_size)


def context_of(images: Manifest, folder: Path, batch_size: int | None) -> Context:
    store = Store(folder / "store")
    return Context(manifest=images, samples=images.test, store=store, batch_size=batch_size, on_error="record")


def test_the_run_says_how_many_and_a_gpu_takes_more() -> None:
    one, sixteen = stage_of(Network(fits=1)), stage_of(Network(fits=1), 16)
    alone = stage_of(Network(fits=1), None)
    assert [Batching().size(stage) for stage in (one, sixteen, alone)] == [1, 16, 1]
    assert [Batching(3).size(stage) for stage in (one, sixteen, alone)] == [3, 3, 1]
    assert [Batching(on_cuda=lambda: True).size(stage) for stage in (one, sixteen, alone)] == [ON_CUDA, 16, 1]
    assert Batching(1, on_cuda=lambda: True).size(sixteen) == 1
    with pytest.raises(ValueError, match="batches of 0"):
        Batching(0)


def test_what_is_stored_never_asks_for_the_device(images: Manifest, tmp_path: Path) -> None:
    list(context_of(images, tmp_path, 4).run(stage_of(Network(fits=4))))
    asked: list[bool] = []
    context = context_of(images, tmp_path, None)
    context.stage_cache.batching = Batching(on_cuda=lambda: bool(asked.append(True)))
    assert len(list(context.run(stage_of(Network(fits=0))))) == 12 and not asked


@pytest.mark.parametrize(("wanted", "cuda"), [(1, False), (1000, False), (None, True)])
def test_a_batch_that_no_network_takes_stays_as_its_stage_has_it(wanted: int | None, cuda: bool) -> None:
    own = Stage(name="own", version=1, settings={}, compute=lambda _: [], batch_size=4, own_batch=True)
    batching = Batching(wanted, on_cuda=lambda: cuda)
    assert batching.size(own) == 4
    batching.halve(own, 4)
    assert batching.size(own) == 2


@pytest.mark.parametrize("error", [RuntimeError, MemoryError])
def test_out_of_memory_halves_the_batch_and_loses_nothing(
    error: type[Exception], images: Manifest, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    network, context = Network(fits=2, bad=images.test[5].id, error=error), context_of(images, tmp_path, 8)
    found = {sample.id: artifact["value"] for sample, artifact in context.run(stage_of(network))}
    assert list(context.failed) == [images.test[5].id] and "cannot be computed" in context.failed[images.test[5].id]
    whole = context_of(images, tmp_path / "alone", 1).run(stage_of(Network(fits=1, bad=images.test[5].id)))
    assert found == {sample.id: artifact["value"] for sample, artifact in whole} and len(found) == 11
    assert network.tried[:3] == [8, 4, 2] and max(network.tried[3:]) == 2 and sum(network.done) == 11
    said = [record.getMessage() for record in caplog.records if "out of memory" in record.getMessage()]
    assert len(said) == 2 and "with 8 images at once; going on with 4 (run.batch_size=4" in said[0]
    assert context.stats["net"].images_at_once == 2


def test_one_image_that_needs_too_much_fails_alone(images: Manifest, tmp_path: Path) -> None:
    context = context_of(images, tmp_path, 4)
    assert not list(context.run(stage_of(Network(fits=0))))
    assert len(context.failed) == 12 and all("out of memory" in why for why in context.failed.values())


def test_time_is_told_apart(images: Manifest, tmp_path: Path) -> None:
    context = context_of(images, tmp_path, 4)
    context.workers = 0  # images are decoded where they are needed: all of it is waiting
    list(context.run(stage_of(Network(fits=4))))
    stats = context.stats["net"]
    assert stats.waiting > 0 and stats.storing > 0 and stats.seconds > 0 and stats.images_at_once == 4
    again = context_of(images, tmp_path, 4)
    list(again.run(stage_of(Network(fits=4))))
    assert again.stats["net"].waiting == again.stats["net"].seconds == 0 and again.stats["net"].storing > 0
