"""``tables``: the generated tables of the READMEs."""

from __future__ import annotations

from typing import Annotated

import typer

from benchmark.cli.words import checkout


def tables(
    *, check: Annotated[bool, typer.Option("--check", help="Change nothing; fail where a table drifted.")] = False
) -> int:
    """Write the generated tables of the READMEs and docs anew: tables [check]."""
    from benchmark.core.errors import DataError
    from benchmark.report.readme_tables import update
    from benchmark.running.reference import update_readme

    root = checkout("writing the tables of the READMEs")
    drifted = set(update(root, write=not check))
    if update_readme(root / "README.md", write=not check):
        drifted.add("README.md")
    if check and drifted:
        raise DataError(f"tables are out of date in {', '.join(sorted(drifted))}; run `make tables`")
    return 0
