"""What both sides are asked: images by path, prompts by file, or odd ones of our own making."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

MODES = ("RGB", "RGBA", "L", "I;16", "LA", "P", "exif", "CMYK", "1")
"""Kinds of files that are drawn, turn and turn about; ``exif``: a JPEG that is to be turned by 90 degrees."""
SHAPES = ((211, 317), (97, 640), (170, 169), (180, 260), (333, 120), (64, 64), (150, 151), (240, 400), (95, 201))
"""(H, W), turn and turn about."""
TEXTS = (
    "crack",
    "Crack. hole.. dent.",
    "white broken, part; 2nd (side)",
    " UPPER   case ",
    "bläschen auf naïve stahl – 鋼 한글",
    "it's a don't-know, e.g. #1?",
    "scratch. " * 33,
    ". . stain .",
    "hole?",
    "a",
)
"""Prompts: doubled and trailing stops, commas, upper case, other scripts, too many tokens."""
ODD = (
    "",
    "É NAÏVE – Straße",
    "A.B,C;",
    "...",
    "   ",
    "crack\ndent",
    "🙂 crack",
    "[SEP] a [CLS] &amp; b",
    "x" * 300,
    "UPPER, lower. MiXed",
    "1,5 mm; 50 %",
    "don't. can't...",
)
"""Prompts of ``odd``: nothing, blanks, stops alone, a break, a sign of four bytes, special tokens, one endless word."""
ODD_OBJECTS = (1, 1, 1, 1, 1, 2, 1, 2, 2, 1, 1, 2)
TAGS = (
    "Metal | close-up | Steel Plate | number | hole",
    "cloth | fabric | gray | material | pattern",
    "close-up | number | nut",
    "crack | red | deep scratch",
    "wood",
    " | ".join(f"long tag number {i}" for i in range(20)),
)
"""What a tagger sees on a good image, as RAM writes it."""
ANSWERS = (
    "scratch, crack, hole",
    "Keyword, dark spot spot, none",
    "1. scratch\n2. crack",
    "sorry, I cannot help with that.",
    "discoloration, fray, rip, bubble, stain, burn, " * 8,
    "part of the rim, 'word', crack.",
)
"""What a language model says of the object."""


def drawn(folder: Path, number: int, *, seed: int) -> list[Path]:
    """Draw images of many shapes and modes; returns their files.

    Coarse random patches with fine noise: on flat colour scores would tie.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return [_draw(folder, i, seed=seed) for i in range(number)]


