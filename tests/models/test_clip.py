from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from benchmark.core.errors import ConfigError, WeightsError
from benchmark.models import weights_file
from benchmark.models.clip import Clip, prompt_ensemble, squash, squash_tensor
from benchmark.models.clip_build import load_clip
from benchmark.models.runtime import Device
from benchmark.weights.digests import file_digests
from tests.tiny_models import one_thread  # noqa: F401


@pytest.fixture(scope="module")
def clip() -> Clip:
    return Clip(load_clip("toy", weights=None, device="cpu"), device=Device(name="cpu"))


@pytest.fixture(scope="module")
def images() -> list[torch.Tensor]:
    draw = np.random.default_rng(0)
    return [squash(draw.integers(0, 256, (30, 50, 3), dtype=np.uint8), 64) for _ in range(2)]


def naive(clip: Clip, pixels: torch.Tensor, *, surgery: int) -> torch.Tensor:
    """The published two-stream network, one head at a time, written from the paper's formulas."""
    visual = clip.network.visual
    x = visual.conv1(pixels).flatten(2).transpose(1, 2)
    x = torch.cat([visual.class_embedding.expand(len(x), 1, -1), x], 1)
    codes = visual.positional_embedding
    if len(codes) != x.shape[1]:
        old, new = round((len(codes) - 1) ** 0.5), round((x.shape[1] - 1) ** 0.5)
        grid = codes[1:].reshape(1, old, old, -1).permute(0, 3, 1, 2)
        grid = F.interpolate(grid, (new, new), mode="bilinear").permute(0, 2, 3, 1).reshape(new * new, -1)
        codes = torch.cat([codes[:1], grid])
    original = visual.ln_pre(x + codes)
    new = None
    blocks = list(visual.transformer.resblocks)
    for i, block in enumerate(blocks):
        if i == len(blocks) - surgery:
            new = original.clone()
        read = block.ln_1(original)
        q, k, v = (read @ block.attn.in_proj_weight.T + block.attn.in_proj_bias).chunk(3, dim=-1)
        width = q.shape[-1] // block.attn.num_heads
        plain, values = [], []
        for h in range(block.attn.num_heads):
            part = slice(h * width, (h + 1) * width)
            scale = width**-0.5
            plain.append((q[..., part] @ k[..., part].transpose(1, 2) * scale).softmax(-1) @ v[..., part])
            values.append((v[..., part] @ v[..., part].transpose(1, 2) * scale).softmax(-1) @ v[..., part])
        if new is not None:
            new = new + block.attn.out_proj(torch.cat(values, -1))
        original = original + block.attn.out_proj(torch.cat(plain, -1))
        original = original + block.mlp(block.ln_2(original))
    if new is not None:
        new[:, 0] = original[:, 0]
    return visual.ln_post(original if new is None else new) @ visual.proj


