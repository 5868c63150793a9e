"""``reference``: the committed reference results, made anew or compared with."""

from __future__ import annotations

from typing import Annotated

import typer

from benchmark.cli.words import checkout, refuse, settings_and_names


def reference(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME | key=value]...", help="Reference runs (none: all), and settings."),
    ] = None,
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Compare with the committed ones; without names, the quick ones.")
    ] = False,
) -> int:
    """Make the reference results anew, or compare with the committed ones: reference check mtd-constant."""
    from benchmark.report.readme_tables import update
    from benchmark.running.reference import TABLES, carry_out, entries

    settings, names = settings_and_names(words)
    known = entries()
    refuse(names, [*known, "check"], what="a reference run or a word of this command")
    root = None if check else checkout("making the reference results anew")
    default = [name for name, entry in known.items() if entry.quick] if check else list(known)
    wrong = [carry_out(name, known[name], check=check, extra=settings) for name in names or default]
    if root is not None:
        update(root, TABLES, write=True)
    return int(any(wrong))
