"""The weights registry, and finding and verifying weights files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from benchmark import weights
from benchmark.errors import WeightsError
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
            "_target_": "benchmark.weights.Weights",
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
        assert file.urls
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
    assert message.count("make weights PIPELINE=resnet_mlp") == 1


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
    with pytest.raises(WeightsError, match=r"toy: .*toy\.pth.*make weights PIPELINE=p"):
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
