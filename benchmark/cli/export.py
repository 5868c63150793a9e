"""``export``: finished runs in the forms of other places. Predictions are exported by ``run.export``."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from benchmark.cli.words import ResultsFolder, path, written_below

MOST_LETTERS = 200
"""Of a file's name; file systems take 255 bytes."""


def export(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Runs: folder, id, or the beginning of it.")],
    *,
    form: Annotated[Literal["csv", "huggingface"], typer.Option(help="One table, or eval.yaml and .eval_results.")],
    dataset_id: Annotated[
        str | None, typer.Option(help="Repository owner/name of the benchmark, for form=huggingface.")
    ] = None,
    url: Annotated[str | None, typer.Option(help="Where the numbers can be read, for form=huggingface.")] = None,
    user: Annotated[str | None, typer.Option(help="Your name on the hub, for form=huggingface.")] = None,
    results_root: ResultsFolder = Path("results"),
    out: Annotated[Path | None, typer.Option(parser=path, help="Folder.", show_default="exports beside runs")] = None,
) -> int:
    """Write results for other places: export sat-patchcore form=csv, form=huggingface dataset_id=OWNER/NAME."""
    from pydantic import ValidationError

    from benchmark.core.errors import ConfigError
    from benchmark.report import result_forms
    from benchmark.report.compare import choose_run
    from benchmark.results import files

    found = [files.read_result(choose_run(run, results_root)) for run in runs]
    folder = out or written_below(results_root) / "exports"
    if form == "huggingface" and out is None:
        folder /= found[0].id
    written: dict[Path, str] = {}
    if form == "csv":
        written[folder / f"{_name([result.id for result in found])}.csv"] = result_forms.as_csv(found)
    else:
        if dataset_id is None or len(found) != 1:
            raise ConfigError(
                "form=huggingface takes one run and dataset_id=OWNER/NAME, the dataset repository on the hub that is "
                "to hold eval.yaml"
            )
        try:
            entries = result_forms.entries_of(found[0], dataset=dataset_id, url=url, user=user)
        except ValidationError:
            raise ConfigError(f"dataset_id={dataset_id}: a repository on the hub is written OWNER/NAME") from None
        name = f"{found[0].data_label}-{found[0].choices['pipeline']}.yaml"
        written[folder / "eval.yaml"] = result_forms.as_yaml(result_forms.benchmark_of(found[0]))
        written[folder / ".eval_results" / name] = result_forms.as_yaml(entries)
    for place, text in written.items():
        other = place.is_file() and place.read_bytes() != text.encode()
        files.write_atomically(place, text.encode())
        print(f"{'written in place of another content' if other else 'written'}: {place}")
    if form == "huggingface":
        print(f"eval.yaml belongs into the dataset repository {dataset_id}, .eval_results into that of the model")
    return 0


def _name(ids: Sequence[str]) -> str:
    """Return the name of a file of these runs; one of very many runs ends with a digest of their ids."""
    name = "+".join(ids)
    if len(name) <= MOST_LETTERS:
        return name
    return f"{ids[0]}+{len(ids) - 1}-more-{hashlib.sha256(name.encode()).hexdigest()[:12]}"
