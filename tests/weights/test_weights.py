"""The weights registry, and finding and verifying weights files."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from benchmark import weights
from benchmark.cli.main import main
from benchmark.core.errors import WeightsError
from benchmark.weights import registry
from benchmark.weights.digests import file_digests

CONTENT = b"not really a network" * 1000


def entry_text(name: str, *, file: str, content: bytes = CONTENT, **changes: object) -> str:
    one = {
        "file": file,
        "urls": [f"https://example.org/{file}"],
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "md5": None,
    } | changes
    return yaml.safe_dump(
        {
            "name": name,
            "title": name,
            "source": "example/example",
            "licence": None,
            "trained_on": ["ImageNet-1k"],
            "target_data": [],
            "files": [one],
        }
    )


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A registry of its own with one entry ``toy``, an empty weights folder and an empty cache."""
    folder = tmp_path / "conf"
    folder.mkdir()
    (folder / "toy.yaml").write_text(entry_text("toy", file="toy.pth"), encoding="utf-8")
    monkeypatch.setattr(registry, "FOLDER", folder)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("BENCH_WEIGHTS", str(tmp_path / "weights"))
    registry.names.cache_clear()
    registry.find.cache_clear()
    (tmp_path / "weights").mkdir()
    yield tmp_path / "weights"
    registry.names.cache_clear()
    registry.find.cache_clear()


