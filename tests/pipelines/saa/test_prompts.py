"""Prompt tables: the released ones say exactly what the released code sends; mistakes are named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmark.config.prompt_files import FOLDER
from benchmark.core.errors import ConfigError
from benchmark.pipelines.saa.prompts import load_table

RELEASED: list[dict[str, Any]] = json.loads((Path(__file__).parents[2] / "parity" / "saa_prompts.json").read_text())
TABLES = sorted(path.stem for path in FOLDER.glob("*.yaml"))


def write(folder: Path, text: str) -> str:
    path = folder / "table.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


DEFAULTS = """
defaults: {word: null, captions: [hole], drop_phrase: "", object_name: "{word}", stray_comma: false,
           object_number: 1, k: 5, area: 0.5, rules: []}
"""


@pytest.mark.parametrize("row", RELEASED, ids=lambda row: f"{row['table']}-{row['category']}")
def test_released_tables_send_what_the_released_code_sends(row: dict[str, Any]) -> None:
    prompts = load_table(row["table"], dataset="any").of(row["category"], where=row["table"])
    assert [q.caption for q in prompts.questions] == row["captions"]
    assert [q.drop_phrase for q in prompts.questions] == row["drop"]
    assert prompts.object_caption(keep_comma=True) == row["object"]
    assert prompts.object_caption(keep_comma=False) == row["object"].replace(",", "")
    assert (prompts.object_number, prompts.k, prompts.area) == (row["number"], row["k"], row["area"])


def test_the_released_sentence_of_bottle_is_read_by_position() -> None:
    sentence = (
        "the image of bottle have 1 dissimilar bottle, with a maximum of 5 anomaly. "
        "The anomaly would not exceed 0.3 object area. "
    )
    words = sentence.split(" ")
    prompts = load_table("mvtec", dataset="mvtec").of("bottle", where="mvtec")
    assert prompts.object_caption(keep_comma=True) == words[7] + "."
    assert (prompts.object_number, prompts.k, prompts.area) == (int(words[5]), int(words[12]), float(words[19]))


@pytest.mark.parametrize("name", TABLES)
def test_every_table_is_valid_and_has_prompts_for_each_of_its_categories(name: str) -> None:
    table = load_table(name, dataset="any")
    for category in table.categories:
        prompts = table.of(category, where=name)
        assert all(q.caption.endswith(".") and "{" not in q.caption for q in prompts.questions)


def test_a_folder_of_magnetic_tile_is_asked_as_the_whole_set() -> None:
    table = load_table("{dataset}", dataset="mtd")
    assert table.of("MT_Crack", where="mtd") == table.of("mtd", where="mtd")


def test_a_product_of_ones_own_takes_a_few_lines(tmp_path: Path) -> None:
    name = write(
        tmp_path,
        "source: us\n"
        "categories:\n  gasket: {word: Rubber Gasket, captions: [Tear.], rules: [{measure: aspect_ratio, max: 4}]}\n",
    )
    prompts = load_table(name, dataset="mine").of("gasket", where=name)
    general = [f"{fault} on rubber gasket." for fault in ("defect", "damage", "flaw")]
    assert [q.caption for q in prompts.questions] == [*general, "tear."]
    assert prompts.questions[0].drop_phrase == "Rubber Gasket"
    assert (prompts.object_name, prompts.k, prompts.area) == ("Rubber Gasket", 5, 0.5)
    assert prompts.rules[0].max == 4
    name = write(tmp_path, "source: us\ngeneral: []\ndefaults: {k: 2}\ncategories: {'*': {captions: [hole]}}\n")
    prompts = load_table(name, dataset="mine").of("anything", where=name)
    assert [q.caption for q in prompts.questions] == ["hole."] and prompts.k == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[1, 2]", "not a mapping"),
        ("a: [", "line 2, column 1: did not find expected node content"),
        (f"source: us\ngeneral: []{DEFAULTS}\ncategories: {{}}", "names no category"),
        (f"source: us\ngeneral: []{DEFAULTS}\ncategories: {{x: {{kk: 3}}}}", "categories.x.kk"),
        ("source: us\ncategories: {x: {caption: [hole]}}", "x.caption: unknown key; did you mean 'captions'?"),
        ("source: us\ncategory: {x: {}}", "category: unknown key; did you mean 'categories'?"),
        ("source: us\ncategories: {x: {rules: [{mesure: area}]}}", "mesure: unknown key; did you mean 'measure'?"),
        ("source: us\ncategories: {x: {captions: ['']}}", "categories.x.captions.0"),
        ("source: us\ncategories: {x: {word: ''}}", "categories.x.word"),
        (f"source: us\ngeneral: []{DEFAULTS}\ncategories: {{x: {{area: -1}}}}", "categories.x.area"),
        (
            f"source: us\ngeneral: []{DEFAULTS}\ncategories: {{x: {{area: 20}}}}",
            "is a share, and 1 is the whole; write 0.2",
        ),
        (
            f"source: us\ngeneral: []{DEFAULTS}\ncategories: {{x: {{rules: [{{measure: siz, max: 1}}]}}}}",
            "rules.0.measure",
        ),
    ],
)
def test_a_mistake_in_a_table_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_table(write(tmp_path, text), dataset="mine")
    assert said in str(caught.value)
    assert "table.yaml" in str(caught.value)


def test_unknown_names_list_near_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'mvtec'"):
        load_table("mvtek", dataset="any")
    with pytest.raises(ConfigError, match="'bottle'"):
        load_table("mvtec", dataset="any").of("botle", where="mvtec")
    empty = write(tmp_path, f"source: us\ngeneral: []{DEFAULTS}\ncategories: {{x: {{captions: []}}}}")
    with pytest.raises(ConfigError, match="no captions"):
        load_table(empty, dataset="any").of("x", where="mine")
