"""Every kind of image file is read as documented, or refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmark.core.errors import DataError
from benchmark.core.samples import MaskFormat, Sample
from benchmark.data.images import load_image, squared_as_stored
from benchmark.data.masks import load_levels, load_truth

GREY = np.array([[0, 128, 255], [10, 20, 30]], np.uint8)


def sample(mask: Path | None, mask_format: MaskFormat = "grey") -> Sample:
    return Sample(
        id="a.png",
        image=Path("a.png"),
        mask=mask,
        mask_format=mask_format,
        defective=True,
        category="c",
        defect_type="d",
        group="a.png",
        split="test",
        sha256="0",
    )


def test_grey_is_repeated(tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "a.png")
    image = load_image(tmp_path / "a.png")
    assert image.dtype == np.uint8
    assert image.shape == (2, 3, 3)
    assert all(np.array_equal(image[..., c], GREY) for c in range(3))


def test_sixteen_bit_is_scaled_to_nearest(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 128, 129, 65535, 257 * 7]], np.uint16)).save(tmp_path / "a.png")
    assert load_image(tmp_path / "a.png")[0, :, 0].tolist() == [0, 0, 1, 255, 7]


def test_palette_is_looked_up_and_alpha_dropped(tmp_path: Path) -> None:
    rgb = np.zeros((2, 3, 3), np.uint8)
    rgb[0, 1] = (200, 10, 20)
    Image.fromarray(rgb).quantize(4).save(tmp_path / "p.png")
    assert np.array_equal(load_image(tmp_path / "p.png"), rgb)
    rgba = np.dstack([rgb, np.full((2, 3), 7, np.uint8)])
    Image.fromarray(rgba).save(tmp_path / "rgba.png")
    assert np.array_equal(load_image(tmp_path / "rgba.png"), rgb)
    Image.fromarray(np.dstack([GREY, GREY]), mode=None).save(tmp_path / "la.png")
    assert np.array_equal(load_image(tmp_path / "la.png")[..., 0], GREY)


def test_content_decides_not_the_name(tmp_path: Path) -> None:
    frames = [Image.new("L", (4, 3), 40), Image.new("L", (4, 3), 200)]
    frames[0].save(tmp_path / "gif.jpg", format="GIF", save_all=True, append_images=frames[1:])
    assert np.array_equal(load_image(tmp_path / "gif.jpg"), np.full((3, 4, 3), 40))
    Image.fromarray(np.dstack([GREY] * 4)).save(tmp_path / "rgba.jpg", format="PNG")
    assert np.array_equal(load_image(tmp_path / "rgba.jpg")[..., 1], GREY)


def test_cmyk_and_one_bit(tmp_path: Path) -> None:
    Image.new("CMYK", (2, 2), (0, 0, 0, 0)).save(tmp_path / "c.tif")
    assert load_image(tmp_path / "c.tif").min() == 255
    Image.fromarray(GREY > 100).save(tmp_path / "b.png")
    assert load_image(tmp_path / "b.png")[..., 0].tolist() == [[0, 255, 255], [0, 0, 0]]


def test_exif_orientation_is_not_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (4, 2)).save(tmp_path / "a.jpg", exif=exif)
    assert load_image(tmp_path / "a.jpg").shape == (2, 4, 3)


@pytest.mark.parametrize("mode", ["I", "F"])
def test_thirty_two_bit_is_refused(tmp_path: Path, mode: str) -> None:
    Image.new(mode, (2, 2), 3).save(tmp_path / "a.tif")
    with pytest.raises(DataError, match=r"a\.tif.*32-bit.*save it as 8- or 16-bit"):
        load_image(tmp_path / "a.tif")


@pytest.mark.parametrize("kept", [0, 10, 0.5])
@pytest.mark.parametrize("ending", ["png", "jpg", "bmp"])
def test_truncated_is_refused_by_name(tmp_path: Path, ending: str, kept: float) -> None:
    path = tmp_path / f"cut.{ending}"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(kept if kept >= 1 else kept * len(data))])
    with pytest.raises(DataError, match=rf"cut\.{ending}"):
        load_image(path)


def test_missing_and_foreign_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.png: no such file"):
        load_image(tmp_path / "gone.png")
    (tmp_path / "text.png").write_text("hello")
    with pytest.raises(DataError, match=r"text\.png: not an image"):
        load_image(tmp_path / "text.png")


def test_palette_mask_is_looked_up(tmp_path: Path) -> None:
    """White may stand at index 2 and a grey at index 1, so neither ``== 1`` nor raw indices are levels."""
    mask = Image.fromarray(np.array([[0, 1, 2]], np.uint8), mode=None).convert("L")
    paletted = Image.new("P", mask.size)
    paletted.putdata([0, 1, 2])
    paletted.putpalette([0, 0, 0, 85, 85, 85, 255, 255, 255])
    paletted.save(tmp_path / "m.bmp")
    assert load_levels(tmp_path / "m.bmp").tolist() == [[0, 85, 255]]
    assert load_truth(sample(tmp_path / "m.bmp"), shape=(1, 3)).mask.tolist() == [[False, True, True]]
    assert load_truth(sample(tmp_path / "m.bmp"), shape=(1, 3), threshold=128).mask.tolist() == [[False, False, True]]


def test_coloured_and_sixteen_bit_masks_keep_what_is_marked(tmp_path: Path) -> None:
    Image.fromarray(np.array([[[0, 0, 255], [0, 0, 0]]], np.uint8)).save(tmp_path / "blue.png")
    assert load_levels(tmp_path / "blue.png").tolist() == [[255, 0]]
    Image.fromarray(np.array([[0, 1, 65535]], np.uint16)).save(tmp_path / "deep.png")
    assert load_levels(tmp_path / "deep.png").tolist() == [[0, 1, 255]]


def test_class_ids_ignore_the_threshold(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 1, 7]], np.uint8)).save(tmp_path / "ids.png")
    truth = load_truth(sample(tmp_path / "ids.png", "class_ids"), shape=(1, 3), threshold=128)
    assert truth.mask.tolist() == [[False, True, True]]


def test_trimap_border_policies(tmp_path: Path) -> None:
    Image.fromarray(np.array([[1, 2, 3]], np.uint8)).save(tmp_path / "t.png")
    trimap = sample(tmp_path / "t.png", "trimap")
    ignored = load_truth(trimap, shape=(1, 3), border="ignore")
    assert ignored.mask.tolist() == [[True, False, False]]
    assert ignored.ignore is not None
    assert ignored.ignore.tolist() == [[False, False, True]]
    inside = load_truth(trimap, shape=(1, 3), border="foreground")
    assert (inside.mask.tolist(), inside.ignore) == ([[True, False, True]], None)
    outside = load_truth(trimap, shape=(1, 3), border="background")
    assert (outside.mask.tolist(), outside.ignore) == ([[True, False, False]], None)


def test_trimap_with_other_values_is_refused(tmp_path: Path) -> None:
    Image.fromarray(np.array([[1, 2, 0]], np.uint8)).save(tmp_path / "t.png")
    with pytest.raises(DataError, match=r"t\.png: a trimap holds"):
        load_truth(sample(tmp_path / "t.png", "trimap"), shape=(1, 3))


def test_no_mask_is_zero_in_image_order(tmp_path: Path) -> None:
    truth = load_truth(sample(None), shape=(4, 7))
    assert truth.mask.shape == (4, 7)
    assert not truth.mask.any()


def test_mask_of_another_size_is_refused(tmp_path: Path) -> None:
    Image.new("L", (3, 2)).save(tmp_path / "m.png")
    with pytest.raises(DataError, match=r"m\.png: the mask is 3x2 .* a\.png is 2x3"):
        load_truth(sample(tmp_path / "m.png"), shape=(3, 2))


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "LA", "P", "1", "I;16", "CMYK"])
def test_an_image_may_be_squared_as_torchvision_squares_what_pillow_opens(mode: str, tmp_path: Path) -> None:
    from torchvision.transforms import InterpolationMode, Resize

    draw = np.random.default_rng(3)
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    if mode == "I;16":
        Image.fromarray(draw.integers(0, 65536, (31, 47), dtype=np.uint16)).save(path)
    else:
        Image.fromarray(draw.integers(0, 256, (31, 47, 4), dtype=np.uint8)).convert(mode).save(path)
    with Image.open(path) as opened:
        resized = Resize((24, 24), interpolation=InterpolationMode.BICUBIC, max_size=None, antialias=None)(opened)
        expected = np.asarray(resized.convert("RGB"))
    found = squared_as_stored(path, 24)
    if mode in ("RGB", "L"):
        assert found is None
        found = np.asarray(Image.fromarray(load_image(path)).resize((24, 24), Image.Resampling.BICUBIC))
    assert found is not None
    np.testing.assert_array_equal(found, expected)


def test_squares_of_damaged_and_of_32_bit_files_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((4, 4), dtype=np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(DataError, match="32-bit"):
        squared_as_stored(tmp_path / "a.tif", 8)
    (tmp_path / "b.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"b\.png"):
        squared_as_stored(tmp_path / "b.png", 8)
