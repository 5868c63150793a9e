"""``submit``: a finished run as a slim, public result below results/community."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmark.cli.words import ResultsFolder, path, written_below
from benchmark.core.text import counted


def submit(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run: its folder, its id, or the beginning of it.")],
    *,
    who: Annotated[str, typer.Option(help="Who gives it, as the leaderboard shows it.")],
    licence: Annotated[str, typer.Option(help="Of the numbers, an identifier of SPDX: CC-BY-4.0.")],
    method: Annotated[str | None, typer.Option(help="Its name.", show_default="the pipeline's option")] = None,
    source: Annotated[str | None, typer.Option(help="Address of the paper, the code or the weights.")] = None,
    private_data: Annotated[
        bool, typer.Option("--private-data", help="The data is your own, and nobody else can have it.")
    ] = False,
    results_root: ResultsFolder = Path("results"),
    out: Annotated[
        Path | None, typer.Option(parser=path, help="Folder of submissions.", show_default="community beside the runs")
    ] = None,
) -> int:
    """Write a run as a result to add by pull request: submit sat-patchcore who=NAME licence=CC-BY-4.0 [source=…]."""
    from benchmark.core.terminal import printable
    from benchmark.report.compare import choose_run
    from benchmark.results import files
    from benchmark.results.submission import COMMUNITY
    from benchmark.running.checking import content_checks, show_checks
    from benchmark.running.submitting import submission_of

    result = files.read_result(choose_run(run, results_root))
    made = submission_of(result, who=who, licence=licence, method=method, source=source, private=private_data)
    target = (out or written_below(results_root) / COMMUNITY) / made.place
    if status := show_checks(content_checks(made, target)):
        print(f"nothing written: {target} would be refused, for what the lines above say")
        return status
    files.write_atomically(target, made.model_dump_json(indent=1).encode() + b"\n")
    print(f"written: {target} ({counted(len(made.values), 'value')})")
    print(
        f"public with it: {made.who}, {made.licence}, the names of the data and its categories, the names and values "
        "of its settings, names and digests of weights, digests of data and files, the version and commit of the code, "
        "the processor; no image, no path, no name of the machine"
    )
    if made.data.private:
        names = [made.data.option, *made.data.categories, *(f"{key}={value}" for key, value in made.settings.items())]
        print(f"of your private data, these become public: {printable(', '.join(names))}")
    print(
        f"give it by a pull request that adds this file; make verify-submission FILE={target} says what can be checked"
    )
    return 0
