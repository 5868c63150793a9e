from __future__ import annotations

import pickle
import platform
import resource
from pathlib import Path

import pytest
import torch
from timm.layers import trunc_normal_
from torch import nn

from benchmark.core.errors import ConfigError, WeightsError
from benchmark.models.runtime import Device, build, fill, load
from benchmark.models.weights_file import read_state


def test_building_is_seeded_and_leaves_the_global_state_alone() -> None:
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    one, two = (build(lambda: nn.Linear(3, 2), device="cpu") for _ in range(2))
    assert torch.equal(one.weight, two.weight)
    assert torch.equal(torch.rand(1), expected)
    assert not one.training and not one.weight.requires_grad


class _Drawn(nn.Module):
    """Values drawn in each way that libraries draw them, and some that are not drawn."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.words, self.norm = nn.Linear(3, 2), nn.Embedding(4, 3), nn.BatchNorm1d(2)
        self.attention = nn.MultiheadAttention(4, 2)
        self.kernel = nn.Conv2d(2, 2, 3)
        self.cut = nn.Parameter(trunc_normal_(torch.empty(5)))
        self.plain = nn.Parameter(torch.empty(5).normal_())
        self.kept = nn.Parameter(torch.full((2,), 7.0))


def test_what_a_file_brings_is_not_drawn(tmp_path: Path) -> None:
    drawn = build(_Drawn, device="cpu")
    torch.save(drawn.state_dict(), tmp_path / "a.pth")
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    empty = build(_Drawn, device="cpu", weights=tmp_path / "a.pth")
    assert torch.equal(torch.rand(1), expected)
    for part in (empty.layer, empty.words, empty.kernel, empty.attention.out_proj):
        assert not part.weight.any()
    assert not empty.attention.in_proj_weight.any() and not empty.plain.any()
    assert torch.equal(empty.kept, drawn.kept) and torch.equal(empty.norm.weight, torch.ones(2))
    load(empty, tmp_path / "a.pth")
    assert all(torch.equal(one, two) for one, two in zip(empty.parameters(), drawn.parameters(), strict=True))
    assert nn.Linear(3, 2).weight.any(), "what is built afterwards is drawn again"


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told to keep freed memory")
def test_large_tensors_use_freed_memory_again() -> None:
    build(lambda: nn.Linear(3, 2), device="cpu")
    cleared = []
    for _ in range(10):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.ones(1 << 25)  # 128 MiB
        cleared.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    assert min(cleared) < 10  # pages that the system had to clear; 32,768 of 4 KiB where nothing is kept


class _Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("this must never run",)


@pytest.mark.parametrize("kind", ["torch", "pickle"])
def test_a_file_that_would_run_code_is_refused(tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "evil.pth"
    if kind == "torch":
        torch.save({"weight": _Evil()}, path)
    else:
        path.write_bytes(pickle.dumps(_Evil()))
    with pytest.raises(WeightsError, match="would run code") as caught:
        read_state(path)
    assert "`False`" not in str(caught.value), "nobody is told to switch the check off"
    assert "never" not in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"", b"not weights at all", b"PK\x03\x04 cut off"])
@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, content: bytes, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=name):
        read_state(path)


def test_something_else_than_tensors_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "numbers.pth"
    torch.save({"accuracy": 0.5}, path)
    with pytest.raises(WeightsError, match="not a weights file"):
        read_state(path)


@pytest.mark.parametrize("key", ["model", "state_dict", None])
def test_state_dicts_are_unwrapped(tmp_path: Path, key: str | None) -> None:
    state = {"weight": torch.ones(2, 3)}
    path = tmp_path / "a.pth"
    torch.save(state if key is None else {key: state, "epoch": 3}, path)
    assert torch.equal(read_state(path)["weight"], state["weight"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s.pop("bias"), "missing bias"),
        (lambda s: s.update(extra=torch.ones(1)), "unexpected extra"),
        (lambda s: s.update(bias=torch.ones(5)), r"bias has shape \(5,\), not \(2,\)"),
    ],
)
def test_weights_must_fit_in_every_name_and_shape(change: object, said: str) -> None:
    layer = nn.Linear(3, 2)
    state = dict(layer.state_dict())
    change(state)  # type: ignore[operator]
    with pytest.raises(WeightsError, match=said):
        fill(layer, state, path=Path("a.pth"))


def test_named_exceptions_may_be_missing_or_left_over() -> None:
    layer = nn.Linear(3, 2)
    state = {"weight": torch.ones(2, 3), "old": torch.ones(1)}
    fill(layer, state, path=Path("a.pth"), optional=lambda name: name in ("bias", "old"))
    assert torch.equal(layer.weight, state["weight"])


def test_precision_reaches_the_network_and_fp16_needs_cuda() -> None:
    layer = build(lambda: nn.Linear(3, 2), device="cpu")
    with Device(name="cpu", precision="bf16").inference():
        assert layer(torch.ones(1, 3)).dtype == torch.bfloat16
    with Device(name="cpu").inference():
        assert layer(torch.ones(1, 3)).dtype == torch.float32
    with pytest.raises(ConfigError, match="fp16 needs a CUDA device"):
        Device(name="cpu", precision="fp16")