@pytest.mark.parametrize("side", [64, 224])
@pytest.mark.parametrize("surgery", [0, 2, 6])
def test_tokens_equal_an_independent_computation(clip: Clip, side: int, surgery: int) -> None:
    pixels = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = naive(clip, pixels, surgery=surgery).numpy()
    found = clip.tokens(list(pixels), surgery=surgery)
    assert found.shape == (2, 1 + (side // 16) ** 2, 64)
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_plain_tokens_are_those_of_open_clip(clip: Clip) -> None:
    draw = np.random.default_rng(0)
    images = [squash(draw.integers(0, 256, (30, 50, 3), dtype=np.uint8), 224) for _ in range(2)]
    with torch.no_grad():
        expected = clip.network.encode_image(torch.stack(images)).numpy()
    np.testing.assert_allclose(clip.tokens(images, surgery=0)[:, 0], expected, atol=2e-5)


def test_surgery_leaves_the_class_token_and_changes_the_patches(clip: Clip, images: list[torch.Tensor]) -> None:
    plain, changed = clip.tokens(images, surgery=0), clip.tokens(images, surgery=6)
    np.testing.assert_allclose(changed[:, 0], plain[:, 0], atol=2e-5)
    assert np.abs(changed[:, 1:] - plain[:, 1:]).max() > 1e-2


def test_another_input_size_leaves_no_trace(clip: Clip, images: list[torch.Tensor]) -> None:
    before = clip.tokens(images, surgery=6)
    clip.tokens([torch.zeros(3, 128, 128)], surgery=6)
    np.testing.assert_array_equal(clip.tokens(images, surgery=6), before)


def test_surgery_on_more_blocks_than_there_are_is_refused(clip: Clip, images: list[torch.Tensor]) -> None:
    with pytest.raises(ConfigError, match="9 blocks of a network that has 8"):
        clip.tokens(images, surgery=9)


def test_the_ensemble_has_85_templates() -> None:
    prompts = prompt_ensemble("crack")
    assert len(prompts) == len(set(prompts)) == 85
    assert prompts[0] == "a bad photo of a crack." and prompts[-1] == "this is one crack in the scene."
    assert prompt_ensemble("")[0] == "a bad photo of a ."


def test_texts_are_unit_vectors_of_the_mean(clip: Clip) -> None:
    from open_clip import get_tokenizer

    prompts = ["a crack", "the crack"]
    with torch.no_grad():
        vectors = clip.network.encode_text(get_tokenizer("ViT-B-16-quickgelu")(prompts))
    vectors = vectors / vectors.norm(dim=-1, keepdim=True)
    mean = vectors.mean(0) / vectors.mean(0).norm()
    np.testing.assert_allclose(clip.text(prompts), mean.numpy(), atol=1e-6)
    np.testing.assert_allclose(clip.text(prompts[:1]), vectors[0].numpy(), atol=1e-6)


def test_a_text_that_clip_cannot_read_whole_is_refused(clip: Clip) -> None:
    with pytest.raises(ConfigError, match="the network reads 77"):
        clip.text(["crack " * 100])


def test_squash_takes_the_whole_image_and_any_proportions() -> None:
    image = np.zeros((10, 400, 3), dtype=np.uint8)
    image[:, 200:] = 255
    pixels = squash(image, 32)
    assert pixels.shape == (3, 32, 32)
    assert (pixels[:, :, 0] < pixels[:, :, -1]).all()


def test_squash_tensor_is_bicubic_without_antialias() -> None:
    pixels = torch.rand(3, 40, 60, generator=torch.Generator().manual_seed(0))
    mean, deviation = (
        torch.tensor(v)[:, None, None]
        for v in ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
    )
    expected = (F.interpolate(pixels[None], (16, 16), mode="bicubic", align_corners=False)[0] - mean) / deviation
    torch.testing.assert_close(squash_tensor(pixels, 16), expected, atol=1e-5, rtol=0)


def test_random_weights_are_the_same_every_time() -> None:
    one, two = (load_clip("toy", weights=None, device="cpu").state_dict() for _ in range(2))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_weights_of_another_network_are_refused(tmp_path: Path, clip: Clip) -> None:
    from safetensors.torch import save_file

    path = tmp_path / "other.safetensors"
    save_file({"visual.proj": torch.zeros(3, 3)}, path)
    with pytest.raises(WeightsError, match="does not fit CLIP"):
        load_clip("toy", weights=path, device="cpu")


def test_weights_are_read_from_published_torchscript_archives(
    tmp_path: Path, clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "archive.pt"
    state = {name: value + 1 for name, value in clip.network.state_dict().items()}
    torch.jit.save(torch.jit.script(_Holder(state)), path)
    monkeypatch.setattr(weights_file, "published", lambda sha256: sha256 == file_digests(path)[0])
    loaded = load_clip("toy", weights=path, device="cpu").state_dict()
    assert all(torch.equal(loaded[name], state[name]) for name in state)


class _Holder(torch.nn.Module):
    """A module tree with the names of a state dict, as OpenAI's archives are."""

    def __init__(self, state: dict[str, torch.Tensor]) -> None:
        super().__init__()
        for name, value in state.items():
            node: torch.nn.Module = self
            *parents, leaf = name.split(".")
            for parent in parents:
                if not hasattr(node, parent):
                    node.add_module(parent, torch.nn.Module())
                node = getattr(node, parent)
            node.register_buffer(leaf, value.clone())

    def forward(self) -> int:
        return 0


def test_images_are_what_pil_makes_of_them() -> None:
    image = np.random.default_rng(0).integers(0, 256, (20, 31, 3), dtype=np.uint8)
    small = np.asarray(Image.fromarray(image).resize((16, 16), Image.Resampling.BICUBIC), dtype=np.float32) / 255
    pixels = squash(image, 16).permute(1, 2, 0).numpy()
    mean, deviation = np.array((0.48145466, 0.4578275, 0.40821073)), np.array((0.26862954, 0.26130258, 0.27577711))
    np.testing.assert_allclose(pixels, (small - mean) / deviation, atol=1e-5)
