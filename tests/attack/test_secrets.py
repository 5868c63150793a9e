"""Attacks on secrets: passwords of any form reach no terminal, no file and no other server."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.cli.main import main
from benchmark.core.errors import DownloadError
from benchmark.core.secrets import redact
from benchmark.fetching import download as fetching
from benchmark.fetching.download import Remote, download
from tests.attack.test_downloads import answer, serving

MIRRORS = {
    "a password": "https://me:s3cr3t-PW@mirror.example/w",
    "a password with @ and /": "https://me:s3cr3t-PW@x/y@mirror.example/w",
    "a token as the user": "https://s3cr3t-PW@mirror.example/w",
    "a signature": "https://mirror.example/w?sv=1&sig=s3cr3t-PW",
    "a signed address": "https://mirror.example/w?X-Amz-Credential=s3cr3t-PW&X-Amz-Signature=s3cr3t-PW",
    "a security token": "https://mirror.example/w?X-Amz-Security-Token=s3cr3t-PW",
    "an access token": "https://mirror.example/w?access_token=s3cr3t-PW",
}


@pytest.mark.parametrize("kind", MIRRORS)
def test_a_mirror_keeps_its_credentials(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["weights", "mobile_sam", "dry_run", f"run.weights_root={tmp_path}", f"mirror={MIRRORS[kind]}"]
    assert main(words) == 0
    said = capsys.readouterr()
    assert "s3cr3t-PW" not in said.out + said.err and "mirror.example" in said.out and "***" in said.out
    assert main([*words[:2], "offline", *words[3:]]) == 1
    assert "s3cr3t-PW" not in "".join(capsys.readouterr())


def test_what_lies_beside_a_broken_download_holds_no_password(tmp_path: Path) -> None:
    with serving(lambda to: answer(to, 200, bytes(20_000), Content_Length="40000", ETag='"1"')) as url:
        address = url.replace("://", "://me:s3cr3t-PW@") + "?sig=s3cr3t-PW"
        with pytest.raises(DownloadError) as told:
            download(Remote(urls=(address,)), tmp_path / "a.zip", pause=0.01, attempts=2)
    assert "s3cr3t-PW" not in str(told.value)
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["a.zip.part", "a.zip.part.json"]
    assert all(b"s3cr3t-PW" not in path.read_bytes() for path in tmp_path.iterdir())
    assert fetching._range_headers(address, tmp_path / "a.zip.part", checked=False)["If-Range"] == '"1"'


@pytest.mark.parametrize("kind", MIRRORS)
def test_hiding_again_changes_nothing(kind: str) -> None:
    once = redact(MIRRORS[kind])
    assert redact(once) == once and "s3cr3t-PW" not in redact(f"x {MIRRORS[kind]} y {MIRRORS[kind]}")


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c"])
def test_no_separator_inside_of_a_text_tears_a_line(separator: str, tmp_path: Path) -> None:
    """Files of a line a record end their lines at a newline alone."""
    from benchmark.data.pets import _rows
    from benchmark.pipelines.iap.taggers.clip_vocab import read_words

    path = tmp_path / "lines.txt"
    path.write_text(f"name{separator}# 1 1 1\nother 2 2 2\n", encoding="utf-8")
    assert [row[-1] for row in _rows(path)] == ["1", "2"]
    path.write_text(f"crack # a note{separator}that goes on\nscratch\r\ndent\n", encoding="utf-8")
    assert read_words(path) == ("crack", "scratch", "dent")
