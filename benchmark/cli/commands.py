"""All commands but ``run`` and ``sweep`` as one Typer application."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import metadata
from typing import Annotated

import typer

from benchmark.cli import (
    answers,
    cache,
    compare,
    data,
    decide,
    doctor,
    export,
    latency,
    predict,
    reference,
    report,
    reproduce,
    rows,
    submit,
    tables,
    track,
    ui,
    verify_submission,
    weights,
)
from benchmark.cli.words import Command
from benchmark.core.commands import fail

DISTRIBUTION = "fm-defect-bench"

app = typer.Typer(
    name=DISTRIBUTION,
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="A reproducible benchmark harness for foundation-model defect inspection.",
    epilog="key=value words alone are a run: fm-defect-bench dataset=mtd pipeline=constant",
)


def _print_version(asked: bool) -> None:
    if asked:
        print(DISTRIBUTION, metadata.version(DISTRIBUTION))
        raise typer.Exit


@app.callback()
def _all(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command("run", add_help_option=False)
def _run() -> None:
    """Run one dataset × pipeline: run dataset=mtd pipeline=resnet_mlp (run --help lists every option and key)."""


@app.command("sweep", add_help_option=False)
def _sweep() -> None:
    """Run many points: sweep pipeline.smoothing=0,1,2 (or +sweep=PRESET)."""


for name, function in (
    ("reproduce", reproduce.reproduce),
    ("compare", compare.compare),
    ("decide", decide.decide),
    ("rows", rows.rows),
    ("predict", predict.predict),
    ("latency", latency.latency),
    ("submit", submit.submit),
    ("verify-submission", verify_submission.verify_submission),
    ("export", export.export),
    ("report", report.report),
    ("doctor", doctor.doctor),
    ("data", data.data),
    ("weights", weights.weights),
    ("track", track.track),
    ("ui", ui.ui),
    ("tables", tables.tables),
    ("reference", reference.reference),
):
    app.command(name, cls=Command)(function)
app.add_typer(answers.app, name="answers")
app.add_typer(cache.app, name="cache")


def call(words: Sequence[str]) -> int:
    """Carry out a command line that begins with a command; returns the exit status."""
    try:
        status = typer.main.get_command(app).main(list(words), prog_name=DISTRIBUTION, standalone_mode=False)
    except typer.TyperException as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            print(error.format_message())
            return 0
        return fail(error.format_message(), status=error.exit_code)
    return int(status or 0)
