"""Every command and link of the README and the docs: commands do what the text says, or say what this machine lacks."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import typer

from benchmark.cli.commands import app
from benchmark.cli.main import main
from benchmark.core.errors import ConfigError
from docs.hooks import reference
from docs.hooks.site import ELSEWHERE, LINK
from tests.data.dataset_trees import mvtec_tree
from tests.harness import ROOT, typed

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md"), *ROOT.glob("*/README.md")]
STARTS = ("make ", "fm-defect-bench ", ".venv/bin/python -m benchmark ", ".venv-extras/bin/python -m benchmark ")


TEXTS = [page.read_text(encoding="utf-8") for page in PAGES if page.name != "CONTRIBUTING.md"]  # it has its own test


def blocks(language: str = "") -> list[str]:
    """What stands between fences of a language."""
    fence = re.compile(rf"^```{language}\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    return [block for text in TEXTS for block in fence.findall(text)]


LINES = sorted({line.split("  #")[0].rstrip() for b in blocks() for line in b.splitlines() if line.startswith(STARTS)})
INLINE = sorted({c for text in TEXTS for c in re.findall(r"`(make [^`…]+)`", text)})
"""Commands inside sentences."""
NOT_RUN = ("make test", "make help", "make ui", "make docs")
"""What carries out no command of the package, or one that a user ends."""
FETCHES = "make data DATASET=mvtec"
"""Gigabytes: its words are read and it is not carried out."""
NOT_TOLD = (*NOT_RUN, "make setup", "make lint", "make extras", "make lock", "make clean")
LONG = (
    "SWEEP=",
    " -m ",
    "run.engine=ray",
    "smoothing=0",
    "run.seed=",
    "make latency",
    "make doctor",
    "vlm_endpoint",
    "backbone@",
    "metric=full",
    "run.export=fiftyone",
    "tagger@",
    "detector@",
)
"""Parts of lines that take seconds: their words are read like all others', and slow tests carry them out."""
LACKS = re.compile(
    r"no such folder|the data root is no folder|weights files? that (is|are) not there|no weights file at"
    r"|no key: set|needs the extra|no run '|cannot be read|no answers? |no runs below"
    r"|no point can run: (?:data|weights) missing|cannot be reached"
    r"|has room for [0-9]+: give run\.ray|run\.ray\.address=auto: |has no srun"
)
"""What a machine without data, weights, keys and services answers."""
SMALL = ("run.limit=2", "tracking=none", "run.gallery=0")
SMALL_SAT = ("dataset.n_good=4", "dataset.n_defective=4", "dataset.n_train=4", "dataset.size=64")


@cache
def words_of(line: str) -> list[str]:
    """The words of ``python -m benchmark`` that a line comes to."""
    words = shlex.split(line, comments=True)
    if words[0] == "make":
        command = ["make", "-n", "-o", ".venv/.ready", *words[1:]]
        alone = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}  # of the make that runs the tests
        done = subprocess.run(command, cwd=ROOT, env=alone, capture_output=True, text=True, check=True)
        (recipe,) = done.stdout.splitlines()
        words = shlex.split(recipe)  # as bash does, which leaves a ~ behind a dot and an equals sign alone
    return words[words.index("benchmark") + 1 :] if "benchmark" in words else words[1:]


def commands() -> list[str]:
    """The lines that carry out a command of the package."""
    return [line for line in LINES if not line.startswith(NOT_RUN)]


def is_run(words: list[str]) -> bool:
    return "=" in words[0] or words[0] in ("-m", "run", "sweep")


def is_long(line: str) -> bool:
    return any(part in line for part in LONG)


