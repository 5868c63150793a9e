"""Weights of the hub: what is asked for, where it is looked for, and what is said where it is not given."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import httpx2
import pytest
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

from benchmark.core.errors import DownloadError, WeightsError
from benchmark.weights import hub

COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = {"config.json": b"{}", "model.safetensors": b"weights", "tokenizer.json": b"{}", "pytorch_model.bin": b"other"}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
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
            file.write_bytes(FILES[name])
        (root / "refs").mkdir(exist_ok=True)
        (root / "refs" / (revision or "main")).write_text(COMMIT)
        return str(root)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_files", lambda *_, **__: [*FILES, "README.md", "onnx/a.onnx"])
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
