"""Getting a dataset and checking it: the command as a user runs it, against a local server."""

from __future__ import annotations

import hashlib
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from benchmark.cli.main import main
from benchmark.data import fetch
from benchmark.data.card import Archive, Card, Source, load_card
from tests.data.dataset_trees import Linker, save
from tests.data.full_trees import BUILDERS


@pytest.fixture
def mpdd(tmp_path: Path) -> Path:
    root = tmp_path / "data" / "mpdd"
    BUILDERS["mpdd"](root, Linker(tmp_path / ".links"), load_card("mpdd"))
    return root


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder, and the address under which it is served."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=http.serve_forever, daemon=True, kwargs={"poll_interval": 0.02}).start()
    yield folder, f"http://127.0.0.1:{http.server_port}"
    http.shutdown()
    http.server_close()


def command(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    status = main(["data", *words])
    out, err = capsys.readouterr()
    return status, " ".join((out + err).split())


def test_verify_a_whole_tree(mpdd: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, text = command(capsys, "mpdd", "verify", f"data_root={mpdd.parent}")
    assert status == 0
    assert text.index("Licence:") < text.index("1346 images and 282 masks decoded: all as the card says")


def test_verify_lists_all_that_is_wrong(mpdd: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tubes = mpdd / "MPDD" / "tubes"
    (tubes / "train/good/003.PNG").unlink()
    (tubes / "test/good/004.PNG").unlink()
    (tubes / "test/good/004.PNG").write_bytes(b"\x89PNG\r\n\x1a\n cut")
    (tubes / "ground_truth/hole/001_mask.PNG").unlink()
    mask = tubes / "ground_truth/hole/003_mask.PNG"
    mask.unlink()
    save(mask, np.zeros((9, 9), np.uint8))
    (mpdd / "MPDD/connector/ground_truth/scratch/000_mask.png").rename(
        mpdd / "MPDD/connector/ground_truth/scratch/777_mask.png"
    )
    Linker(mpdd.parent / ".links")(mpdd / "MPDD" / "sprocket" / "test" / "good" / "000.png")
    status, text = command(capsys, "mpdd", "verify", f"data_root={mpdd.parent}")
    assert status == 1
    assert "tubes │ train │ good │ 122 │ 121 │ 1 missing" in text
    assert "sprocket │ test │ good │ 0 │ 1 │ 1 too many" in text
    for problem in (
        "test/hole/001.PNG: an image without mask",
        "scratch/777_mask.png: a mask without image",
        "003_mask.PNG: the mask is 9x9",
        "test/good/004.PNG:",
    ):
        assert problem in text
    assert "5 problems" in text


def test_manual_data_print_their_steps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    status, text = command(capsys, "mpdd")
    assert status == 1
    assert text.index("Licence: none stated") < text.index("1. Open the OneDrive folder")
    assert "check it with: make data DATASET=mpdd ARGS=verify" in text


def test_placed_data_are_verified(mpdd: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, text = command(capsys, "mpdd", f"data_root={mpdd.parent}")
    assert status == 0
    assert "1. Open" not in text
    assert "all as the card says" in text


def test_verify_without_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mpdd").mkdir()
    (tmp_path / "mpdd" / "card.yaml").write_text("name: mpdd")
    status, text = command(capsys, "mpdd", "verify", f"data_root={tmp_path}")
    assert status == 1
    assert "error: " in text
    assert "mpdd: no data in it. Run `make data DATASET=mpdd`" in text


def serve(monkeypatch: pytest.MonkeyPatch, served: tuple[Path, str], tree: Path, *, sha256: str | None = None) -> Card:
    """Pack a tree, serve it, and let the card name that address."""
    folder, address = served
    archive = Path(shutil.make_archive(str(folder / "mpdd"), "zip", tree))
    digest = sha256 or hashlib.sha256(archive.read_bytes()).hexdigest()
    one = Archive(url=f"{address}/mpdd.zip", file="mpdd.zip", sha256=digest)
    card = load_card("mpdd").model_copy(update={"source": Source(kind="download", archives=(one,))})
    monkeypatch.setattr(fetch, "find_card", lambda name: card)
    return card


def test_download_unpack_and_verify(
    mpdd: Path,
    served: tuple[Path, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    serve(monkeypatch, served, mpdd)
    new = tmp_path / "new"
    status, text = command(capsys, "mpdd", "dry_run", f"data_root={new}")
    assert (status, new.exists()) == (0, False)
    assert "size not known, sha256" in text
    status, text = command(capsys, "mpdd", f"data_root={new}")
    assert status == 0
    assert text.index("Licence:") < text.index("unpacked and not needed any more") < text.index("all as the card says")
    # Whole data are not fetched again, even with the server gone; a lost part is unpacked again from the kept archive.
    shutil.rmtree(served[0])
    assert command(capsys, "mpdd", f"data_root={new}")[0] == 0
    shutil.rmtree(new / "mpdd" / "MPDD")
    shutil.rmtree(new / "mpdd" / "__MACOSX")
    assert command(capsys, "mpdd", "offline", f"data_root={new}")[0] == 0


def test_wrong_checksum_is_not_unpacked(
    mpdd: Path,
    served: tuple[Path, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    serve(monkeypatch, served, mpdd, sha256="0" * 64)
    status, text = command(capsys, "mpdd", f"data_root={tmp_path / 'new'}")
    assert status == 1
    assert "error: mpdd.zip could not be fetched" in text
    assert "mpdd.zip.rejected" in text
    assert sorted(p.name for p in (tmp_path / "new" / "mpdd").iterdir()) == [".archives"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["mvtek"], "'mvtek' is not a dataset or a word of this command; did you mean 'mvtec'"),
        ([], "name one dataset"),
        (["mvtec", "rooot=x"], "data has no rooot=…; known: data_root"),
        (["folder"], "dataset folder is your own data, nothing is fetched for it; check it with: make data"),
        (["folder", "verify"], "folder"),
        (["folder", "verify", "dataset.pth=x"], "did you mean 'path'"),
        (["mpdd", "verify", "data_root=/nowhere/at/all"], "the data root is no folder"),
    ],
)
def test_mistakes_are_named(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, text = command(capsys, *words)
    assert status == (2 if "rooot=x" in words else 1)
    assert message in text


def test_generated_data_need_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    status, text = command(capsys, "sat")
    assert status == 0
    assert "generates the images" in text


def test_a_folder_of_ones_own_is_checked_and_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    root = tmp_path / "parts"
    image = np.full((40, 60, 3), 90, dtype=np.uint8)
    for number, place in enumerate(("train/good", "test/good", "test/cut", "test/hole", "test/dent")):
        save(root / "ring" / place / "0.png", image + np.uint8(number))
    save(root / "ring" / "test" / "good" / "copy.png", image)
    mask = np.zeros((40, 60), dtype=np.uint8)
    save(root / "ring" / "ground_truth" / "cut" / "0_mask.png", mask)
    mask[5:9, 5:9] = 255
    save(root / "ring" / "ground_truth" / "dent" / "0_mask.png", mask)
    save(root / "ring" / "ground_truth" / "hole" / "0_mask.png", 255 - mask)
    status, text = command(capsys, "folder", "verify", f"dataset.path={root}")
    text = " ".join(text.split())
    assert status == 0 and "6 images and 3 masks decoded: nothing is wrong" in text
    assert "ring/test/good/copy.png is the training image ring/train/good/0.png again" in text
    assert "ring/ground_truth/cut/0_mask.png: marks nothing" in text
    assert "ring/ground_truth/hole/0_mask.png: marks 99% of the image; is it inverted?" in text
    assert "dent/0_mask.png" not in text
    sheet = tmp_path / "cache" / "verify" / "parts.png"
    assert str(sheet) in text
    from PIL import Image

    with Image.open(sheet) as drawn:
        assert drawn.size == (1200, 228)

    (root / "ring" / "ground_truth" / "dent" / "0_mask.png").write_bytes(b"no image")
    status, text = command(capsys, "folder", "verify", f"dataset.path={root}")
    assert status == 1 and "problem: " in text and "not an image" in text and sheet.is_file()
