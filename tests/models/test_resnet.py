"""ResNet features: shapes, determinism, loading, and refusals."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from benchmark.errors import WeightsError
from benchmark.models import resnet

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    return resnet.build("resnet18", weights=None, device="cpu")


def images(*shapes: tuple[int, int], seed: int = 0) -> list[np.ndarray]:
    draw = np.random.default_rng(seed)
    return [draw.integers(0, 256, (*shape, 3), dtype=np.uint8) for shape in shapes]


def test_images_of_any_size_batch_to_pooled_features(network: torch.nn.Module) -> None:
    features = resnet.extract(network, images((40, 90), (1, 1), (300, 17)), input_size=64, device="cpu")
    assert features.shape == (3, resnet.WIDTH["resnet18"])
    assert features.dtype == np.float32
    assert np.isfinite(features).all()
    assert np.ptp(features, axis=0).max() > 0


def test_features_do_not_depend_on_the_batch(network: torch.nn.Module) -> None:
    batch = images((64, 64), (80, 50), (50, 80), (30, 30), (64, 65))
    together = resnet.extract(network, batch, input_size=64, device="cpu")
    alone = np.concatenate([resnet.extract(network, [image], input_size=64, device="cpu") for image in batch])
    assert np.array_equal(together, alone)


def test_random_weights_are_always_the_same_and_leave_the_global_state() -> None:
    torch.manual_seed(11)
    before = torch.random.get_rng_state()
    first, again = (resnet.build("resnet18", weights=None, device="cpu").conv1.weight for _ in range(2))
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.equal(first, again)


@pytest.mark.parametrize("backbone", sorted(resnet.WIDTH))
def test_width_is_that_of_the_network(backbone: resnet.Backbone) -> None:
    built = resnet.build(backbone, weights=None, device="cpu")
    features = resnet.extract(built, images((32, 32)), input_size=32, device="cpu")
    assert features.shape == (1, resnet.WIDTH[backbone])


def test_prepare_normalises_and_keeps_the_whole_image() -> None:
    white = np.full((10, 30, 3), 255, dtype=np.uint8)
    ready = resnet.prepare(white, input_size=32)
    expected = (1 - np.array(resnet.MEAN)) / np.array(resnet.STD)
    assert np.allclose(ready.numpy(), expected[:, None, None], atol=1e-5)
    rim = white.copy()
    rim[:, 0] = 0
    assert not torch.equal(resnet.prepare(rim, input_size=32)[:, :, 0], ready[:, :, 0])


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_state_dict_is_loaded_without_its_classifier(tmp_path: Path, suffix: str) -> None:
    import torchvision
    from safetensors.torch import save_file

    source = torchvision.models.resnet18(weights=None, num_classes=7)
    path = tmp_path / f"own{suffix}"
    if suffix == ".pth":
        torch.save(source.state_dict(), path)
    else:
        save_file(source.state_dict(), path)
    loaded = resnet.build("resnet18", weights=path, device="cpu")
    assert torch.equal(loaded.layer4[1].conv2.weight, source.layer4[1].conv2.weight)
    source.fc = torch.nn.Identity()
    picture = images((48, 48))
    expected = source.eval()(resnet.prepare(picture[0], input_size=48)[None]).detach().numpy()
    got = resnet.extract(loaded, picture, input_size=48, device="cpu")
    assert np.allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_the_file_of_another_network_is_refused(tmp_path: Path, network: torch.nn.Module) -> None:
    path = tmp_path / "resnet18.pth"
    torch.save(network.state_dict(), path)
    with pytest.raises(WeightsError, match=r"resnet18\.pth does not fit ResNet"):
        resnet.build("resnet50", weights=path, device="cpu")


class Payload:
    """Unpickling it would run code."""

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return print, ("unpickled",)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_file_that_holds_more_than_tensors_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evil = tmp_path / "evil.pth"
    torch.save({"conv1.weight": Payload()}, evil)
    raw = tmp_path / "raw.pth"
    raw.write_bytes(pickle.dumps(Payload()))
    for path in (evil, raw):
        with pytest.raises(WeightsError, match=path.name):
            resnet.build("resnet18", weights=path, device="cpu")
    assert "unpickled" not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["cut.pth", "cut.safetensors"])
def test_a_truncated_file_is_refused(tmp_path: Path, name: str, network: torch.nn.Module) -> None:
    from safetensors.torch import save_file

    path = tmp_path / name
    if name.endswith(".pth"):
        torch.save(network.state_dict(), path)
    else:
        save_file({k: v.contiguous() for k, v in network.state_dict().items()}, path)
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(WeightsError, match=name):
        resnet.build("resnet18", weights=path, device="cpu")


@pytest.mark.gpu
def test_cuda_features_agree_with_the_cpu(network: torch.nn.Module) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    batch = images((64, 64), (80, 50))
    on_gpu = resnet.build("resnet18", weights=None, device="cuda")
    assert np.allclose(
        resnet.extract(on_gpu, batch, input_size=64, device="cuda"),
        resnet.extract(network, batch, input_size=64, device="cpu"),
        rtol=1e-3,
        atol=1e-3,
    )