@pytest.mark.parametrize("name", weights.names())
def test_every_registry_entry_is_valid(name: str) -> None:
    entry = weights.find(name)
    text = (registry.FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
    assert text.startswith("# ")
    for file in entry.files:
        assert bool(file.urls) != bool(file.package), "it comes from one place"
        assert all(url.startswith("https://") for url in file.urls)
        # Without a digest there is at least the exact size to tell a wrong file by.
        assert file.sha256 is not None or file.size is not None


def test_files_of_the_registry_do_not_collide() -> None:
    files = [file.file for name in weights.names() for file in weights.find(name).files]
    assert len(files) == len(set(files))


def test_an_unset_fact_is_explained_beside_it() -> None:
    for name in weights.names():
        for line in (registry.FOLDER / f"{name}.yaml").read_text(encoding="utf-8").splitlines():
            if ": null" in line:
                assert "  # " in line, f"{name}: {line}"


def test_an_unknown_name_lists_near_ones() -> None:
    with pytest.raises(WeightsError, match=r"did you mean .*'sam_vit_h'"):
        weights.find("sam_vitt_h")


def test_missing_files_are_all_listed_with_the_one_command(toy: Path) -> None:
    (registry.FOLDER / "other.yaml").write_text(entry_text("other", file="sub/other.pth"), encoding="utf-8")
    registry.names.cache_clear()
    with pytest.raises(WeightsError) as caught:
        weights.resolve(["toy", "other"], pipeline="resnet_mlp")
    message = str(caught.value)
    assert str(toy / "toy.pth") in message
    assert str(toy / "sub" / "other.pth") in message
    assert message.count("make weights") == 1
    assert 'make weights PIPELINE="toy other"' in message


def test_the_command_names_what_is_missing_and_nothing_else(toy: Path) -> None:
    (registry.FOLDER / "other.yaml").write_text(entry_text("other", file="sub/other.pth"), encoding="utf-8")
    registry.names.cache_clear()
    (toy / "toy.pth").write_bytes(CONTENT)
    with pytest.raises(WeightsError, match=r"pipeline resnet_mlp needs 1 weights file.*\n.*\n.*PIPELINE=other "):
        weights.resolve(["toy", "other"], pipeline="resnet_mlp")


def test_a_good_file_is_resolved_with_its_facts(toy: Path) -> None:
    (toy / "toy.pth").write_bytes(CONTENT)
    found = weights.resolve(["toy"], pipeline="resnet_mlp")["toy"]
    assert found.path == toy / "toy.pth"
    assert found.sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert found.trained_on == ("ImageNet-1k",)
    assert found.target_data == ()


def test_a_configured_root_goes_before_the_variable(toy: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "toy.pth").write_bytes(CONTENT)
    assert weights.resolve(["toy"], pipeline="p", root=elsewhere)["toy"].path == elsewhere / "toy.pth"
    with pytest.raises(WeightsError):
        weights.resolve(["toy"], pipeline="p")


@pytest.mark.parametrize("damage", [CONTENT[:-1], bytes([CONTENT[0] ^ 1]) + CONTENT[1:]], ids=["short", "flipped"])
def test_a_wrong_file_is_refused_by_name(toy: Path, damage: bytes) -> None:
    (toy / "toy.pth").write_bytes(damage)
    with pytest.raises(WeightsError, match=r"toy: .*toy\.pth.*make weights PIPELINE=toy"):
        weights.resolve(["toy"], pipeline="p")


def test_published_first_digits_are_checked(toy: Path) -> None:
    good = hashlib.sha256(CONTENT).hexdigest()[:8]
    bad = "00000000" if good != "00000000" else "11111111"
    (toy / "toy.pth").write_bytes(CONTENT)
    for digits, accepted in ((good, True), (bad, False)):
        text = entry_text("toy", file="toy.pth", sha256=digits, size=None)
        (registry.FOLDER / "toy.yaml").write_text(text, encoding="utf-8")
        registry.find.cache_clear()
        if accepted:
            assert weights.resolve(["toy"], pipeline="p")["toy"].sha256.startswith(digits)
        else:
            with pytest.raises(WeightsError, match="published file has sha256"):
                weights.resolve(["toy"], pipeline="p")


def test_digests_are_remembered_until_the_file_changes(toy: Path, tmp_path: Path) -> None:
    file = toy / "toy.pth"
    file.write_bytes(CONTENT)
    assert file_digests(file)[0] == hashlib.sha256(CONTENT).hexdigest()
    (note,) = (tmp_path / "cache" / "digests").iterdir()
    note.write_text(note.read_text(encoding="utf-8").replace(hashlib.sha256(CONTENT).hexdigest(), "remembered"))
    assert file_digests(file)[0] == "remembered"
    file.write_bytes(CONTENT[::-1])
    assert file_digests(file)[0] == hashlib.sha256(CONTENT[::-1]).hexdigest()


def test_a_damaged_note_is_computed_again(toy: Path, tmp_path: Path) -> None:
    file = toy / "toy.pth"
    file.write_bytes(CONTENT)
    first = file_digests(file)
    (note,) = (tmp_path / "cache" / "digests").iterdir()
    note.write_text("{", encoding="utf-8")
    assert file_digests(file) == first


def test_a_file_path_outside_the_folder_is_refused() -> None:
    for path in ("../up.pth", "/abs.pth", "a/../../b.pth"):
        with pytest.raises(ValueError, match="below the weights folder"):
            registry.WeightsFile(file=path, urls=(), size=None, sha256=None, md5=None)


def test_custom_weights_know_nothing_of_their_training(toy: Path) -> None:
    (toy / "own.pth").write_bytes(CONTENT)
    own = weights.custom(toy / "own.pth")
    assert own.trained_on is None
    assert own.target_data is None
    assert own.sha256 == hashlib.sha256(CONTENT).hexdigest()
    with pytest.raises(WeightsError, match="no weights file at"):
        weights.custom(toy / "absent.pth")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A local server: its address, and the folder that it serves."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=http.serve_forever, daemon=True, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{http.server_port}", folder
    http.shutdown()
    http.server_close()
    thread.join()


def register(content: bytes = CONTENT, **changes: object) -> None:
    (registry.FOLDER / "toy.yaml").write_text(entry_text("toy", file="toy.pth", content=content, **changes))
    registry.find.cache_clear()


def test_a_missing_file_is_fetched_verified_and_then_kept(
    toy: Path, server: tuple[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    url, served = server
    (served / "toy.pth").write_bytes(CONTENT)
    register(urls=[f"{url}/toy.pth"])
    assert main(["weights", "toy"]) == 0
    assert "downloaded, verified by sha256" in capsys.readouterr().out
    assert weights.resolve(["toy"], pipeline="p")["toy"].path.read_bytes() == CONTENT
    (served / "toy.pth").unlink()
    assert main(["weights", "toy", "offline"]) == 0
    assert "already there" in capsys.readouterr().out


@pytest.mark.parametrize("digits", [64, 8])
def test_a_wrong_download_is_kept_aside_and_never_used(
    digits: int, toy: Path, server: tuple[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    url, served = server
    (served / "toy.pth").write_bytes(CONTENT[::-1])
    register(urls=[f"{url}/toy.pth"], sha256=hashlib.sha256(CONTENT).hexdigest()[:digits])
    assert main(["weights", "toy"]) == 1
    assert "sha256" in capsys.readouterr().err
    assert not (toy / "toy.pth").exists()
    assert (toy / "toy.pth.rejected").read_bytes() == CONTENT[::-1]


def test_a_mirror_is_asked_first(
    toy: Path, server: tuple[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url, served = server
    (served / "copies").mkdir()
    (served / "copies" / "toy.pth").write_bytes(CONTENT)
    register(urls=[f"{url}/absent.pth"])
    monkeypatch.setenv("BENCH_WEIGHTS_MIRROR", f"{url}/elsewhere")
    assert main(["weights", "toy", f"mirror={url}/copies/"]) == 0
    assert (toy / "toy.pth").read_bytes() == CONTENT
    (toy / "toy.pth").unlink()
    assert main(["weights", "toy"]) == 1
    err = capsys.readouterr().err
    assert err.index("elsewhere/toy.pth") < err.index("absent.pth")


def test_offline_names_the_file_and_where_it_comes_from(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "toy", "offline"]) == 1
    err = capsys.readouterr().err
    assert str(toy / "toy.pth") in err
    assert "https://example.org/toy.pth" in err


def test_dry_run_lists_and_fetches_nothing(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "toy", "dry_run", "run.weights_root=" + str(toy / "other")]) == 0
    out = capsys.readouterr().out
    assert f"{toy / 'other' / 'toy.pth'} (missing; 20.0 kB; checked by sha256)" in out
    assert "licence: not stated" in out
    assert list(toy.iterdir()) == []


def test_a_pipeline_names_its_weights(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "resnet_mlp", "dry_run", "backbone@pipeline.backbone=resnet50"]) == 0
    assert "resnet50-0676ba61.pth" in capsys.readouterr().out
    words = ["sam_vit_b", "resnet18_imagenet", "resnet_mlp", "dry_run", "backbone@pipeline.backbone=resnet18"]
    assert main(["weights", *words]) == 0
    out = capsys.readouterr().out
    assert "sam_vit_b_01ec64.pth" in out
    assert out.count("resnet18-f37072fd.pth (") == 1
    for words in (["constant"], ["resnet_mlp", "pipeline.backbone.weights=random"]):
        assert main(["weights", *words]) == 0
        assert "no weights files are needed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "name a pipeline"),
        (["resnet_mlp", "constnt"], "did you mean 'constant'"),
        (["resnt_mlp"], "did you mean 'resnet_mlp'"),
        (["resnet_mlp", "pipeline.bakbone=resnet50"], "did you mean 'backbone'"),
        (["resnet_mlp", "pipeline.backbone.weights=resnet18_imagnet"], "did you mean 'resnet18_imagenet'"),
        (["resnet_mlp", "pipeline.backbone=resnet50"], "backbone@pipeline.backbone=resnet50"),
    ],
)
def test_a_wrong_word_says_what_is_right(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", *words]) == 1
    assert said in capsys.readouterr().err