def odd(folder: Path) -> list[Path]:
    """Draw twelve files of extreme shapes and rarer kinds; returns them."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(7)

    def picture(height: int, width: int, channels: int = 3) -> Image.Image:
        coarse = draw.integers(0, 200, (height // 16 + 1, width // 16 + 1, channels))
        patches = np.kron(coarse, np.ones((16, 16, 1), dtype=np.int64))[:height, :width]
        pixels = (patches + draw.integers(0, 56, (height, width, channels))).astype(np.uint8)
        return Image.fromarray(pixels[..., 0] if channels == 1 else pixels)

    def turned(orientation: int) -> Image.Exif:
        exif = Image.Exif()
        exif[0x0112] = orientation
        return exif

    picture(200, 1).save(folder / "00_w1.png")
    picture(1, 150, 1).save(folder / "01_h1_grey.png")
    picture(3, 2, 4).save(folder / "02_2x3_rgba.png")
    picture(1, 1).save(folder / "03_1x1.png")
    few = picture(9, 400).quantize(32)
    few.save(folder / "04_palette.png", transparency=bytes(draw.integers(0, 255, 32, dtype=np.uint8)))
    picture(41, 90).save(folder / "05_exif8.jpg", exif=turned(8), quality=90)
    picture(90, 41).save(folder / "06_exif3_prog.jpg", exif=turned(3), progressive=True)
    picture(61, 47).convert("CMYK").save(folder / "07_cmyk.jpg")
    picture(77, 33, 2).save(folder / "08_la.png")
    picture(64, 3).convert("1").save(folder / "09_bits.png")
    picture(50, 120).save(folder / "10.webp", quality=80)
    picture(83, 83, 4).save(folder / "11_rgba.webp", lossless=True)
    return sorted(folder.iterdir())


def odd_asked(method: str) -> list[dict[str, Any]]:
    """Return the prompts of ``odd``; SAA+ is to show two objects in some."""
    if method == "iap_as":
        return asked(method, None)
    if method != "saa_plus":
        return [_mapping(method, text) for text in ODD]
    return [{"text": text, "objects": number} for text, number in zip(ODD, ODD_OBJECTS, strict=True)]


def asked(method: str, file: Path | None) -> list[dict[str, Any]]:
    """Return the prompts of a method: from a file, or the odd ones above.

    A text file has one a line: what to look for, the tags of IAP-AS, or the category of WinCLIP and SDP. A YAML file
    is a list of such texts, or of mappings with more: ``text``, ``tags``, ``answer``, ``drop``, ``object`` and
    ``objects``, how many SAA+ takes an image to show (beyond one its code needs 8 GB and minutes an
    image with ``--size full``).
    """
    if file is not None:
        return [_mapping(method, one) for one in _read(file)]
    if method == "iap_as":
        pairs = [(t, a) for a in ANSWERS for t in TAGS]
        return [{"tags": t, "answer": a} for t, a in pairs[:: len(TAGS) + 1] + pairs[3 :: len(TAGS) + 1]]
    return [_mapping(method, text) for text in TEXTS]


def _read(file: Path) -> list[Any]:
    import yaml

    if not file.is_file():
        raise SystemExit(f"no such file of prompts: {file}")
    try:
        text = file.read_text(encoding="utf-8")
        listed = file.suffix in (".yaml", ".yml", ".json")
        read = yaml.safe_load(text) if listed else [line for line in text.splitlines() if line]
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise SystemExit(f"{file} cannot be read: {' '.join(str(error).split())}") from None
    if not isinstance(read, list) or not read:
        raise SystemExit(f"{file}: give a list of prompts")
    return read


def _mapping(method: str, one: Any) -> dict[str, Any]:
    key = "tags" if method == "iap_as" else "text"
    given = dict(one) if isinstance(one, dict) else {key: one}
    known = {"iap_as": ("tags", "answer"), "saa_plus": ("text", "drop", "object", "objects")}.get(method, ("text",))
    number = given.get("objects", 1)
    if key not in given or not set(given) <= set(known) or type(number) is not int or number < 1:
        raise SystemExit(f"prompt {one!r}: give a text, or a mapping of {', '.join(known)}")
    wrong = [name for name, value in given.items() if name != "objects" and not isinstance(value, str)]
    if wrong:
        raise SystemExit(f"prompt {one!r}: {', '.join(wrong)} is no text; numbers, yes and no take quotes")
    if method != "iap_as":
        return given
    tags = given["tags"].split(" | ")
    if not all(tag and tag == " ".join(tag.split()) and "|" not in tag for tag in tags):
        raise SystemExit(f"prompt {one!r}: write tags as RAM does, {TAGS[0]!r}")
    return {"answer": ANSWERS[0], **given}


def _draw(folder: Path, number: int, *, seed: int) -> Path:
    from PIL import Image

    draw = np.random.default_rng([seed, number])
    (height, width), mode = SHAPES[(number * 2 + number // 9) % len(SHAPES)], MODES[number % len(MODES)]
    coarse = draw.integers(0, 200, (height // 24 + 1, width // 24 + 1, 4))
    patches = np.kron(coarse, np.ones((24, 24, 1), dtype=np.int64))[:height, :width]
    pixels: NDArray[np.uint8] = (patches + draw.integers(0, 56, (height, width, 4))).astype(np.uint8)
    colour = Image.fromarray(np.ascontiguousarray(pixels[..., :3]))
    if mode == "exif":
        turned = Image.Exif()
        turned[0x0112] = 6
        path = folder / f"{number:02d}_exif.jpg"
        colour.save(path, quality=95, exif=turned)
        return path
    if mode == "CMYK":
        path = folder / f"{number:02d}_cmyk.tif"
        colour.convert("CMYK").save(path)
        return path
    path = folder / f"{number:02d}_{mode.replace(';', '').lower()}.png"
    if mode == "RGBA":
        Image.fromarray(pixels).save(path)
    elif mode == "I;16":
        Image.fromarray(draw.integers(0, 65536, (height, width), dtype=np.uint16)).save(path)
    elif mode == "LA":
        Image.fromarray(np.ascontiguousarray(pixels[..., 2:])).save(path)
    else:
        (colour if mode == "RGB" else colour.convert(mode)).save(path)
    return path


def images_of(given: Sequence[str], folder: Path, *, number: int, seed: int) -> list[Path]:
    """Return the files that are named, those in named folders, or drawn ones where none is named."""
    from benchmark.data.images import EXTENSIONS

    if not given:
        return drawn(folder, number, seed=seed)
    found: list[Path] = []
    for path in map(Path, given):
        inside = sorted(p for p in path.iterdir() if p.suffix.lower() in EXTENSIONS) if path.is_dir() else [path]
        if not inside:
            raise SystemExit(f"no image lies in {path} itself; folders in it are not searched")
        found += inside
    for path in found:
        _check(path)
    return [path.resolve() for path in found]


def _check(path: Path) -> None:
    from PIL import Image

    if not path.is_file():
        raise SystemExit(f"no such image: {path}")
    try:
        with Image.open(path) as image:
            image.load()
    except Exception as error:
        raise SystemExit(f"{path} cannot be read as an image: {' '.join(str(error).split())}") from None
