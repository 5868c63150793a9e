"""Which submissions a maintainer made again: ``results/community/verified.csv``, one line a submission."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from benchmark.core.errors import ResultsError
from benchmark.results.files import write_atomically

NAME = "verified.csv"
COLUMNS = ("digest", "how")


def read_verified(folder: Path) -> dict[str, str]:
    """Return digest of a submission -> how its values were made again; raises ResultsError for another file."""
    path = folder / NAME
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise ResultsError(f"{path}: the columns must be {','.join(COLUMNS)}; found {reader.fieldnames}")
        return {row["digest"]: row["how"] for row in reader}


def write_verified(folder: Path, digest: str, how: str) -> None:
    """Add a submission, or write anew how it was made again."""
    known = {**read_verified(folder), digest: how}
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([COLUMNS, *sorted(known.items())])
    write_atomically(folder / NAME, text.getvalue().encode())
