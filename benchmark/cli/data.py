"""``data``: get or check a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmark.cli.words import path, refuse, settings_and_names
from benchmark.core.errors import ConfigError, near_matches

SWITCHES = ("verify", "dry_run", "offline")


def data(
    words: Annotated[list[str] | None, typer.Argument(metavar="DATASET", help="An option of conf/dataset.")] = None,
    *,
    verify: Annotated[bool, typer.Option("--verify", help="Check what is there against the card.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be downloaded.")] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Use no network.")] = False,
    data_root: Annotated[Path, typer.Option(parser=path, envvar="DATA_ROOT", help="Where datasets lie.")] = Path(
        "datasets"
    ),
) -> int:
    """Get a dataset, or the steps to it, and check it: data mvtec [verify], data folder verify dataset.path=FOLDER."""
    from benchmark.config.needs import dataset_settings
    from benchmark.config.options import options
    from benchmark.data.fetch import Request, run

    settings, names = settings_and_names(words)
    own = [setting for setting in settings if setting.startswith("dataset.")]
    for setting in settings:
        key, _, value = setting.partition("=")
        if key == "run.data_root":
            data_root = path(value)
        elif setting not in own:
            raise ConfigError(f"unknown key {key!r}; {near_matches(key, ['data_root', 'dataset.path'])}")
    known = options("dataset")
    refuse(names, [*known, *SWITCHES], what="a dataset or a word of this command")
    if len(names) != 1:
        raise ConfigError(
            f"name one dataset, and any of: {', '.join(SWITCHES)}, data_root=FOLDER. Datasets: {', '.join(known)}"
        )
    return run(
        Request(
            dataset=names[0],
            settings=dataset_settings(names[0], own),
            data_root=data_root,
            verify=verify,
            dry_run=dry_run,
            offline=offline,
        )
    )
