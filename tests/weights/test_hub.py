"""Weights of the hub: what is asked for, where it is looked for, and what is said where it is not given."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import httpx2
import pytest
from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError
from huggingface_hub.utils import validate_repo_id

from benchmark.core.errors import ConfigError, DownloadError, WeightsError
from benchmark.models.weights_file import read_state
from benchmark.weights import custom, hub, shards

COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = {"config.json": b"{}", "model.safetensors": b"weights", "tokenizer.json": b"{}", "pytorch_model.bin": b"other"}
SHARDS = {"model-1-of-2.safetensors": {"a": [1.0, 2.0]}, "model-2-of-2.safetensors": {"b": [3.0]}}


def in_shards() -> dict[str, bytes]:
    """Return the files of a repository whose weights lie in two."""
    import torch
    from safetensors.torch import save

    parts = {name: save({k: torch.tensor(v) for k, v in held.items()}) for name, held in SHARDS.items()}
    index = {"weight_map": {tensor: name for name, held in SHARDS.items() for tensor in held}}
    return {"config.json": b"{}", shards.INDEX: json.dumps(index).encode(), **parts, "pytorch_model.bin": b"other"}


@pytest.fixture
def files() -> dict[str, bytes]:
    """What lies in the one repository; a test may change it."""
    return dict(FILES)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, bytes]) -> list[dict[str, Any]]:
    """A hub with one repository, whose downloads land in a cache of the real form; returns what was asked."""
    import huggingface_hub

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    real, asked = huggingface_hub.snapshot_download, []

    def download(repository: str, *, revision: str | None, **options: Any) -> str:
        if options.get("local_files_only"):
            return real(repository, revision=revision, cache_dir=tmp_path, **options)
        asked.append({"repository": repository, "revision": revision, **options})
        root = tmp_path / f"models--{repository.replace('/', '--')}"
        for name in options["allow_patterns"]:
            file = root / "snapshots" / COMMIT / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(files[name])
        (root / "refs").mkdir(exist_ok=True)
        (root / "refs" / (revision or "main")).write_text(COMMIT)
        return str(root / "snapshots" / COMMIT)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_files", lambda *_, **__: [*files, "README.md", "onnx/a.onnx"])
    return asked


def test_what_is_fetched_is_one_weights_file_and_what_describes_the_model(cache: list[dict[str, Any]]) -> None:
    with pytest.raises(WeightsError, match="make weights PIPELINE=hub:some/model"):
        hub.resolve("hub:some/model")
    found = hub.fetch("hub:some/model")
    assert cache[0]["allow_patterns"] == ["model.safetensors", "config.json", "tokenizer.json"]
    assert found.name == f"hub:some/model@{COMMIT[:12]}", "the result names the commit"
    assert found.sha256 == hashlib.sha256(b"weights").hexdigest()
    assert hub.is_here("hub:some/model") and hub.resolve("hub:some/model") == found
    assert [name for name, size in hub.cached() if size > 0] == ["hub:some/model"]
    assert set(found.files) == {"model.safetensors", "config.json", "tokenizer.json"}


def test_a_commit_is_asked_for_and_found_by_it(cache: list[dict[str, Any]]) -> None:
    hub.fetch(f"hub:some/model@{COMMIT}")
    assert cache[0]["revision"] == COMMIT
    assert hub.is_here(f"hub:some/model@{COMMIT}")


def test_of_weights_in_shards_all_are_fetched_at_one_commit_and_digested(
    cache: list[dict[str, Any]], files: dict[str, bytes]
) -> None:
    files.clear()
    files.update(in_shards())
    found = hub.fetch("hub:some/model")
    assert [one["allow_patterns"] for one in cache] == [[shards.INDEX, "config.json"], sorted(SHARDS)]
    assert cache[1]["revision"] == COMMIT, "the shards are those of the index"
    assert found.path.name == shards.INDEX and set(SHARDS) < set(found.files)
    assert hub.is_here("hub:some/model") and hub.resolve("hub:some/model") == found
    assert {name: t.tolist() for name, t in read_state(found.path).items()} == {"a": [1.0, 2.0], "b": [3.0]}
    assert custom(found.path).sha256 == found.sha256 and custom(found.path).name.endswith(f"/{shards.INDEX}")
    shard = found.path.with_name("model-2-of-2.safetensors")
    shard.write_bytes(shard.read_bytes()[:-1] + b"\1")
    assert hub.resolve("hub:some/model").sha256 != found.sha256
    shard.unlink()
    assert not hub.is_here("hub:some/model")
    with pytest.raises(WeightsError, match=r"files that are not beside it: model-2-of-2.*make weights"):
        hub.resolve("hub:some/model")


def test_a_repository_without_a_shard_is_told(cache: list[dict[str, Any]], files: dict[str, bytes]) -> None:
    files.clear()
    files.update(in_shards())
    del files["model-2-of-2.safetensors"]
    with pytest.raises(DownloadError, match=r"its index names model-2-of-2\.safetensors, which it does not hold"):
        hub.fetch("hub:some/model")


@pytest.mark.parametrize(
    ("index", "said"),
    [
        (b"{", "no index of weights"),
        (b"[]", "no index of weights"),
        (b"[" * 100_000, "no index of weights"),
        (b'{"weight_map": {}}', "names no tensors"),
        (b'{"weight_map": {"a": "../secret.safetensors"}}', "no .safetensors file beside it"),
        (b'{"weight_map": {"a": "code.py"}}', "no .safetensors file beside it"),
    ],
)
def test_an_index_that_names_no_files_beside_it_is_refused(index: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / shards.INDEX).write_bytes(index)
    with pytest.raises(WeightsError, match=said):
        custom(tmp_path / shards.INDEX)


NAMES = (
    "a/b", "A.x/b-c_d.1", "../x", "a b/c", "a/..", "a--b/c", ".a/b", "a/b-", "a/b.git", "é/b",
    "a/" + "b" * 96, "a/" + "b" * 97,
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_names_are_those_that_the_hub_allows(name: str) -> None:
    try:
        validate_repo_id(name)
    except HFValidationError:
        assert not hub.is_well_formed(f"hub:{name}")
        with pytest.raises(ConfigError, match="hub:OWNER/NAME"):
            hub.is_here(f"hub:{name}@main")
    else:
        assert all(hub.is_well_formed(f"hub:{name}{more}") for more in ("", "@v1--x", "@refs/pr/1:open_clip"))
        assert not hub.is_well_formed(f"hub:{name}@../../x")


def test_a_failure_without_words_is_told_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise httpx2.ReadTimeout("")

    monkeypatch.setattr("huggingface_hub.HfApi.list_repo_files", fail)
    with pytest.raises(DownloadError, match=r"cannot be had from the hub \(ReadTimeout\)"):
        hub.fetch("hub:a/b")


def test_tensors_that_no_shard_holds_are_named(tmp_path: Path) -> None:
    for name, content in in_shards().items():
        (tmp_path / name).write_bytes(content)
    index = json.loads((tmp_path / shards.INDEX).read_text())
    index["weight_map"]["c"] = "model-1-of-2.safetensors"
    (tmp_path / shards.INDEX).write_text(json.dumps(index))
    with pytest.raises(WeightsError, match="names tensors that are in none of its files, as c"):
        read_state(tmp_path / shards.INDEX)


def test_the_file_of_open_clip_is_asked_for_by_its_mark(cache: list[dict[str, Any]], files: dict[str, bytes]) -> None:
    files["open_clip_model.safetensors"] = b"both towers"
    assert hub.fetch("hub:some/model").path.name == "model.safetensors"
    assert not hub.is_here("hub:some/model:open_clip")
    found = hub.fetch("hub:some/model:open_clip")
    assert found.path.name == "open_clip_model.safetensors" and found.name == f"hub:some/model@{COMMIT[:12]}"
    assert hub.is_here("hub:some/model:open_clip")


def response(status: int) -> httpx2.Response:
    return httpx2.Response(status, request=httpx2.Request("GET", "https://hub.example"))


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (GatedRepoError("no", response=response(403)), r"accept them at .*/some/model .*HF_TOKEN=.*make weights"),
        (RepositoryNotFoundError("no", response=response(404)), "no such repository, or it is a private one.*HF_TOKEN"),
        (httpx2.ConnectError("no route"), r"cannot be had from the hub \(no route\).*bring the folder"),
    ],
)
def test_why_it_cannot_be_had_and_what_to_do(
    error: Exception, said: str, cache: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr("huggingface_hub.HfApi.list_repo_files", refuse)
    with pytest.raises(DownloadError, match=said):
        hub.fetch("hub:some/model")
    assert not cache
