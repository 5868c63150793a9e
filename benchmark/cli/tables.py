"""``tables``: the generated tables of the READMEs and docs."""

from __future__ import annotations

from typing import Annotated

import typer

from benchmark.cli.words import checkout


def tables(
    *, check: Annotated[bool, typer.Option("--check", help="Change nothing; fail where a table drifted.")] = False
) -> int:
    """Write the generated tables of the READMEs and docs anew: tables [check]."""
    from benchmark.core.errors import DataError
    from benchmark.report.readme_tables import BLOCKS, update
    from benchmark.running.reference import TABLES

    root = checkout("writing the tables of the READMEs")
    drifted = update(root, {**BLOCKS, **TABLES}, write=not check)
    if check and drifted:
        raise DataError(f"tables are out of date in {', '.join(drifted)}; run `make tables`")
    if not check:
        print(f"written anew: {', '.join(drifted)}" if drifted else "all tables are up to date already")
    return 0
