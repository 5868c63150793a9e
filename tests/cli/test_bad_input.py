"""Bad input through the whole chain: a clear error that names the file, exit code 1, nothing half-written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmark.core.errors import DataError
from tests.harness import command, run

SIZE = 48


def save(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """A small folder in MVTec layout: 4 good training, 2 good and 2 scratched test images."""
    draw = np.random.default_rng(0)
    base = draw.integers(90, 150, (SIZE, SIZE), dtype=np.uint8)
    root = tmp_path / "parts" / "bracket"
    for i in range(4):
        save(root / "train" / "good" / f"{i:03}.png", base + draw.integers(0, 4, base.shape, dtype=np.uint8))
    for i in range(2):
        save(root / "test" / "good" / f"{i:03}.png", base + draw.integers(0, 4, base.shape, dtype=np.uint8))
        scratched, mask = base.copy(), np.zeros_like(base)
        scratched[10:14, 5 + i : 40] = 250
        mask[10:14, 5 + i : 40] = 255
        save(root / "test" / "scratch" / f"{i:03}.png", scratched)
        save(root / "ground_truth" / "scratch" / f"{i:03}_mask.png", mask)
    return tmp_path / "parts"


def bench(parts: Path, *words: str):  # type: ignore[no-untyped-def]
    return run(parts.parent, "dataset=folder", f"dataset.path={parts}", "pipeline=reference_difference", *words)


def test_a_users_own_folder_is_found_and_solved(parts: Path) -> None:
    result = bench(parts, "pipeline.threshold=30").result
    assert (result.dataset.n_good, result.dataset.n_defective) == (2, 2)
    assert result.metric("ap", "bracket").value > 0.9
    assert result.metric("f2", "bracket").value == 1.0


def truncate(parts: Path) -> Path:
    path = parts / "bracket" / "test" / "good" / "001.png"
    path.write_bytes(path.read_bytes()[:200])
    return path


def mask_of_another_size(parts: Path) -> Path:
    return save(parts / "bracket/ground_truth/scratch/000_mask.png", np.zeros((SIZE + 1, SIZE), np.uint8))


def mask_without_image(parts: Path) -> Path:
    return save(parts / "bracket/ground_truth/scratch/007_mask.png", np.zeros((SIZE, SIZE), np.uint8))


def not_an_image(parts: Path) -> Path:
    path = parts / "bracket/test/good/000.png"
    path.write_text("hello")
    return path


@pytest.mark.parametrize("break_it", [truncate, mask_of_another_size, mask_without_image, not_an_image])
def test_a_broken_file_is_named_and_nothing_is_left(parts: Path, break_it: Callable[[Path], Path]) -> None:
    broken = break_it(parts)
    with pytest.raises(DataError) as caught:
        bench(parts)
    assert broken.name in str(caught.value)
    assert not list((parts.parent / "results" / "runs").iterdir())


def test_a_truncated_image_can_be_recorded_instead(parts: Path) -> None:
    truncate(parts)
    finished = bench(parts, "run.on_error=record")
    assert finished.result.outcomes == {"failed": 1, "ok": 3}
    from benchmark.results.files import read_rows

    rows = read_rows(finished.folder).set_index("id")
    failed = rows[rows["outcome"] == "failed"]
    assert len(failed) == 1 and "001.png" in failed.iloc[0]["message"]


def test_the_command_line_says_it_in_one_message(parts: Path) -> None:
    broken = truncate(parts)
    done = command("dataset=folder", f"dataset.path={parts}", "pipeline=reference_difference", folder=parts.parent)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and str(broken) in done.stderr and "Traceback" not in done.stderr


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    with pytest.raises(DataError) as caught:
        bench(tmp_path / "parts")
    assert str(tmp_path / "parts") in str(caught.value)


def test_sixteen_bit_and_palette_images_are_read_right(parts: Path) -> None:
    eight = bench(parts).result
    for path in sorted((parts / "bracket").glob("t*/**/*.png")):
        grey = np.asarray(Image.open(path))
        if "good" in path.parent.name:
            Image.fromarray(grey.astype(np.uint16) * 257).save(path)
        else:
            image = Image.fromarray(grey).convert("P")
            assert image.mode == "P"
            image.save(path)
    other = bench(parts).result
    assert other.dataset.fingerprint != eight.dataset.fingerprint
    assert [(m.metric, m.value) for m in other.metrics] == [(m.metric, m.value) for m in eight.metrics]
