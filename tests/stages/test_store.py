"""The stage store: what goes in comes out, and what is damaged never does."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from benchmark.core.errors import StoreError
from benchmark.core.samples import MaskSet
from benchmark.stages.codec import CorruptEntryError, pack, plain, unpack
from benchmark.stages.store import Store
from benchmark.stages.store_files import SUFFIX, TEMPORARY

KEY = "ab" * 32
OTHER = "cd" * 32


def masks(n: int = 3) -> MaskSet:
    drawn = np.zeros((n, 9, 7), dtype=bool)
    for i in range(n):
        drawn[i, i : i + 4, 1:5] = True
    return MaskSet.encode(drawn)


def artifact() -> dict[str, object]:
    return {
        "scores": np.linspace(0, 1, 5, dtype=np.float32),
        "half": np.arange(6, dtype=np.float16).reshape(2, 3),
        "empty": np.zeros((0, 4)),
        "scalar": np.array(3, dtype=np.int16),
        "masks": masks(),
        "none": MaskSet.encode(np.zeros((0, 4, 5), dtype=bool)),
        "text": "täxt",
        "missing": None,
        "flags": [True, 1, 0.1, "x", None],
        "count": 7,
    }


def assert_same(a: dict[str, object], b: dict[str, object]) -> None:
    assert list(a) == list(b)
    for name, value in a.items():
        if isinstance(value, np.ndarray):
            other = b[name]
            assert isinstance(other, np.ndarray)
            assert value.dtype == other.dtype
            assert value.shape == other.shape
            assert value.tobytes() == other.tobytes()
        else:
            assert value == b[name]


def test_every_kind_of_value_comes_back(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.get("toy", KEY) is None
    store.put("toy", KEY, artifact())
    back = store.get("toy", KEY)
    assert back is not None
    assert_same(artifact(), back)
    assert isinstance(back["scores"], np.ndarray)
    assert back["scores"].flags.writeable


ARRAYS = hnp.arrays(
    dtype=st.sampled_from([np.bool_, np.uint8, np.int16, np.int64, np.uint32, np.float16, np.float32, np.float64]),
    shape=hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
)
SMALL = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text(alphabet="abc_xyz", min_size=1, max_size=5), ARRAYS | SMALL, max_size=4))
def test_packing_keeps_everything(value: dict[str, object]) -> None:
    data = pack(value, stage="toy", key=KEY)
    assert_same(plain(value), unpack(data, stage="toy", key=KEY))
    assert pack(value, stage="toy", key=KEY) == data


def test_odd_layouts_are_stored_as_their_values() -> None:
    value = {
        "t": np.arange(6.0).reshape(2, 3).T,
        "big": np.arange(3, dtype=">i4"),
        "np": np.float32(0.5),
        "tup": (1, 2),
    }
    back = unpack(pack(value, stage="toy", key=KEY), stage="toy", key=KEY)
    assert np.array_equal(back["t"], value["t"])  # type: ignore[arg-type]
    assert np.array_equal(back["big"], [0, 1, 2])  # type: ignore[arg-type]
    assert back["np"] == 0.5
    assert back["tup"] == [1, 2]


@pytest.mark.parametrize("bad", [np.array(["a"]), np.array([None]), np.zeros(2, complex), object(), {1, 2}, Path("x")])
def test_a_value_that_cannot_be_stored_is_named(bad: object) -> None:
    with pytest.raises(StoreError, match="'thing'"):
        pack({"thing": bad}, stage="toy", key=KEY)


def test_every_truncation_is_detected() -> None:
    data = pack(artifact(), stage="toy", key=KEY)
    for length in range(len(data)):
        with pytest.raises(CorruptEntryError):
            unpack(data[:length], stage="toy", key=KEY)
    with pytest.raises(CorruptEntryError):
        unpack(data + b"x", stage="toy", key=KEY)


def test_every_flipped_bit_is_detected_or_harmless() -> None:
    data = pack({"scores": np.arange(9.0), "masks": masks()}, stage="toy", key=KEY)
    whole = unpack(data, stage="toy", key=KEY)
    detected = 0
    for bit in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << (bit % 8)
        try:
            back = unpack(bytes(flipped), stage="toy", key=KEY)
        except CorruptEntryError:
            detected += 1
        else:
            assert_same(whole, back)
    assert detected > 0.95 * len(data) * 8


def test_an_entry_of_another_key_or_stage_is_dropped(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put("toy", KEY, artifact())
    wrong = store.path("toy", OTHER)
    wrong.parent.mkdir(parents=True)
    wrong.write_bytes(store.path("toy", KEY).read_bytes())
    assert store.lookup("toy", OTHER) == (None, True)
    assert not wrong.exists()
    assert store.dropped["toy"] == 1
    assert store.get("toy", KEY) is not None


@pytest.mark.parametrize("content", [b"", b"not an entry", b"\x28\xb5\x2f\xfd", os.urandom(200)])
def test_a_foreign_file_is_dropped(tmp_path: Path, content: bytes) -> None:
    store = Store(tmp_path)
    path = store.path("toy", KEY)
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    assert store.get("toy", KEY) is None
    assert store.dropped["toy"] == 1
    store.put("toy", KEY, artifact())
    assert store.get("toy", KEY) is not None


@pytest.mark.parametrize(("stage", "key"), [("../up", KEY), ("Toy", KEY), ("", KEY), ("toy", "../x"), ("toy", "xyz")])
def test_names_that_leave_the_folder_are_refused(tmp_path: Path, stage: str, key: str) -> None:
    with pytest.raises(StoreError):
        Store(tmp_path).put(stage, key, {})


def test_a_full_disk_is_an_error_that_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    store.put("toy", KEY, artifact())

    def full(self: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(StoreError, match="make cache"):
        store.put("toy", OTHER, artifact())
    assert store.get("toy", OTHER) is None
    assert store.get("toy", KEY) is not None
    assert not [p for p in tmp_path.rglob("*") if p.name.endswith(TEMPORARY)]


def test_a_folder_that_cannot_be_written_still_serves_its_entries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    store.put("toy", KEY, artifact())
    os.utime(store.path("toy", KEY), (1, 1))

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    for name in ("mkdir", "replace", "unlink"):
        monkeypatch.setattr(Path, name, denied)
    monkeypatch.setattr(os, "utime", denied)
    with pytest.raises(StoreError, match="writable"):
        store.put("toy", OTHER, artifact())
    assert store.get("toy", KEY) is not None


def test_reading_marks_an_entry_as_used(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put("toy", KEY, artifact())
    os.utime(store.path("toy", KEY), (1, 1))
    store.get("toy", KEY)
    (entry,) = store.entries()
    assert entry.used > 1e9
    assert (entry.stage, entry.size) == ("toy", store.path("toy", KEY).stat().st_size)


def test_the_limit_removes_the_entries_unused_longest(tmp_path: Path) -> None:
    store = Store(tmp_path)
    rng = np.random.default_rng(0)
    keys = [f"{i:064x}" for i in range(30)]
    for i, key in enumerate(keys[:20]):
        store.put("toy", key, {"x": rng.integers(0, 255, 1000, dtype=np.uint8)})
        os.utime(store.path("toy", key), (1000 + i, 1000 + i))
    size = sum(entry.size for entry in store.entries())
    limited = Store(tmp_path, max_bytes=size)
    for key in keys[20:]:
        limited.put("toy", key, {"x": rng.integers(0, 255, 1000, dtype=np.uint8)})
        assert sum(entry.size for entry in limited.entries()) <= 1.06 * size
    kept = [key for key in keys if limited.contains("toy", key)]
    assert kept == keys[-len(kept) :]
    assert len(kept) >= 17


def test_leftover_temporary_files_are_found_once_they_are_old(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put("toy", KEY, artifact())
    leftover = store.path("toy", KEY).parent / f".{KEY[:16]}.1.{KEY[:16]}{TEMPORARY}"
    leftover.write_bytes(b"half")
    assert not list(store.leftovers())
    os.utime(leftover, (1, 1))
    assert [entry.path for entry in store.leftovers()] == [leftover]
    assert [entry.path.name.endswith(SUFFIX) for entry in store.entries()] == [True]
