"""Archives that try to do harm are refused, and nothing is unpacked by halves."""

from __future__ import annotations

import errno
import io
import stat
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from benchmark.core.errors import DownloadError
from benchmark.fetching import archives
from benchmark.fetching.archives import unpack

FILES = {"part/train/good/000.png": b"one", "part/test/good/000.png": b"two" * 1000, "licence.txt": b"three"}


def make_tar(path: Path, files: dict[str, bytes], *extra: tarfile.TarInfo) -> Path:
    mode: Any = {".xz": "w:xz", ".gz": "w:gz"}.get(path.suffix, "w")
    with tarfile.open(path, mode) as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        for info in extra:
            tar.addfile(info)
    return path


def make_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, data in files.items():
            opened.writestr(name, data)
    return path


def refused(archive: Path, match: str) -> None:
    target = archive.parent / "data"
    with pytest.raises(DownloadError, match=match):
        unpack(archive, target)
    assert not target.exists() or not list(target.iterdir())


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "a.tar.xz"])
def test_unpacked_whole(name: str, tmp_path: Path) -> None:
    archive = (make_zip if name.endswith("zip") else make_tar)(tmp_path / name, FILES)
    seen: list[int] = []
    unpack(archive, tmp_path / "data", on_progress=lambda done, _: seen.append(done))
    found = {p.relative_to(tmp_path / "data").as_posix(): p.read_bytes() for p in (tmp_path / "data").rglob("*.*")}
    assert found == FILES
    assert seen[-1] == sum(map(len, FILES.values()))


@pytest.mark.parametrize("name", ["../evil.txt", "a/../../evil.txt", "/evil.txt", "a\\..\\evil.txt", "C:/evil.txt"])
def test_paths_out_of_the_target(name: str, tmp_path: Path) -> None:
    refused(make_zip(tmp_path / "a.zip", {"good.txt": b"1", name: b"x"}), "leads out of the target folder; refused")
    refused(make_tar(tmp_path / "a.tar", {"good.txt": b"1", name: b"x"}), "leads out of the target folder; refused")
    assert not (tmp_path / "evil.txt").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_in_tar(kind: bytes, tmp_path: Path) -> None:
    info = tarfile.TarInfo("link")
    info.type, info.linkname = kind, "/etc/passwd"
    refused(make_tar(tmp_path / "a.tar", FILES, info), "'link' is a link or a device; refused")


def test_links_in_zip(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as opened:
        info = zipfile.ZipInfo("link")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        opened.writestr(info, "/etc/passwd")
    refused(tmp_path / "a.zip", "'link' is a link or a device; refused")


def test_bombs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MIN_LIMIT", 1 << 20)
    refused(make_zip(tmp_path / "a.zip", {"zeros": bytes(8 << 20)}), "no archive of images does; refused")
    refused(make_tar(tmp_path / "a.tar.xz", {"zeros": bytes(8 << 20)}), "no archive of images does; refused")
    monkeypatch.setattr(archives, "MAX_FILES", 2)
    refused(make_zip(tmp_path / "b.zip", FILES), "in 3 files, which no archive of images does")


def test_a_listed_size_that_is_a_lie(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", {"zeros": b"0123456789" * 100})
    # The uncompressed size stands in the local header and in the index at the end.
    archive.write_bytes(archive.read_bytes().replace((1000).to_bytes(4, "little"), (10).to_bytes(4, "little")))
    refused(archive, r"larger than the archive says|damaged archive")


def test_one_name_twice(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as opened:
        opened.writestr("a/x.txt", b"1")
        opened.writestr("a/./x.txt", b"2")
    refused(tmp_path / "a.zip", "cannot be unpacked")


def test_damaged_and_foreign_archives(tmp_path: Path) -> None:
    whole = make_tar(tmp_path / "a.tar.gz", {"zeros": bytes(range(256)) * 4000}).read_bytes()
    (tmp_path / "a.tar.gz").write_bytes(whole[: len(whole) // 2])
    refused(tmp_path / "a.tar.gz", "damaged archive|cannot be unpacked")
    (tmp_path / "page.zip").write_text("<html>not found</html>")
    refused(tmp_path / "page.zip", "neither a zip nor a tar archive")


def test_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = make_zip(tmp_path / "a.zip", FILES)
    written: list[str] = []
    copy = archives._copy

    def full(archive: Path, member: Any, place: Path) -> int:
        if written:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(str(place))
        return copy(archive, member, place)

    with monkeypatch.context() as patch:
        patch.setattr(archives, "_copy", full)
        refused(archive, "the disk is full; free some space and run again")
    unpack(archive, tmp_path / "data")
    assert (tmp_path / "data" / "licence.txt").read_bytes() == b"three"


def test_what_is_there_is_not_replaced(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", FILES)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "licence.txt").write_text("mine")
    with pytest.raises(DownloadError, match=r"licence\.txt: exists already; move it away, then run again"):
        unpack(archive, tmp_path / "data")
    assert (tmp_path / "data" / "licence.txt").read_text() == "mine"
    assert not (tmp_path / "data" / "part").exists()
    (tmp_path / "data" / "licence.txt").unlink()
    unpack(archive, tmp_path / "data")
    assert (tmp_path / "data" / "part/train/good/000.png").read_bytes() == b"one"


def test_killed_while_moving_goes_on(tmp_path: Path) -> None:
    """The unpacked folder with some entries moved already is what a kill leaves behind."""
    archive = make_zip(tmp_path / "a.zip", FILES)
    data = tmp_path / "data"
    unpack(archive, data)
    (data / ".a.zip.unpacked").mkdir()
    (data / "part").rename(data / ".a.zip.unpacked" / "part")
    (data / ".a.zip.unpacking").mkdir()
    unpack(archive, data)
    assert sorted(p.name for p in data.iterdir()) == ["licence.txt", "part"]
