"""``doctor``: what this machine has, and what could be run on it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from benchmark.cli.words import refuse, settings_and_names


def doctor(
    words: Annotated[list[str] | None, typer.Argument(metavar="[key=value]...", help="Settings of a run.")] = None,
    *,
    verify: Annotated[bool, typer.Option("--verify", help="Decode images and compute checksums.")] = False,
) -> int:
    """Say what this machine has and what could be run on it: doctor [verify] [dataset=… pipeline=… for costs]."""
    import gc

    collects = gc.isenabled()
    gc.disable()  # a command of seconds, which builds thousands of small objects and ends
    try:
        return _tell(words, verify=verify)
    finally:
        if collects:
            gc.enable()


def _tell(words: list[str] | None, *, verify: bool) -> int:
    from benchmark.config.compose import compose
    from benchmark.config.schema import RunSettings, settings_from

    settings, names = settings_and_names(words)
    refuse(names, ["verify"], what="a word of this command")
    run = settings_from("run", RunSettings, compose(settings)[0]["run"])

    from benchmark.core import resources
    from benchmark.running import doctor as state

    lock = resources.CHECKOUT and resources.CHECKOUT / "requirements.lock"
    _print("machine", ("what", "value", "remark"), state.machine())
    _print("packages", ("package", "installed", "remark"), state.packages(lock))
    _print("places", ("setting", "folder", "space"), state.places(run))
    _print("datasets", ("dataset", "state", "command"), state.datasets(run.data_root, deep=verify))
    _print("weights", ("weights", "state", "size"), state.weights(run.weights_root, deep=verify))
    if {"dataset", "pipeline"} <= {word.partition("=")[0] for word in settings}:
        _print_costs(settings)
        return 0
    _print("tables of papers", ("paper", "table", "cells ready", "what is missing"), state.tables(settings))
    return 0


def _print_costs(settings: list[str]) -> None:
    """Say what the run that is named would cost."""
    from benchmark.config.compose import compose
    from benchmark.config.schema import build
    from benchmark.running.forecast import costs

    composed, choices = compose(settings)
    config = build(composed, choices)
    name = f"{choices['dataset']} × {choices['pipeline']}"
    _print(f"costs of {name} where nothing is stored", ("what", "how much", "by"), costs(config, composed))


def _print(title: str, columns: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> None:
    from benchmark.core.resources import commands_here
    from benchmark.core.table import Grid, show

    told = tuple(tuple(commands_here(cell) for cell in row) for row in rows)
    show(Grid(title=title, columns=columns, rows=told, left=frozenset(range(len(columns)))))
