"""Attacks on weights files: none runs code, none swells up, and every error names the file."""

from __future__ import annotations

import io
import json
import os
import pickle
import random
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmark.core.errors import BenchmarkError, WeightsError
from benchmark.models.weights_file import read_state
from benchmark.weights.registry import find, names, published

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:torch", "ignore:Detected pickle protocol")
STATE = {"weight": torch.ones(64, 3), "bias": torch.zeros(3)}


class _Touches:
    """Makes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, tuple[str, str]]:
        return open, (str(self.mark), "w")


class _Script(torch.nn.Module):
    """An archive whose ``__setstate__`` writes a file when it is opened."""

    def __init__(self, mark: str) -> None:
        super().__init__()
        self.mark = mark
        self.register_buffer("weight", torch.ones(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.weight

    @torch.jit.export
    def __getstate__(self) -> tuple[str, torch.Tensor, bool]:
        return self.mark, self.weight, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[str, torch.Tensor, bool]) -> None:
        self.mark, _, self.training = state
        self.weight = torch.from_file(self.mark, True, 4, dtype=torch.float32)


def _archive(mark: Path) -> bytes:
    stream = io.BytesIO()
    torch.jit.save(torch.jit.script(_Script(str(mark))), stream)
    return stream.getvalue()


@pytest.mark.parametrize("name", ["a.pt", "a.pth", "a.bin", "a", "a.safetensors", "a.zip"])
@pytest.mark.parametrize("change", ["as it is", "behind other bytes", "without constants"])
def test_a_torchscript_archive_is_refused_unopened(name: str, change: str, tmp_path: Path) -> None:
    mark, path = tmp_path / "mark", tmp_path / name
    content = _archive(mark)
    if change == "behind other bytes":
        content = b"#!/bin/sh\n" * 10 + content
    if change == "without constants":
        content = _without(content, "constants.pkl")
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=str(path)):
        read_state(path)
    assert not mark.exists()


def test_the_archive_of_the_attack_does_run_code(tmp_path: Path) -> None:
    """What is refused above is an attack indeed."""
    mark, path = tmp_path / "mark", tmp_path / "a.pt"
    path.write_bytes(_archive(mark))
    torch.jit.load(path)
    assert mark.exists()


def _without(content: bytes, ending: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(stream, "w") as new:
        for part in old.infolist():
            if not part.filename.endswith(ending):
                new.writestr(part, old.read(part))
    return stream.getvalue()


def test_only_files_that_are_published_in_full_are_opened_as_archives() -> None:
    known = {file.sha256 for name in names() for file in find(name).files if file.sha256}
    assert any(len(sha) == 64 for sha in known)
    assert all(published(sha) for sha in known)
    assert not published("0" * 64) and not published(next(iter(known))[:8] + "0" * 56)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_pickle_that_makes_objects_is_refused(legacy: bool, tmp_path: Path) -> None:
    mark, path = tmp_path / "mark", tmp_path / "a.pth"
    for holder in (_Touches(mark), {"weight": _Touches(mark)}, {"model": STATE, "args": _Touches(mark)}):
        torch.save(holder, path, _use_new_zipfile_serialization=not legacy)
        with pytest.raises(WeightsError, match="would run code"):
            read_state(path)
        path.write_bytes(pickle.dumps(holder))
        with pytest.raises(WeightsError, match=r"a\.pth"):
            read_state(path)
    assert not mark.exists()


def test_a_file_that_swells_up_is_refused(tmp_path: Path) -> None:
    plain, path = tmp_path / "plain.pth", tmp_path / "bomb.pth"
    torch.save({"weight": torch.zeros(1 << 20)}, plain)
    with zipfile.ZipFile(plain) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for part in old.infolist():
            new.writestr(part.filename, old.read(part))
    assert path.stat().st_size * 100 < plain.stat().st_size
    with pytest.raises(WeightsError, match=r"bomb\.pth.*compressed"):
        read_state(path)


@pytest.mark.parametrize("kind", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_values_that_are_no_numbers_name_file_and_tensor(kind: torch.dtype, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    state = {"good": torch.ones(2), "layer.bad": torch.tensor([1.0, float("nan")], dtype=kind)}
    torch.save(state, tmp_path / "a.pth")
    save_file(state, tmp_path / "a.safetensors")
    for name in ("a.pth", "a.safetensors"):
        with pytest.raises(WeightsError, match=rf"{name} is damaged: tensor layer\.bad"):
            read_state(tmp_path / name)


def test_infinite_values_and_integers_are_kept(tmp_path: Path) -> None:
    state = {"mask": torch.full((2, 2), -torch.inf), "step": torch.tensor(3)}
    torch.save(state, tmp_path / "a.pth")
    assert torch.equal(read_state(tmp_path / "a.pth")["mask"], state["mask"])


def test_damaged_files_of_every_kind_are_errors_that_name_them(tmp_path: Path) -> None:
    """Cuts and flipped bytes: tensors, or a WeightsError; nothing else gets out."""
    from safetensors.torch import save_file

    torch.save(STATE, tmp_path / "zip.pth")
    torch.save(STATE, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    save_file(STATE, tmp_path / "a.safetensors")
    rng, refused, read = random.Random(19), 0, 0
    for original in ("zip.pth", "old.pth", "a.safetensors"):
        content = (tmp_path / original).read_bytes()
        path = tmp_path / f"damaged-{original}"
        for number in range(150):
            changed = bytearray(content)
            if number % 3 == 0:
                del changed[rng.randrange(len(changed)) :]
            else:
                for _ in range(rng.choice((1, 1, 4, 30))):
                    changed[rng.randrange(len(changed))] = rng.randrange(256)
            path.write_bytes(changed)
            try:
                read_state(path)
                read += 1
            except WeightsError as error:
                assert str(path) in str(error)
                refused += 1
    assert refused + read == 450 and refused > 150


@pytest.mark.parametrize("content", [b"", b"\x00", b"hello", b"\x80\x02.", b"\x80\x02}.", b"PK\x05\x06" + bytes(18)])
@pytest.mark.parametrize("name", ["a.pth", "a.safetensors", "a.bin"])
def test_what_is_no_weights_file_is_named(content: bytes, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match=name):
        read_state(tmp_path / name)


def test_a_folder_and_a_file_without_permission_are_named(tmp_path: Path) -> None:
    (tmp_path / "folder.pth").mkdir()
    torch.save(STATE, tmp_path / "locked.pth")
    (tmp_path / "locked.pth").chmod(0)
    for name in ("folder.pth", *(["locked.pth"] if os.geteuid() else [])):
        with pytest.raises(WeightsError, match=name):
            read_state(tmp_path / name)


@pytest.mark.parametrize("read", ["config", "processor", "tokenizer", "backbone"])
def test_a_model_folder_that_brings_its_own_code_runs_none(
    read: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Transformers asks on a terminal whether to run it; here somebody would say yes."""
    from benchmark.models import pretrained
    from benchmark.models.backbone import from_transformers
    from tests.models.test_backbone_contract import small

    folder, mark = tmp_path / "model", tmp_path / "ran"
    folder.mkdir()
    (folder / "own.py").write_text(
        f"open({str(mark)!r}, 'w')\nfrom transformers import PretrainedConfig\n"
        "class Own(PretrainedConfig):\n    model_type = 'own'\n"
    )
    classes = {f"Auto{kind}": "own.Own" for kind in ("Config", "Model", "ImageProcessor")}
    own = {"model_type": "own", "auto_map": {**classes, "AutoTokenizer": ["own.Own", "own.Own"]}}
    for name in ("config.json", "preprocessor_config.json", "tokenizer_config.json"):
        (folder / name).write_text(json.dumps(own))
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    settings = small("transformers", tmp_path).model_copy(update={"model": str(folder)})
    readers = {
        "config": lambda: pretrained.read_config(str(folder), of={"own": "Own"}, what="model"),
        "processor": lambda: pretrained.image_processor(str(folder), backend="pil"),
        "tokenizer": lambda: pretrained.tokenizer(str(folder)),
        "backbone": lambda: from_transformers.build(settings, weights=None, device="cpu", pooled=False),
    }
    with pytest.raises(BenchmarkError, match="model: its"):
        readers[read]()
    assert not mark.exists()
