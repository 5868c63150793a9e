"""Run a paper's table: every cell with its dataset, preset and protocol, and the paper's numbers beside ours."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.errors import BenchmarkError, ConfigError, DataError, WeightsError
from benchmark.results.papers import Cell, Paper, PaperTable, cells, choose_table, load_paper
from benchmark.results.schema import RunResult

if TYPE_CHECKING:
    from benchmark.config import RunConfig


@dataclass(frozen=True, kw_only=True)
class Missing:
    """Why a cell has no number of ours."""

    phrase: str
    mend: str | None = None
    """The command that mends it; None where nothing does."""


@dataclass(frozen=True, kw_only=True)
class Planned:
    """One cell, and what stands in the way of running it."""

    cell: Cell
    missing: Missing | None = None
    n_images: int | None = None
    seconds: float | None = None
    """Expected, from earlier runs of the pipeline here; None: there is none."""
    result: RunResult | None = None
    """After the run."""


def plan(cell: Cell, *, extra: Sequence[str]) -> Planned:
    """Find out whether a cell can be run, without running anything.

    Args:
        cell: of a table.
        extra: settings from the command line.
    """
    found = obstacle(cell, extra=extra)
    if found is None or isinstance(found, Missing):
        return Planned(cell=cell, missing=found)
    try:
        manifest = found.dataset.manifest(found.run.data_root)
    except DataError as error:
        mend = f"make data DATASET={_dataset_name(found)} ARGS=verify"
        return Planned(cell=cell, missing=Missing(phrase=f"data not usable: {_first_line(error)}", mend=mend))
    n_images = min(found.run.limit or len(manifest.test), len(manifest.test))
    seconds = seconds_per_image(found.run.results_root, cell.method.pipeline or "")
    return Planned(cell=cell, n_images=n_images, seconds=None if seconds is None else seconds * n_images)


def obstacle(cell: Cell, *, extra: Sequence[str]) -> Missing | RunConfig | None:
    """Return what keeps a cell from running as far as that shows without reading data, else its config.

    None for a cell that is not run itself, being a mean over others.
    """
    missing = _without_config(cell)
    if missing is not None or cell.row.parts:
        return missing
    from benchmark.config import build

    try:
        config = build(*compose([*cell.overrides, *extras_for(cell, extra)]))
    except ConfigError as error:
        return Missing(phrase=_first_line(error))
    pipeline = cell.method.pipeline or ""
    return _both(data_missing(config), weights_missing(config.pipeline, pipeline, config.run.weights_root)) or config


def _without_config(cell: Cell) -> Missing | None:
    """What stands in the way whatever the settings are."""
    from benchmark.config import options

    if cell.row.private:
        return Missing(phrase="private dataset")
    if cell.method.pipeline is None:
        return Missing(phrase=cell.method.absent or "no pipeline of this package")
    if cell.row.parts:
        return None
    for group, name in (("pipeline", cell.method.pipeline), ("dataset", _option(cell.overrides, "dataset"))):
        if name not in options(group):
            return Missing(phrase=f"no {group} {name} in conf/{group}")
    return None


def compose(overrides: Sequence[str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Compose the application's config as plain containers, with the choice of each group.

    Raises:
        ConfigError: an override is refused.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    from benchmark.config import CONF, explain_composition_error

    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            config = hydra_compose("config", list(overrides), return_hydra_config=True)
        choices = {str(k): str(v) for k, v in config.hydra.runtime.choices.items() if not str(k).startswith("hydra/")}
        plain = OmegaConf.masked_copy(config, [str(k) for k in config if k != "hydra"])
        composed: Any = OmegaConf.to_container(plain, resolve=True)
        return composed, choices
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(explain_composition_error(error, overrides)) from None


def data_missing(config: RunConfig) -> Missing | None:
    """Say that a dataset is not there at all; None when its folder is, or when it is generated."""
    from benchmark.data.card import find_card

    name = _dataset_name(config)
    card = find_card(name)
    path = getattr(config.dataset, "path", None)
    place = Path(path) if path else config.run.data_root / name
    if place.exists() or (card is not None and card.source.kind == "generated"):
        return None
    return Missing(phrase=f"data missing: {name}", mend=f"make data DATASET={name}")


def _dataset_name(config: RunConfig) -> str:
    """Name of the data, whichever preset of it was chosen."""
    return str(getattr(config.dataset, "name", config.choices["dataset"]))


def _both(*problems: Missing | None) -> Missing | None:
    """Join what is missing into one reason."""
    found = [p for p in problems if p is not None]
    if len(found) < 2:
        return found[0] if found else None
    return Missing(phrase="; ".join(p.phrase for p in found), mend=" && ".join(p.mend for p in found if p.mend))


def weights_missing(pipeline: object, name: str, root: Path) -> Missing | None:
    """Say which registered weights of a pipeline are not there; None when all are, or it needs none."""
    from benchmark.weights import find

    needed = getattr(pipeline, "needed_weights", None)
    if needed is None:
        return None
    try:
        entries = [find(weights) for weights in needed()]
    except (ConfigError, WeightsError) as error:
        return Missing(phrase=_first_line(error))
    absent = [e.name for e in entries if any(not (root / file.file).is_file() for file in e.files)]
    if not absent:
        return None
    return Missing(phrase=f"weights missing: {', '.join(absent)}", mend=f"make weights PIPELINE={name}")


def seconds_per_image(results_root: Path, pipeline: str) -> float | None:
    """Return the median wall seconds per image of this pipeline's earlier runs here that computed something."""
    from statistics import median

    from benchmark.results.files import RESULT

    found = []
    for path in (results_root / "runs").glob(f"*-{pipeline}-*/{RESULT}"):
        record = json.loads(path.read_text(encoding="utf-8"))
        measured, n = record["measured"], record["dataset"]["n_samples_effective"]
        stages = measured["samples_computed"]
        if record["choices"]["pipeline"] == pipeline and n and (not stages or max(stages.values()) >= n):
            found.append(measured["seconds"] / n)
    return median(found) if found else None


