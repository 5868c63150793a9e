"""Options and cards that a test adds for a process of its own: a copy of conf and the cards, with more in it.

``pytest -p tests.newcomers`` reads them from the folder that NEWCOMERS names instead of from this project's.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from benchmark.core import resources

if "NEWCOMERS" in os.environ:  # before any module asks where they are
    resources.CONF = Path(os.environ["NEWCOMERS"]) / "conf"
    resources.CARDS = Path(os.environ["NEWCOMERS"]) / "datasets"

from tests.harness import ROOT


def suite(folder: Path, *words: str, files: dict[str, str]) -> dict[str, str]:
    """Run tests over this project's options, cards and some more; returns each test's name and its outcome.

    Args:
        folder: an empty one.
        words: for pytest: files, ``-k`` and an expression.
        files: path to text of what is added: options below ``conf``, cards below ``datasets``, Python modules.
    """
    shutil.copytree(ROOT / "conf", folder / "conf")
    cards = {path.relative_to(ROOT).as_posix(): path.read_text() for path in (ROOT / "datasets").glob("*/card.yaml")}
    for name, text in {**cards, **files}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    modules = [Path(name).stem for name in files if name.endswith(".py")]
    plugins = [part for name in ("tests.newcomers", *modules) for part in ("-p", name)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "0", "-q", "-rA", "--tb=line", *plugins, *words],
        cwd=ROOT,
        env={**os.environ, "NEWCOMERS": str(folder), "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr  # passed or failed, and no other trouble
    lines = [line.split() for line in done.stdout.splitlines()]
    return {line[1].rpartition("::")[2]: line[0] for line in lines if line[:1] in (["PASSED"], ["FAILED"], ["ERROR"])}
