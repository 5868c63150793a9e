"""One contract for every option of the group ``backbone``: shapes, determinism, independence of the batch, identity."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmark.config.options import options
from benchmark.config.schema import option_settings
from benchmark.core.errors import ConfigError, WeightsError
from benchmark.core.samples import Manifest
from benchmark.models.backbone import Backbone, FeatureNetwork
from benchmark.models.choice import Networks, choose
from benchmark.stages.context import Context, clear_models
from benchmark.stages.store import Store
from tests.harness import compose
from tests.models.vit_folder import write_vit
from tests.tiny_models import one_thread  # noqa: F401

GIVEN: dict[str, tuple[str, ...]] = {
    "timm": ("pipeline.backbone.model=convnext_atto",),
    "vit": ("pipeline.backbone.model=vit_tiny_patch16_224",),
    "torchvision": ("pipeline.backbone.model=resnet34", "pipeline.backbone.weights=random"),
    "open_clip": ("pipeline.backbone.model=PE-Core-T-16-384",),
    "transformers": (),  # a folder, written by the test
}
"""What options that leave the model open are given."""
SIDE = 112
"""A small side that patches of 14 and of 16 pixels fit into."""


def backbone(name: str, *words: str) -> Backbone:
    """An option as a pipeline gets it."""
    composed, _ = compose("pipeline=patchcore", f"backbone@pipeline.backbone={name}", *words)
    found = option_settings("pipeline", composed["pipeline"]).backbone  # type: ignore[attr-defined]
    assert isinstance(found, Backbone)
    return found


def images(count: int) -> list[np.ndarray]:
    draw = np.random.default_rng(0)
    return [draw.integers(0, 256, (40 + 7 * i, 60 - 3 * i, 3), dtype=np.uint8) for i in range(count)]


@pytest.fixture
def context(tmp_path: Path) -> Iterator[Context]:
    manifest = Manifest(dataset="none", samples=())
    yield Context(manifest=manifest, samples=(), store=Store(tmp_path), workers=0)
    clear_models()


def loaded(context: Context, settings: Backbone, *, pooled: bool = False) -> FeatureNetwork:
    chosen = choose(context, Networks(wanted=settings.wanted(), allow_random=True), pipeline="patchcore")["features"]
    return settings.load(context, chosen, pooled=pooled)


def small(name: str, folder: Path) -> Backbone:
    """An option with random weights and a small input."""
    words = [*GIVEN.get(name, ()), "pipeline.backbone.weights=random"]
    if name == "transformers":
        words.append(f"pipeline.backbone.model={write_vit(folder / 'vit')}")
    return backbone(name, *words, f"pipeline.backbone.side={SIDE}")


LARGE = {
    "clip_vit_l_14_336",
    "dinov2_base",
    "dinov3_base",
    "wide_resnet50_2",
    "wide_resnet50_2_racm",
    "siglip2",
    "pe_core",
}
"""Options whose sibling of the same library is tried each time."""


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow if n in LARGE else ()) for n in options("backbone")]
)
def test_every_option_keeps_the_contract(name: str, context: Context, tmp_path: Path) -> None:
    settings = small(name, tmp_path)
    network = loaded(context, settings)
    batch = images(3)
    found = network.features(batch)
    for one in found:
        assert len(one.maps) == len(one.classes) == len(settings.layers)
        sides = [level.shape[-1] for level in one.maps]
        assert sides == sorted(sides, reverse=True), "the finest layer comes first"
        for level, token in zip(one.maps, one.classes, strict=True):
            assert level.dtype == torch.float32 and level.ndim == 3 and level.shape[1] == level.shape[2]
            assert torch.isfinite(level).all() and level.std() > 0
            assert token is None or token.shape == (level.shape[0],)
    alone = [network.features([image])[0] for image in reversed(batch)][::-1]
    for together, single in zip(found, alone, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(together.maps, single.maps, strict=True))
    numbers = network.each(batch, lambda number, features: (number, float(features.maps[0].sum())))
    assert numbers == [(i, float(one.maps[0].sum())) for i, one in enumerate(found)]
    pooled = loaded(context, settings, pooled=True).pooled(batch)
    assert pooled.dtype == np.float32 and pooled.ndim == 2 and len(pooled) == 3
    assert np.isfinite(pooled).all() and np.ptp(pooled, axis=0).max() > 0
    facts = settings.facts()
    for key, value in (("mean", network.mean), ("std", network.std)):
        imagenet = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}[key]
        assert facts.get(key, list(imagenet)) == list(value), "the normalisation is part of what identifies a result"


@pytest.mark.parametrize("name", ["toy", "toy_vit", "efficientnet_lite0", "resnet18"])
def test_features_are_the_same_whatever_the_threads(name: str, context: Context, tmp_path: Path) -> None:
    network = loaded(context, small(name, tmp_path))
    results = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        try:
            results.append([level for one in network.features(images(4)) for level in one.maps])
            assert torch.get_num_threads() == threads
        finally:
            torch.set_num_threads(1)
    assert all(torch.equal(a, b) for other in results[1:] for a, b in zip(results[0], other, strict=True))


def test_random_weights_are_always_the_same_and_leave_the_global_state(context: Context, tmp_path: Path) -> None:
    torch.manual_seed(11)
    before = torch.random.get_rng_state()
    maps = []
    for _ in range(2):
        clear_models()
        maps.append(loaded(context, small("toy_vit", tmp_path)).features(images(1))[0].maps[0])
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.equal(*maps)


CHANGES: dict[str, Any] = {
    "model": "resnet18",
    "layers": ("stride8",),
    "side": 96,
    "resize": "opencv",
    "mean": (0.4, 0.4, 0.4),
    "std": (0.3, 0.3, 0.3),
    "precision": "bf16",
    "source": "torchvision",
    "norm": True,
}


@pytest.mark.parametrize("key", CHANGES)
def test_what_changes_features_changes_the_facts(key: str) -> None:
    one = backbone("timm", "pipeline.backbone.model=resnet34", "pipeline.backbone.weights=random")
    other = one.model_copy(update={key: CHANGES[key]})
    assert one.facts() != other.facts()
    pooled = one.facts(pooled=True) == other.facts(pooled=True)
    assert pooled == (key in ("layers", "norm")), "pooled features do not depend on layers"


def test_every_setting_but_the_weights_is_among_them() -> None:
    assert {*CHANGES, "weights"} == set(Backbone.model_fields)


def test_a_layer_is_named_by_stride_or_by_block(context: Context, tmp_path: Path) -> None:
    vit = small("toy_vit", tmp_path)
    blocks = vit.model_copy(update={"layers": ("block2", "block-1", "block5")})
    first, last, sixth = loaded(context, blocks).features(images(1))[0].maps
    assert torch.equal(last, sixth) and not torch.equal(first, last)
    for settings, layer, said in (
        (vit, "block6", "block0 … block5"),
        (vit, "stride16", "block0 … block5"),
        (small("toy", tmp_path), "stride3", "stride2, stride4, stride8"),
        (small("resnet18", tmp_path), "stride2", "stride4, stride8, stride16, stride32"),
    ):
        with pytest.raises(ConfigError, match=said):
            loaded(context, settings.model_copy(update={"layers": (layer,)}))


def test_the_norm_of_a_transformer_is_applied_on_demand(context: Context, tmp_path: Path) -> None:
    for name in ("toy_vit", "transformers", "open_clip"):
        settings = small(name, tmp_path)
        raw = loaded(context, settings.model_copy(update={"norm": False})).features(images(1))[0].maps[0]
        normed = loaded(context, settings).features(images(1))[0].maps[0]
        torch.testing.assert_close(normed.mean(0), torch.zeros_like(normed[0]), atol=1e-4, rtol=0)
        assert not torch.equal(raw, normed)


@pytest.mark.parametrize("name", ["toy_vit", "transformers", "open_clip"])
def test_a_side_that_is_no_whole_patches_is_refused(name: str, context: Context, tmp_path: Path) -> None:
    settings = small(name, tmp_path)
    with pytest.raises(ConfigError, match="patches of 16; give 64"):
        loaded(context, settings.model_copy(update={"side": 70}))
    with pytest.raises(ConfigError, match="takes squares only"):
        loaded(context, settings.model_copy(update={"side": None}))


def test_images_keep_their_size_where_no_side_is_given(context: Context, tmp_path: Path) -> None:
    settings = small("toy", tmp_path).model_copy(update={"side": None})
    picture = np.zeros((64, 96, 3), dtype=np.uint8)
    maps = loaded(context, settings).features([picture])[0].maps
    assert [tuple(level.shape[1:]) for level in maps] == [(8, 12), (4, 6)]


def test_preparation_normalises_and_keeps_the_whole_image(context: Context, tmp_path: Path) -> None:
    network = loaded(context, small("resnet18", tmp_path))
    white = np.full((10, 30, 3), 255, dtype=np.uint8)
    ready = network.prepare(white, side=32)
    expected = (1 - np.array(network.mean)) / np.array(network.std)
    assert ready.shape == (3, 32, 32)
    assert np.allclose(ready.numpy(), expected[:, None, None], atol=1e-5)
    rim = white.copy()
    rim[:, 0] = 0
    assert not torch.equal(network.prepare(rim, side=32)[:, :, 0], ready[:, :, 0])


@pytest.mark.parametrize("source", ["timm", "torchvision", "open_clip"])
def test_unknown_models_are_told_with_near_names(source: str, context: Context, tmp_path: Path) -> None:
    model = {"timm": "resnt18", "torchvision": "resnt18", "open_clip": "PE-Core-B-17"}[source]
    settings = small("toy", tmp_path).model_copy(update={"source": source, "model": model})
    with pytest.raises(ConfigError, match=r"did you mean '(resnet18|PE-Core-B-16)'"):
        loaded(context, settings)


def test_a_model_of_the_hub_that_is_not_here_names_its_command(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    for name, repository in (
        ("dinov2_small", "timm/vit_small_patch14_dinov2.lvd142m"),
        ("siglip2", "timm/ViT-B-16-SigLIP2"),
    ):
        with pytest.raises(WeightsError, match=f"make weights PIPELINE=hub:{repository}"):
            loaded(context, backbone(name))
    with pytest.raises(WeightsError, match="make weights PIPELINE=hub:facebook/dinov2-small"):
        loaded(context, backbone("transformers", "pipeline.backbone.model=facebook/dinov2-small"))


@pytest.mark.gpu
def test_cuda_features_agree_with_the_cpu(tmp_path: Path) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    manifest = Manifest(dataset="none", samples=())
    for name in ("efficientnet_lite0", "resnet18", "toy_vit"):
        found = []
        for device in ("cpu", "cuda"):
            context = Context(manifest=manifest, samples=(), store=Store(tmp_path), workers=0, device=device)
            found.append(loaded(context, small(name, tmp_path)).features(images(3)))
        for one, other in zip(*found, strict=True):
            for a, b in zip(one.maps, other.maps, strict=True):
                torch.testing.assert_close(a, b.cpu(), atol=1e-2, rtol=1e-2)
