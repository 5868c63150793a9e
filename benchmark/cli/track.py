"""``track``: log finished runs in MLflow, such as those whose server could not be reached."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmark.cli.words import path


def track(
    folders: Annotated[list[Path], typer.Argument(parser=path, metavar="FOLDER...", help="Folders of finished runs.")],
    *,
    uri: Annotated[
        str | None, typer.Option(help="MLflow tracking URI.", show_default="the store in the results folder")
    ] = None,
    experiment: Annotated[str, typer.Option(help="Name of the experiment.")] = "fm-defect-bench",
) -> int:
    """Log finished runs in MLflow: track results/runs/ID ... [uri=URI]."""
    from benchmark.tracking import Mlflow

    tracker = Mlflow(uri=uri, experiment=experiment)
    for folder in folders:
        print(f"{folder}: MLflow run {tracker.log(folder, results_root=folder.resolve().parent.parent)}")
    return 0
