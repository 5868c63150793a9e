"""Where the data files of this package lie: the top-level folders of a checkout, or their copies in an installed wheel.

A wheel carries ``conf/``, ``baselines/``, the cards of ``datasets/``, ``results/reference/`` and ``community/`` below
``benchmark/_data`` (``tool.hatch.build`` in pyproject.toml). Whatever a program writes goes below the working folder,
or where ``DATA_ROOT``, ``RESULTS_ROOT``, ``BENCH_CACHE`` and ``BENCH_WEIGHTS`` say.
"""

from __future__ import annotations

import re
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
"""Folder of the import package."""
CHECKOUT: Path | None = None if (PACKAGE / "_data").is_dir() else PACKAGE.parent
"""Folder of the checkout; None where the package was installed from a wheel."""
_TOP = CHECKOUT or PACKAGE / "_data"
CONF = _TOP / "conf"
CARDS = _TOP / "datasets"
BASELINES = _TOP / "baselines"
REFERENCE = _TOP / "results" / "reference"
COMMUNITY = _TOP / "results" / "community"
TEMPLATES = PACKAGE / "report" / "templates"
"""Templates of the report; they stand beside the code in a checkout too."""

_MAKE = re.compile(
    r"\bmake (?P<target>bench|sweep|reproduce|compare|decide|rows|predict|latency|submit|verify-submission|export|"
    r"report|doctor|data|weights|answers|cache)\b"
    r"(?P<words>(?: [A-Z]+=(?:\"[^\"]*\"|'[^']*'|[^\s`'\",;)]+))*)"
)


def shown(path: Path) -> str:
    """Write the path of a data file for people: from the top of the checkout, or whole."""
    return path.relative_to(CHECKOUT).as_posix() if CHECKOUT and path.is_relative_to(CHECKOUT) else str(path)


def commands_here(text: str) -> str:
    """Return ``text`` with the commands that it names as they are given here.

    Messages name the targets of make, which is there in a checkout alone; elsewhere
    ``make data DATASET=mtd ARGS=verify`` becomes ``fm-defect-bench data mtd verify``.
    """
    return text if CHECKOUT else _MAKE.sub(_console_form, text)


def _console_form(match: re.Match[str]) -> str:
    target, words = match["target"], re.findall(r"([A-Z]+)=(?:\"([^\"]*)\"|'([^']*)'|(\S+))", match["words"])
    configs = target in ("bench", "sweep", "predict")  # their variables are keys of the config
    given = [f"{name.lower()}={value}" if configs and name != "ARGS" else value for name, *quoted in words
             for value in ["".join(quoted)]]  # fmt: skip
    return " ".join(["fm-defect-bench", "run" if target == "bench" else target, *given])
