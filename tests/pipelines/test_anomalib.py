"""Models of anomalib: errors without the library here, real models where it is installed (make extras)."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmark.core.errors import BenchmarkError, ConfigError, WeightsError
from benchmark.core.samples import Sample
from benchmark.models import anomalib_build, anomalib_model
from benchmark.models.anomalib_model import Frame, draw
from benchmark.results.export_index import EXPORT
from tests.data.dataset_trees import save
from tests.harness import run

SIDE = (64, 64)
RANDOM = ("pipeline.weights=random", "pipeline.allow_random_weights=true")
SMALL = ("pipeline.options={backbone: resnet18, layers: [layer1, layer2]}", "pipeline.side=64")
EMBEDDED = (
    "pipeline.options={backbone: tf_efficientnet_lite0, layers: [blocks.1, blocks.2]}", "pipeline.side=64",
    "pipeline.weights=efficientnet_lite0_imagenet",
)  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Textures with a bright square where they are defective."""
    rng = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("anomalib") / "mine/cap"
    mask = np.zeros(SIDE, dtype=np.uint8)
    mask[16:30, 12:26] = 255
    for place in ("train/good", "test/good", "test/cut"):
        for number in range(6 if place == "train/good" else 3):
            picture = rng.integers(90, 120, (*SIDE, 3), dtype=np.uint8)
            if place == "test/cut":
                picture[16:30, 12:26] += 100
                save(folder / f"ground_truth/cut/{number}_mask.png", mask)
            save(folder / f"{place}/{number}.png", picture)
    return folder.parent


def ran(folder: Path, data: Path, *words: str, pipeline: str = "anomalib") -> Any:
    return run(folder, "dataset=folder", f"dataset.path={data}", f"pipeline={pipeline}", "metric=full",
               "protocol.resamples=0", *words)  # fmt: skip


@pytest.fixture
def library() -> None:
    if not anomalib_build.is_installed():
        pytest.skip("needs the library anomalib: make extras")


def real(test: Any) -> Any:
    """Mark a test of real models: seconds each, and 20 to import the library."""
    return pytest.mark.extra(pytest.mark.slow(pytest.mark.usefixtures("library")(test)))


def test_without_the_library_one_line_says_how_to_get_it(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(anomalib_build, "is_installed", lambda: False)
    with pytest.raises(ConfigError, match=r"library anomalib, which is not installed: `make extras`") as caught:
        ran(tmp_path, data, "pipeline.model=padim")
    assert "\n" not in str(caught.value)


def test_no_model_is_named(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anomalib_build, "version", lambda: "0")
    with pytest.raises(ConfigError, match=r"say which model, pipeline\.model=padim"):
        ran(tmp_path, data)


def test_a_map_of_the_middle_is_drawn_in_the_middle() -> None:
    scores = np.ones((4, 4), dtype=np.float32)
    scores[0, 0] = 0
    drawn = draw(scores, Frame((8, 8), (4, 4)), (16, 16))
    assert drawn.shape == (16, 16) and drawn[8, 8] == 1 and drawn[:3].max() == drawn[:, -3:].max() == 0
    assert Frame((8, 8), (4, 4)).share == 0.25
    whole = draw(scores, Frame((8, 8), (8, 8)), (4, 4))
    assert (whole == scores).all() and Frame((0, 0), (0, 0)).share == 1


@real
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("pipeline.model=padimm",), "anomalib .* has no such model; .*padim"),
        (("pipeline.model=fuvas",), "a model of videos"),
        (("pipeline.model=padim", "pipeline.options={bakbone: resnet18}"), "padim has no such option; .*backbone"),
        (("pipeline.model=padim", "pipeline.options={visualizer: true}"), "nothing is to be drawn"),
        (("pipeline.model=padim", "pipeline.options={pre_trained: false}"), "pipeline.weights says which weights"),
        (("pipeline.model=padim", *RANDOM, "pipeline.options={backbone: resnet9}"), "cannot build padim with backbone"),
        (("pipeline.model=padim", RANDOM[0]), "allow_random_weights=true"),
        (("pipeline.model=stfpm", *RANDOM), "give pipeline.epochs=… or pipeline.steps=…"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, data: Path, words: tuple[str, ...], said: str) -> None:
    with pytest.raises(BenchmarkError, match=said):
        ran(tmp_path, data, *words)


@real
@pytest.mark.parametrize("model", ["padim", "efficient_ad"])
def test_nothing_is_downloaded_unasked(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, model: str) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("ANOMALIB_CACHE_DIR", str(tmp_path / "anomalib"))
    with pytest.raises(WeightsError, match=r"nothing is downloaded unasked: .*pipeline\.download=true"):
        ran(tmp_path, data, f"pipeline.model={model}", "pipeline.epochs=1", "pipeline.options={}", "pipeline.side=64")


MODELS = {
    "padim, random": ("pipeline.model=padim", *SMALL, *RANDOM),
    "padim, embedded": (
        "pipeline.model=padim", EMBEDDED[0].replace("}", ", n_features: 40}"), *EMBEDDED[1:],
    ),
    "patchcore, embedded": ("pipeline.model=patchcore", *EMBEDDED),
    "stfpm, embedded": ("pipeline.model=stfpm", *EMBEDDED, "pipeline.epochs=1", "pipeline.batch_size=2"),
    "fastflow, random": (
        "pipeline.model=fastflow", "pipeline.options={backbone: resnet18, flow_steps: 2}", *RANDOM,
        "pipeline.epochs=1",
    ),
    "reverse_distillation, random": (
        "pipeline.model=reverse_distillation", "pipeline.options={backbone: resnet18}", "pipeline.side=64", *RANDOM,
        "pipeline.epochs=1",
    ),
}  # fmt: skip