def run_cells(planned: Sequence[Planned], *, name: str, extra: Sequence[str]) -> list[Planned]:
    """Run every cell that can be run as one multirun; a cell that fails says why and the others go on.

    What the stage store holds is not computed again, so the same command goes on where it was stopped.
    """
    from dataclasses import replace

    done: list[Planned] = []
    if not any(one.missing is None and one.cell.overrides for one in planned):
        return list(planned)
    with _multirun(name, extra) as (folder, results_root):
        for number, one in enumerate(planned):
            if one.missing is not None or not one.cell.overrides:
                done.append(one)
                continue
            result = _run_cell(one.cell, number, extra, folder=folder, results_root=results_root)
            done.append(replace(one, missing=result) if isinstance(result, Missing) else replace(one, result=result))
    return done


def _run_cell(
    cell: Cell, number: int, extra: Sequence[str], *, folder: Path, results_root: Path
) -> RunResult | Missing:
    from benchmark import sweep
    from benchmark.results.files import read_result

    words = [*cell.overrides, *extras_for(cell, extra)]
    composed, choices = compose(words)
    sweep.run_point(composed, choices, number=number, overrides=words, thumbnails=True)
    record = json.loads((folder / "points" / f"{number:05d}.json").read_text(encoding="utf-8"))
    if "run" not in record:
        return Missing(
            phrase=f"failed: {str(record.get('message', record['status'])).splitlines()[0]}", mend=cell.command
        )
    return read_result(results_root / "runs" / record["run"])


@contextmanager
def _multirun(name: str, extra: Sequence[str]) -> Iterator[tuple[Path, Path]]:
    """Open the folder and the parent run that the cells of one table share."""
    import shutil

    from benchmark import sweep
    from benchmark.config import option_settings

    composed = compose(general(extra))[0]
    results_root = Path(composed["run"]["results_root"])
    folder = results_root.resolve() / "sweeps" / name
    shutil.rmtree(folder / "points", ignore_errors=True)
    (folder / "points").mkdir(parents=True, exist_ok=True)
    before = os.environ.get(sweep.FOLDER_VARIABLE)
    os.environ[sweep.FOLDER_VARIABLE] = str(folder)
    tracker: Any = option_settings("tracking", composed["tracking"])
    tracker.start_sweep(name, results_root=results_root)
    try:
        yield folder, results_root
    finally:
        if before is None:
            os.environ.pop(sweep.FOLDER_VARIABLE, None)
        else:
            os.environ[sweep.FOLDER_VARIABLE] = before
        tracker.finish_sweep(folder, results_root=results_root, metrics={})


def extras_for(cell: Cell, extra: Sequence[str]) -> list[str]:
    """Return the settings of the command line that hold for a cell.

    A key that begins with the name of a pipeline or dataset (``sam_clip.sam.model=vit_b``,
    ``mvtec_domain_gap.allow_partial=true``) holds for the cells of that one alone.
    """
    from benchmark.config import options

    chosen = []
    own = {"pipeline": cell.method.pipeline, "dataset": _option(cell.overrides, "dataset")}
    for setting in extra:
        head, _, rest = setting.partition(".")
        group = next((g for g in own if head in options(g)), None)
        if group is None:
            chosen.append(setting)
        elif head == own[group]:
            chosen.append(f"{group}.{rest}")
    return chosen


def general(extra: Sequence[str]) -> list[str]:
    """Return the settings that hold for a table as a whole, not for the dataset or pipeline of a cell."""
    return [o for o in extra if o.partition("=")[0].lstrip("+").partition(".")[0] in ("run", "tracking")]


def _option(overrides: Sequence[str], group: str) -> str:
    return next((o.partition("=")[2] for o in overrides if o.startswith(f"{group}=")), "")


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]


def reproduce(paper: Paper, table: PaperTable, *, name: str, dry: bool, extra: Sequence[str]) -> list[Planned]:
    """Plan every cell of a table and, unless ``dry``, run those that can be run."""
    planned = [plan(cell, extra=extra) for cell in cells(paper, table)]
    return planned if dry else run_cells(planned, name=name, extra=extra)


def main(arguments: list[str] | None = None) -> int:
    """Reproduce the tables of a paper: ``python -m benchmark.reproduce domain_gap 1 [dry_run] [key=value …]``."""
    from benchmark.results.paper_table import show_plan, show_table, write_table
    from benchmark.results.papers import paper_names

    known = ", ".join(paper_names())
    parser = argparse.ArgumentParser(prog="python -m benchmark.reproduce", description=main.__doc__)
    parser.add_argument("paper", help=f"one of: {known}")
    parser.add_argument("words", nargs="*", metavar="TABLE | dry_run | key=value", help="no table: all of the paper")
    chosen = parser.parse_args(arguments)
    extra = [w for w in chosen.words if "=" in w]
    plain = [w for w in chosen.words if "=" not in w]
    dry = "dry_run" in plain
    try:
        paper = load_paper(chosen.paper)
        for number in [w for w in plain if w != "dry_run"] or list(paper.tables):
            table = choose_table(paper, number)
            name = f"{chosen.paper}-table-{number}"
            planned = reproduce(paper, table, name=name, dry=dry, extra=extra)
            if dry:
                show_plan(paper, table, planned)
            else:
                root = Path(compose(general(extra))[0]["run"]["results_root"])
                show_table(paper, table, planned)
                print("written:", write_table(root / "papers", name, paper, table, planned))
    except BenchmarkError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
