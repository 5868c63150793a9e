"""Shards: every sample in exactly one, equal images together, and the last one to finish knows it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.core.errors import ConfigError
from benchmark.core.samples import Sample
from benchmark.running.sharding import Shard, mark_done, missing_shards, shard_samples

BASE = Sample(
    id="x",
    image=Path("x.png"),
    mask=None,
    defective=False,
    category="c",
    defect_type="good",
    group="x",
    split="test",
    sha256="0",
)


@pytest.mark.parametrize("text", ["0/4", "5/4", "1/0", "0/0", "a/4", "1", "1/4/2", "-1/4", "", "1 /4"])
def test_wrong_shards_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="1/"):
        Shard.parse(text)


def test_shards_are_counted_from_one() -> None:
    assert Shard.parse("1/4") == Shard(1, 4)
    assert str(Shard.parse("4/4")) == "4/4"


@given(st.lists(st.integers(0, 30), max_size=60), st.integers(1, 7))
def test_every_sample_is_in_one_shard_and_equal_images_together(contents: list[int], count: int) -> None:
    samples = [replace(BASE, id=f"s{i}", sha256=str(content)) for i, content in enumerate(contents)]
    shards = [shard_samples(samples, Shard(i, count)) for i in range(1, count + 1)]
    assert sorted(s.id for shard in shards for s in shard) == sorted(s.id for s in samples)
    for shard in shards:
        assert [s for s in samples if s in shard] == list(shard)
    held = [{s.sha256 for s in shard} for shard in shards]
    assert sum(len(h) for h in held) == len(set(contents))
    sizes = [len(h) for h in held]
    assert max(sizes) - min(sizes) <= 1


def test_the_last_one_knows_that_all_are_done(tmp_path: Path) -> None:
    folder = tmp_path / "shards"
    assert len(missing_shards(folder, 3, "run")) == 3
    for shard in (Shard(2, 3), Shard(1, 3), Shard(1, 3)):
        mark_done(folder, shard, "run")
        assert Shard(3, 3) in missing_shards(folder, 3, "run")
    assert missing_shards(folder, 3, "run") == [Shard(3, 3)]
    mark_done(folder, Shard(3, 3), "run")
    assert missing_shards(folder, 3, "run") == []
    assert sorted(p.name for p in folder.iterdir()) == [f"shard-{i}-of-3.json" for i in (1, 2, 3)]


def test_marks_of_other_work_or_another_count_or_damaged_ones_do_not_count(tmp_path: Path) -> None:
    mark_done(tmp_path, Shard(1, 2), "a")
    mark_done(tmp_path, Shard(2, 2), "b")
    assert missing_shards(tmp_path, 2, "a") == [Shard(2, 2)]
    assert len(missing_shards(tmp_path, 4, "a")) == 4
    (tmp_path / "shard-1-of-2.json").write_text("{")
    assert len(missing_shards(tmp_path, 2, "a")) == 2
