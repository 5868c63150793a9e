"""Weights files that no backbone may load: each is refused by its name, whichever library has the network."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from benchmark.core.errors import WeightsError
from benchmark.core.samples import Manifest
from benchmark.models.backbone import Backbone, FeatureNetwork
from benchmark.stages.context import Context, clear_models
from benchmark.stages.store import Store
from tests.models.test_backbone_contract import backbone, loaded, small
from tests.models.vit_folder import write_vit
from tests.tiny_models import one_thread  # noqa: F401

NETWORKS = ("efficientnet_lite0", "toy", "toy_vit", "resnet18", "transformers", "open_clip")
"""One or two options of each library."""
Tensors = Mapping[str, torch.Tensor]


@pytest.fixture
def context(tmp_path: Path) -> Iterator[Context]:
    yield Context(manifest=Manifest(dataset="none", samples=()), samples=(), store=Store(tmp_path), workers=0)
    clear_models()


def with_file(context: Context, name: str, folder: Path, file: Path) -> FeatureNetwork:
    """Load a backbone with weights of one's own, as a pipeline does."""
    settings: Backbone = small(name, folder).model_copy(update={"weights": file})
    return loaded(context, settings)


def tensors() -> dict[str, torch.Tensor]:
    """A state dict of no network here, large enough to be cut."""
    return {f"layer{number}.weight": torch.full((64, 64), float(number)) for number in range(8)}


def save(state: Tensors, path: Path) -> Path:
    """Write a weights file of the kind that its ending says."""
    if path.suffix == ".safetensors":
        save_file(dict(state), path)
    else:
        torch.save(dict(state), path)
    return path


class Payload:
    """Unpickling it would run code."""

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return print, ("unpickled",)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("name", NETWORKS)
def test_a_file_that_would_run_code_is_refused(
    name: str, context: Context, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evil, raw, hidden = (tmp_path / f"{word}.pth" for word in ("evil", "raw", "hidden"))
    torch.save({"conv1.weight": Payload()}, evil)
    raw.write_bytes(pickle.dumps({"conv1.weight": Payload()}))
    torch.save({"state_dict": tensors(), "epoch": Payload()}, hidden)
    for path in (evil, raw, hidden):
        with pytest.raises(WeightsError, match=rf"{path.name}.*would run code"):
            with_file(context, name, tmp_path, path)
    assert "unpickled" not in capsys.readouterr().out


@pytest.mark.parametrize("kept", [0.0, 0.01, 0.5, 0.999])
@pytest.mark.parametrize("file", ["cut.pth", "cut.safetensors"])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_file_that_is_cut_off_is_refused(name: str, file: str, kept: float, context: Context, tmp_path: Path) -> None:
    path = save(tensors(), tmp_path / file)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(WeightsError, match=rf"{file} cannot be read"):
        with_file(context, name, tmp_path, path)


def test_the_embedded_file_cut_off_is_refused(context: Context, tmp_path: Path) -> None:
    from benchmark.weights import resolve

    whole = resolve(["efficientnet_lite0_imagenet"], pipeline="patchcore")["efficientnet_lite0_imagenet"].path
    path = tmp_path / "lite0.pth"
    path.write_bytes(whole.read_bytes()[:-20_000])
    with pytest.raises(WeightsError, match=r"lite0\.pth cannot be read"):
        with_file(context, "efficientnet_lite0", tmp_path, path)


@pytest.fixture(scope="module")
def other_networks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """File name to weights of networks that are none of ``NETWORKS``, and of none at all."""
    import timm
    import torchvision

    others: dict[str, Tensors] = {
        "no network": tensors(),
        "ResNet-34": torchvision.models.resnet34(weights=None).state_dict(),
        "ViT of another width": timm.create_model("vit_tiny_patch16_224", pretrained=False).state_dict(),
        "EfficientNet-Lite1": timm.create_model("tf_efficientnet_lite1", pretrained=False).state_dict(),
    }
    return {
        file: [save(state, tmp_path_factory.mktemp(word) / file) for word, state in others.items()]
        for file in ("other.pth", "other.safetensors")
    }


@pytest.mark.parametrize("file", ["other.pth", pytest.param("other.safetensors", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_file_of_another_network_is_refused(
    name: str, file: str, context: Context, tmp_path: Path, other_networks: dict[str, list[Path]]
) -> None:
    """Of every network but its own, and of none at all."""
    for path in other_networks[file]:
        with pytest.raises(WeightsError) as caught:
            with_file(context, name, tmp_path, path)
        assert file in str(caught.value) and "does not fit" in str(caught.value), path


def test_the_names_of_the_embedded_file_on_other_shapes_are_refused(context: Context, tmp_path: Path) -> None:
    """The rule that renames tensors by their order must not take what merely looks alike."""
    from benchmark.models.weights_file import read_state
    from benchmark.weights import resolve

    state = read_state(resolve(["efficientnet_lite0_imagenet"], pipeline="x")["efficientnet_lite0_imagenet"].path)
    last = list(state)[-1]
    fewer = {name: tensor for name, tensor in state.items() if name != last}
    narrow = {**state, "_conv_stem.weight": torch.zeros(16, 3, 3, 3)}
    swapped = dict(reversed(list(state.items())))
    for changed in (fewer, narrow, swapped):
        path = save(changed, tmp_path / "alike.pth")
        with pytest.raises(WeightsError, match=r"alike\.pth does not fit EfficientNet"):
            with_file(context, "efficientnet_lite0", tmp_path, path)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_ones_own_file_of_the_network_is_loaded(suffix: str, context: Context, tmp_path: Path) -> None:
    """Without the classifier, whose width is one's own too."""
    import torchvision

    source = torchvision.models.resnet18(weights=None, num_classes=7).eval()
    path = save(source.state_dict(), tmp_path / f"own{suffix}")
    settings = small("resnet18", tmp_path).model_copy(update={"weights": path})
    network = loaded(context, settings, pooled=True)
    image = np.random.default_rng(0).integers(0, 256, (48, 60, 3), dtype=np.uint8)
    source.fc = torch.nn.Identity()
    with torch.inference_mode():
        expected = source(network.prepare(image)[None]).numpy()
    assert np.allclose(network.pooled([image]), expected, rtol=1e-4, atol=1e-5)


def test_a_file_without_a_pooler_gives_maps_but_no_pooled_features(context: Context, tmp_path: Path) -> None:
    folder = write_vit(tmp_path / "vit", "vit")
    state = load_file(folder / "model.safetensors")
    kept = {name: tensor for name, tensor in state.items() if "pooler" not in name}
    assert len(kept) < len(state)
    save(kept, folder / "model.safetensors")
    settings = backbone("transformers", f"pipeline.backbone.model={folder}", "pipeline.backbone.side=64")
    assert loaded(context, settings).features([np.zeros((64, 64, 3), np.uint8)])[0].maps
    with pytest.raises(WeightsError, match=r"missing pooler\.dense\.bias"):
        loaded(context, settings, pooled=True)
