"""YAML means what it shows: keys are the words that stand there, each once; a value is what it looks like."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest

from benchmark.core.errors import ConfigError
from benchmark.core.yaml_files import read_yaml
from benchmark.data import card as cards
from benchmark.pipelines.saa.prompts import load_table
from tests.harness import ROOT


def read(folder: Path, text: str | bytes) -> Any:
    path = folder / "file.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_yaml(path)


@pytest.mark.parametrize(
    "key", ["01", "1", "no", "NO", "on", "y", "true", "null", "~", "1.0", "1e3", "0x10", "12:30", "="]
)
def test_a_key_is_the_word_that_stands_there(key: str, tmp_path: Path) -> None:
    assert read(tmp_path, f"{key}: a\n") == {key: "a"}
    assert read(tmp_path, f"outer: {{{key}: a, '{key}_': b}}\n") == {"outer": {key: "a", f"{key}_": "b"}}


@pytest.mark.parametrize(
    "key", ["no", "yes", "on", "off", "01", "010", "1_000", "0x10", "0o7", "12:30", "2024-01-01", "n"]
)
def test_a_word_that_older_yaml_takes_for_something_else_is_text(key: str, tmp_path: Path) -> None:
    assert read(tmp_path, f"a: {key}\nb: [{key}]\n") == {"a": key, "b": [key]}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0), ("-12", -12), ("+3", 3), ("1.5", 1.5), (".5", 0.5), ("5.", 5.0), ("1e-3", 0.001),
        ("-1.5e-3", -0.0015), ("1E5", 1e5), ("00.5", 0.5), (".inf", math.inf), ("-.inf", -math.inf), ("true", True),
        ("False", False), ("null", None), ("~", None), ("", None), ("'1'", "1"), ('"no"', "no"), ("e3", "e3"),
        ("1e", "1e"), ("-", [None]), ("--", "--"), (".", "."), ("!!str 1", "1"), ("1.2.3", "1.2.3"),
        ("nullx", "nullx"), ("truely", "truely"),
    ],
)  # fmt: skip
def test_a_value_is_what_it_looks_like(text: str, value: Any, tmp_path: Path) -> None:
    found = read(tmp_path, f"a: {text}\n" if text != "-" else "a:\n -\n")["a"]
    assert found == value and type(found) is type(value)


def test_not_a_number_is_one(tmp_path: Path) -> None:
    assert math.isnan(read(tmp_path, ".nan"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: 2\na: 3\n", "line 3, column 1: the key 'a' stands in line 1 already; keep one of them"),
        ("x:\n  01: a\n  '01': b\n", "line 3, column 3: the key '01' stands in line 2 already"),
        ("x: {no: 1, no: 2}\n", "line 1, column 12: the key 'no' stands in line 1 already"),
        ("? [a, b]\n: 1\n", "line 1, column 3: a key must be a text; quote it"),
        ("a: [1\nb: 2\n", "line 2, column 2: "),
        ("a: 1\n---\nb: 2\n", "line 2, column 1: "),
        ("a: !!python/object/apply:os.getcwd []\n", "line 1, column 4: could not determine a constructor"),
        (b"a: \xff\n", "not UTF-8 at byte 3; save it as UTF-8"),
        ("a: \x01\n", "not YAML: "),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_place(text: str | bytes, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"^{re.escape(str(tmp_path / 'file.yaml'))}: {re.escape(said)}"):
        read(tmp_path, text)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml cannot be read \(No such file or directory\)"):
        read_yaml(tmp_path / "nowhere.yaml")


def test_merged_and_repeated_parts_work(tmp_path: Path) -> None:
    text = "base: &b {x: 1, 01: 2}\nmore: &m {<<: *b, x: 3}\nlast: {<<: [*m, *b], y: *b}\n"
    found = read(tmp_path, text)
    assert found["more"] == {"x": 3, "01": 2}
    assert found["last"] == {"x": 3, "01": 2, "y": {"x": 1, "01": 2}}


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    assert read(tmp_path, b"\xef\xbb\xbfa: 1\n") == {"a": 1}
    assert read(tmp_path, "") is None


def test_every_file_is_read_this_way() -> None:
    reading = re.compile(r"safe_load|yaml\.load|CSafeLoader|full_load")
    found = {
        p.relative_to(ROOT).as_posix() for p in (ROOT / "benchmark").rglob("*.py") if reading.search(p.read_text())
    }
    assert len(found) == 1 and found.pop().endswith("yaml_files.py")


def test_categories_of_a_prompt_table_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "table.yaml"
    path.write_text("source: ours\ncategories:\n  01: {word: first}\n  1: {word: second}\n  no: {word: third}\n")
    table = load_table(str(path), dataset="toy")
    assert [table.categories[name].word for name in ("01", "1", "no")] == ["first", "second", "third"]
    path.write_text("source: ours\ncategories:\n  01: {word: first}\n  01: {word: second}\n")
    with pytest.raises(ConfigError, match=r"table\.yaml: line 4, column 3: the key '01' stands in line 3 already"):
        load_table(str(path), dataset="toy")


def test_a_card_with_a_key_twice_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sat").mkdir()
    text = (cards.CARDS / "sat" / "card.yaml").read_text()
    (tmp_path / "sat" / "card.yaml").write_text(text + "title: another\n")
    monkeypatch.setattr(cards, "CARDS", tmp_path)
    with pytest.raises(
        ConfigError, match=r"card\.yaml: line \d+, column 1: the key 'title' stands in line \d+ already"
    ):
        cards.find_card("sat")
