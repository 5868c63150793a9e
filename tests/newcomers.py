"""Options that a test adds for a process of its own: a copy of conf, with more in it.

``pytest -p tests.newcomers`` reads the options from the folder that NEWCOMERS names instead of from this project's.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import benchmark.config
from tests.harness import ROOT

if "NEWCOMERS" in os.environ:
    benchmark.config.CONF = Path(os.environ["NEWCOMERS"]) / "conf"


def suite(folder: Path, *words: str, options: dict[str, str], modules: dict[str, str]) -> dict[str, str]:
    """Run tests over this project's options and some more; returns each test's name and its outcome.

    Args:
        folder: an empty one.
        words: for pytest: files, ``-k`` and an expression.
        options: path below conf to the text of an option.
        modules: name of a Python module to its text.
    """
    shutil.copytree(ROOT / "conf", folder / "conf")
    for name, text in options.items():
        (folder / "conf" / name).write_text(text)
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text)
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
    lines = [line.split() for line in done.stdout.splitlines()]
    return {line[1].rpartition("::")[2]: line[0] for line in lines if line[:1] in (["PASSED"], ["FAILED"], ["ERROR"])}
