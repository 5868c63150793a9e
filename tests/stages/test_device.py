"""Which device ``auto`` takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.core.errors import ConfigError
from benchmark.core.samples import Manifest
from benchmark.stages.context import Context
from benchmark.stages.store import Store


def device(folder: Path, device_index: int, **named: str) -> str:
    manifest = Manifest(dataset="d", samples=())
    return Context(manifest=manifest, samples=(), store=Store(folder), device_index=device_index, **named).device


def test_auto_takes_the_processor_or_the_next_of_several_cuda_devices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device(tmp_path, 3, device="auto") == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [device(tmp_path, device_index, device="auto") for device_index in range(3)] == [
        "cuda:0",
        "cuda:1",
        "cuda:0",
    ]
    assert device(tmp_path, 1, device="cuda:0") == "cuda:0"


@pytest.mark.parametrize(("wanted", "said"), [("cuda", "finds none"), ("cuda:1", "finds 1 here")])
def test_a_device_that_is_not_there_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wanted: str, said: str
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: wanted != "cuda")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ConfigError, match=rf"run\.device={wanted}: .*{said}.*use auto, or cpu"):
        device(tmp_path, 0, device=wanted)
