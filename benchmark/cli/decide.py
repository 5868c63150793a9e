"""``decide``: what thresholds by cost or false-alarm rate make of a run's image scores."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmark.cli.words import ResultsFolder, number, path, refuse, settings_and_names, written_below
from benchmark.core.errors import ResultsError

KEYS = ("cost.miss", "cost.overkill", "rate")


def decide(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="RUN [key=value]...", help="A run, and cost.miss=, cost.overkill=, rate=."),
    ] = None,
    *,
    results_root: ResultsFolder = Path("results"),
    out: Annotated[Path | None, typer.Option(parser=path, help="Folder for the table and the picture.")] = None,
) -> int:
    """Judge a run's images by cost: decide sat-patchcore cost.miss=100 cost.overkill=1 rate=0.05."""
    from benchmark.core.table import show
    from benchmark.report.charts import as_svg
    from benchmark.report.compare import choose_run, write
    from benchmark.report.decision_table import figures, grid, judged
    from benchmark.results import files
    from benchmark.scoring.decision import Costs

    settings, names = settings_and_names(words)
    given = dict(word.partition("=")[::2] for word in settings)
    refuse(given, KEYS, what="a setting of this command")
    if len(names) != 1:
        raise ResultsError(f'name one run: make decide RUNS="…"; the runs lie in {results_root / "runs"}')
    numbers = {key: number(key, text) for key, text in given.items()}
    costs = Costs(**{key.partition(".")[2]: value for key, value in numbers.items() if key.startswith("cost.")})
    folder = choose_run(names[0], results_root)
    result = files.read_result(folder)
    found = judged(result, folder, costs=costs, rate=numbers.get("rate", 0.05))
    table = grid(result, found)
    show(table)
    place = write(table, (out or written_below(results_root) / "decisions") / result.id)
    files.write_atomically(place.with_name(f"{place.name}.svg"), as_svg(figures(found)[0][1]))
    print(f"written: {place}.md, .csv, .tex, .svg")
    return 0
