"""Attacks by YAML files: none swells up, none is too deep, and every refusal is one line that names the file."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.cli.main import main
from benchmark.config.compose import compose
from benchmark.core.errors import ConfigError
from benchmark.core.yaml_files import DEEPEST, MOST_VALUES, read_yaml
from benchmark.pipelines.saa.prompts import load_table

LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 10)}]\n" for k in range(1, 12)
)
MERGES = "a0: &a0 {x: 1}\n" + "".join(f"a{k}: &a{k} {{<<: [{', '.join([f'*a{k - 1}'] * 10)}]}}\n" for k in range(1, 12))
ATTACKS = {
    "an alias bomb": LAUGHS,
    "a bomb of merges": MERGES,
    "a list in itself": "a: &a [*a]\n",
    "a mapping in itself": "a: &a {b: {c: *a}}\n",
    "a mapping merged with itself": "a: &a {<<: *a}\n",
    "deep lists": "a: " + "[" * 5000 + "]" * 5000,
    "deep mappings": "{a: " * 5000,
    "deep dashes": "- " * 5000,
    "open brackets": "[" * 100_000,
    "a number of 5,000 digits": f"a: {'9' * 5000}\n",
    "a number that is none": "a: !!int x\n",
    "a truth that is none": "a: !!bool x\n",
    "a date that is none": "a: !!timestamp x\n",
    "a character that is none": 'a: "\\U00110000"\n',
    "an object": "a: !!python/object/apply:os.system [ls]\n",
    "a name": "a: !!python/name:os.system\n",
    "a directive": "%YAML 9.9\n---\na\n",
    "a control character": "a: \x07\n",
}


@pytest.mark.parametrize("text", ATTACKS.values(), ids=ATTACKS)
def test_an_attack_is_one_line_that_names_the_file(text: str, tmp_path: Path) -> None:
    path, begun = tmp_path / "own.yaml", time.process_time()
    path.write_text(text)
    with pytest.raises(ConfigError) as told:
        read_yaml(path)
    assert str(told.value).startswith(f"{path}: ") and "\n" not in str(told.value)
    assert time.process_time() - begun < 5


@given(
    st.text(st.sampled_from("&*a[]{}:,- \n!<?|>'\"0#%@~\t"), max_size=60)
    | st.text(max_size=40)
    | st.binary(max_size=40)
)
@settings(max_examples=300, deadline=None)
def test_any_file_is_values_or_one_line(tmp_path_factory: pytest.TempPathFactory, text: str | bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode(errors="surrogatepass"))
    try:
        read_yaml(path)
    except ConfigError as error:
        assert str(error).startswith(str(path)) and "\n" not in str(error)


def test_what_is_deep_and_repeated_within_reason_is_read(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text("usual: &usual {a: 1, b: [x, y]}\n" + "".join(f"c{k}: {{<<: *usual, k: {k}}}\n" for k in range(99)))
    found = read_yaml(path)
    assert found["c98"] == {"a": 1, "b": ["x", "y"], "k": 98}
    found["c0"]["b"].append("changed")
    assert read_yaml(path)["c0"]["b"] == ["x", "y"]
    path.write_text("[" * (DEEPEST - 1) + "]" * (DEEPEST - 1))
    deep: Any = read_yaml(path)
    for _ in range(DEEPEST - 2):
        (deep,) = deep
    assert deep == [] and MOST_VALUES > 100_000


@pytest.mark.parametrize("name", ["an alias bomb", "deep lists", "a list in itself"])
def test_options_and_tables_of_ones_own_are_refused_alike(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pipeline").mkdir()
    option = tmp_path / "pipeline" / "own.yaml"
    option.write_text(ATTACKS[name])
    with pytest.raises(ConfigError, match=r"own\.yaml: line"):
        compose(["pipeline=own", f"hydra.searchpath=[file://{tmp_path}]"])
    assert main(["pipeline=own", "--config-dir", str(tmp_path), "tracking=none"]) == 1
    said = capsys.readouterr().err
    assert "own.yaml: line" in said and "Traceback" not in said and said.count("\n") == 1
    with pytest.raises(ConfigError, match=r"own\.yaml: line"):
        load_table(str(option), dataset="x")


@pytest.mark.parametrize("chain", [["a", "b"], ["/pipeline@x: a", "b"], ["a", "b", "c"]])
def test_options_that_build_on_each_other_are_refused(chain: list[str], tmp_path: Path) -> None:
    (tmp_path / "pipeline").mkdir()
    for at, name in enumerate(one.rpartition(" ")[2] for one in chain):
        behind = chain[(at + 1) % len(chain)]
        text = f"defaults:\n  - {behind}\n  - _self_\n_target_: benchmark.pipelines.constant.Constant\n"
        (tmp_path / "pipeline" / f"{name}.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"lead back to itself: \w+ → \w+"):
        compose(["pipeline=a", f"hydra.searchpath=[file://{tmp_path}]"])


@pytest.mark.parametrize(
    "text", ["a: ${b}\nb: ${a}\n", "a: ${a}\n", "a: ${nothing.here}\n", "a: ${", "defaults: [own]\n", "defaults: 3\n"]
)
def test_options_that_point_at_themselves_are_one_message(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pipeline").mkdir()
    (tmp_path / "pipeline" / "own.yaml").write_text(f"{text}_target_: benchmark.pipelines.constant.Constant\n")
    places = [f"run.results_root={tmp_path}", f"run.data_root={tmp_path}", f"run.cache_root={tmp_path}"]
    assert main(["pipeline=own", "--config-dir", str(tmp_path), "tracking=none", *places]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ") and "Traceback" not in said
