"""``python -m benchmark dataset=mtd`` is one run, ``-m`` a sweep; or any command of ``benchmark.cli``."""

from __future__ import annotations

import sys

from benchmark.cli import COMMANDS
from benchmark.cli.main import main

if __name__ == "__main__":
    words = sys.argv[1:]
    sys.exit(main(words if words[:1] and words[0] in COMMANDS else ["run", *words]))