@real
@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_fitted_once_and_leaves_nothing_elsewhere(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    start = time.perf_counter()
    first = ran(tmp_path, data, *MODELS[name])
    seconds = time.perf_counter() - start
    assert first.result.outcomes == {"ok": 6}
    print(f"{name}: {seconds:.1f} s, AUROC {first.result.metric('auroc').value:.3f}")
    assert first.result.measured.samples_computed["anomalib_fitted"] == 1
    assert not list((tmp_path / "here").iterdir()), "no results, no lightning_logs"
    second = ran(tmp_path, data, *MODELS[name])
    assert sum(second.result.measured.samples_computed.values()) == 0
    assert second.result.digest == first.result.digest
    save(data / "cap/test/good/extra.png", np.full((*SIDE, 3), 100, dtype=np.uint8))
    try:
        third = ran(tmp_path, data, *MODELS[name])
    finally:
        (data / "cap/test/good/extra.png").unlink()
    computed = third.result.measured.samples_computed
    assert computed["anomalib_maps"] == 1 and computed.get("anomalib_fitted", 0) == 0, "read back, not fitted"
    if "embedded" in name:
        assert first.result.metric("auroc").value > 0.8


SAME = (
    "pipeline.backbone.mean=[0.485,0.456,0.406]", "pipeline.backbone.std=[0.229,0.224,0.225]",
    "pipeline.backbone.side=64", "pipeline.smoothing=4",
)  # fmt: skip
PAIRS = {
    "padim": (
        ("pipeline.channels=152", "pipeline.regularisation=0.01001"),
        "{backbone: tf_efficientnet_lite0, layers: [blocks.2, blocks.4], n_features: 152}", 1e-4,
    ),
    "patchcore": (
        ("pipeline.share=1", "pipeline.neighbours=9"),
        "{backbone: tf_efficientnet_lite0, layers: [blocks.2, blocks.4], coreset_sampling_ratio: 1.0}", 1e-5,
    ),
}  # fmt: skip


@real
@pytest.mark.parametrize("name", PAIRS)
def test_our_own_says_the_same_on_equal_features_and_options(tmp_path: Path, data: Path, name: str) -> None:
    """Images of the network's size, so that no resizing takes part; anomalib adds 0.00001 to padim's 0.01."""
    own, options, close = PAIRS[name]
    theirs = (f"pipeline.options={options}", "pipeline.side=64", "pipeline.weights=efficientnet_lite0_imagenet")
    one = ran(tmp_path, data, *SAME, *own, "run.export=[maps,csv]", pipeline=name)
    two = ran(tmp_path, data, f"pipeline.model={name}", *theirs, "run.export=[maps,csv]")
    places = [path.relative_to(one.folder) for path in sorted((one.folder / EXPORT / "maps").rglob("*.npy"))]
    assert len(places) == 6
    for place in places:
        ours, their = np.load(one.folder / place), np.load(two.folder / place)
        print(name, place.stem, float(np.abs(ours - their).max() / their.max()))
        assert np.abs(ours - their).max() < close * their.max()
    for metric in ("auroc", "ap", "aupro", "image_auroc"):
        assert one.result.metric(metric).value == pytest.approx(two.result.metric(metric).value, abs=1e-3)


@real
def test_batches_of_anomalibs_own_engine_are_read_and_are_the_same(tmp_path: Path, data: Path) -> None:
    """Saved in the words of ``saved_layouts.AS_BATCHES``; the engine's maps are those of this pipeline."""
    from anomalib.data import PredictDataset
    from anomalib.engine import Engine

    first = ran(tmp_path, data, *MODELS["padim, random"], "run.export=[maps,csv]")
    train = [
        Sample(id=path.name, image=path, mask=None, defective=False, category="cap", defect_type="good",
               group=path.name, split="train", sha256="")
        for path in sorted((data / "cap/train/good").glob("*.png"))
    ]  # fmt: skip
    options = {"backbone": "resnet18", "layers": ["layer1", "layer2"]}
    settings = anomalib_build.ModelSettings(name="padim", options=options, side=64, seed=0, random=True)
    learnt = anomalib_model.fit(settings, train, epochs=None, steps=None, batch_size=8, device="cpu")
    model = anomalib_model.restored(settings, learnt, device="cpu")
    engine = Engine(accelerator="cpu", logger=False, default_root_dir=tmp_path / "results", barebones=True)
    (tmp_path / "batches").mkdir()
    for kind in ("good", "cut"):
        dataset = PredictDataset(path=data / "cap/test" / kind, image_size=(64, 64))
        for i, b in enumerate(engine.predict(model, dataset=dataset)):
            np.savez(tmp_path / f"batches/{kind}{i}.npz", image_path=b.image_path, anomaly_map=b.anomaly_map.cpu(),
                     pred_score=b.pred_score.cpu())  # fmt: skip
    words = ("dataset=folder", f"dataset.path={data}", "metric=full", "protocol.resamples=0", "pipeline=saved")
    back = run(tmp_path, *words, f"pipeline.path={tmp_path / 'batches'}", "run.export=maps")
    assert back.result.outcomes == {"ok": 6}
    for path in sorted((first.folder / EXPORT / "maps").rglob("*.npy")):
        ours, engines = np.load(path), np.load(back.folder / path.relative_to(first.folder))
        assert np.abs(ours - engines).max() < 1e-3 * ours.max()
    assert back.result.metric("auroc").value == pytest.approx(first.result.metric("auroc").value, abs=1e-3)