def home_of_a_user(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make ``place`` the working folder of somebody who has images, maps and options where the pages say."""
    home = place / "home"
    mvtec_tree(home / "my_parts")
    rows = ["image,label,split"]
    for image in sorted((home / "my_parts").glob("part/t*/*/*.png")):
        _, split, kind, _ = image.relative_to(home / "my_parts").parts
        rows.append(f"{image.relative_to(home)},{int(kind != 'good')},{split}")
        for below in (home, home / "my_parts"):
            scores = (home / "my_maps" / image.relative_to(below)).with_suffix(".npy")
            scores.parent.mkdir(parents=True, exist_ok=True)
            np.save(scores, np.zeros((6, 8), np.float32))
    (home / "parts.csv").write_text("\n".join(rows))
    (home / "gasket.yaml").write_text("source: ours\ncategories:\n  part: {word: gasket, captions: [cut.]}\n")
    own = "defaults: [folder]\nname: gasket\npath: ~/my_parts\n"
    (place / "my_conf" / "dataset").mkdir(parents=True)
    (place / "my_conf" / "dataset" / "gasket.yaml").write_text(own)
    monkeypatch.chdir(place)
    places = {"DATA_ROOT": "data", "RESULTS_ROOT": "results", "BENCH_CACHE": "cache", "BENCH_WEIGHTS": "weights"}
    for variable, folder in {"HOME": str(home), **places}.items():
        monkeypatch.setenv(variable, folder)
    monkeypatch.delenv("GEMINI_API_KEY", raising=False)


def test_the_pages_have_their_commands_and_the_readme_stays_short() -> None:
    assert len(LINES) > 50 and (ROOT / "README.md").stat().st_size < 8_000
    assert 'make bench DATASET=folder PIPELINE=reference_difference ARGS="dataset.path=~/my_parts"' in LINES


def test_the_words_of_every_command_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without carrying any out: runs compose and their settings are valid, commands know their words."""
    home_of_a_user(tmp_path, monkeypatch)
    for line in [*commands(), *(line for line in INLINE if not line.startswith(NOT_TOLD))]:
        words = words_of(line)
        if "--help" in words:
            continue
        if not is_run(words):
            command, rest = typer.main.get_command(app), list(words)
            while rest and (inner := getattr(command, "commands", {}).get(rest[0])):
                command, rest = inner, rest[1:]
            assert command.name != "fm-defect-bench", f"{line}: no such command"
            command.make_context(line, rest)
        elif "--config-dir" not in words:
            try:
                typed(*(one.partition(",")[0] for one in words if "=" in one and not one.startswith("hydra")))
            except ConfigError as error:
                assert LACKS.search(str(error)), f"{line}: {error}"


@pytest.mark.parametrize(
    "line",
    [pytest.param(line, marks=pytest.mark.slow) if is_long(line) else line for line in commands() if line != FETCHES],
)
def test_a_command_is_carried_out(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = list(words_of(line))
    home_of_a_user(tmp_path, monkeypatch)
    if run := is_run(words):
        given = [word for word in words if word.startswith(("dataset=", "experiment="))]
        words += [*SMALL, *(SMALL_SAT if given in ([], ["dataset=sat"]) else ())]
        words += [f"{word.partition('=')[0]}=1" for word in words if word.startswith("hydra.launcher.n_jobs=")]
    status = main(words if not run or words[0] in ("run", "sweep") else ["run", *words])
    told = capsys.readouterr()
    assert "Lexer" not in told.err and "Traceback" not in told.err, told.err
    if status:
        assert re.search("^error: ", told.err, re.MULTILINE) or "] " in told.out, told.err
        assert LACKS.search(told.err + told.out), told.err + told.out
    assert not (tmp_path / "~").exists()


def test_python_of_the_pages_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import benchmark

    small = {"dataset.n_good": 4, "dataset.n_defective": 4, "dataset.n_train": 4, "dataset.size": 64}
    whole = benchmark.evaluate
    monkeypatch.setattr(
        benchmark,
        "evaluate",
        lambda *, settings={}, **groups: whole(settings={**small, **settings}, tracking="none", **groups),
    )
    home_of_a_user(tmp_path, monkeypatch)
    codes = blocks("python")
    assert len(codes) == 2
    for code in codes:
        exec(code, {})
    assert list(tmp_path.glob("results/runs/*/result.json")) and list(tmp_path.glob("my_maps/bottle/test/cut/*.npy"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_to_files_and_headings(page: Path) -> None:
    """On the pages as they stand in the repository; the site's own are checked when it is built (make lint)."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for link in LINK.finditer(text):
        target = page.parent / link["target"]
        assert target.exists(), link[0]
        if link["anchor"]:
            heads = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert link["anchor"][1:] in {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}
    for anchor in re.findall(r"\]\(#([^)]*)\)", text):
        assert f"# {anchor.replace('-', ' ')}" in text.lower()


def test_every_page_is_in_the_sites_navigation() -> None:
    listed = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert [page for page in [*ELSEWHERE, *(path.name for path in ROOT.glob("docs/*.md"))] if page not in listed] == []


def test_the_reference_says_what_keys_mean() -> None:
    """Most keys have a comment in their YAML, and the others a docstring in the settings class."""
    pages = reference.pages()
    assert "| `neighbours` | `9` | b of the image score; 1: the largest distance |" in pages["reference/pipeline.md"]
    assert "Builds on [`saa`](#saa)" in pages["reference/pipeline.md"]
    assert "| `run.limit` | `null` | predict only this many samples" in pages["reference/run.md"]
    assert "| `split_seed` | `0` | Decides what" in pages["reference/dataset.md"], "the docstring of the field"
    assert "| `provider.access.key_env` | `null` | environment variable" in pages["reference/prompter.md"]
    assert "## data" in pages["reference/commands.md"] and "`dry_run`" in pages["reference/commands.md"]
    assert "`weights_root`" in pages["reference/python.md"]
    rows = [line for page in pages.values() for line in page.splitlines() if line.startswith("| `")]
    assert not [row for row in rows if r"\<" in row], "shown with its backslash"
    told = [row for row in rows if not row.endswith("|  |")]
    assert len(told) > 0.85 * len(rows)
