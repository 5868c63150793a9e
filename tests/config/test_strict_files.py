"""An option of a user's own folder means what it shows, as every other YAML file does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmark.config.options import search_path
from benchmark.core.errors import ConfigError
from tests.harness import command, compose


def option(folder: Path, text: str) -> dict[str, Any]:
    """Compose an option of the group ``pipeline`` that begins as ``clipseg`` does."""
    (folder / "pipeline").mkdir(exist_ok=True)
    (folder / "pipeline" / "mine.yaml").write_text("defaults: [clipseg, _self_]\n" + text)
    composed: dict[str, Any] = compose("pipeline=mine", search_path([folder]))[0]["pipeline"]
    return composed


def test_keys_and_words_are_what_they_show(tmp_path: Path) -> None:
    text = "prompts:\n  by_category: {01: [cut], no: [dent], 1: [hole], 1.0: [no, on, 010]}\n"
    found = option(tmp_path, text)["prompts"]["by_category"]
    assert found == {"01": ["cut"], "no": ["dent"], "1": ["hole"], "1.0": ["no", "on", "010"]}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prompts: {default: [a]}\nprompts: {default: [b]}\n", r"mine\.yaml: line 3, .*'prompts' stands in line 2"),
        ("prompts: {by_category: {a: [x], a: [y]}}\n", r"mine\.yaml: line 2, .*'a' stands in line 2"),
        ("prompts: [a\n", r"mine\.yaml: line"),
    ],
)
def test_a_key_twice_is_refused_with_file_and_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        option(tmp_path, text)


def test_a_header_still_says_where_an_option_goes(tmp_path: Path) -> None:
    (tmp_path / "extra").mkdir()
    (tmp_path / "extra" / "few.yaml").write_text("# @package _global_\nrun: {limit: 3}\n")
    assert compose("+extra=few", search_path([tmp_path]))[0]["run"]["limit"] == 3


def test_on_the_command_line_too(tmp_path: Path) -> None:
    (tmp_path / "pipeline").mkdir()
    (tmp_path / "pipeline" / "mine.yaml").write_text("defaults: [constant]\npolicy: good\npolicy: bad\n")
    done = command("--config-dir", str(tmp_path), "pipeline=mine")
    assert done.returncode == 1 and "'policy' stands in line 2" in done.stderr and "Traceback" not in done.stderr
