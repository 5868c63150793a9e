"""``answers``: the stored answers of vision-language models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmark.cli.words import Command, RunsFolder, path
from benchmark.core.text import counted

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="The stored answers of vision-language models: show, export, import.",
)


@app.callback()
def _store(
    context: typer.Context,
    results_root: RunsFolder = Path("results"),
    answers: Annotated[
        Path | None, typer.Option(parser=path, help="Folder of the answer store.", show_default="RESULTS_ROOT/answers")
    ] = None,
) -> None:
    context.obj = answers or results_root / "answers"


@app.command("show", cls=Command)
def show(context: typer.Context) -> None:
    """Count answers by model and dataset."""
    from benchmark.chat.answers import AnswerStore, Folder

    store = AnswerStore(context.obj)
    costs: dict[tuple[str, str, str], list[float]] = {}
    folders: tuple[Folder, ...] = ("answers", "misses")
    for folder in folders:
        for record in store.records(folder):
            group = (str(record.request.get("model")), record.dataset, folder)
            costs.setdefault(group, []).append(record.cost_usd or 0.0)
    for (model, dataset, where), paid in sorted(costs.items()):
        print(f"{model}  {dataset}  {len(paid)} {where}  {sum(paid):.4f} USD")
    if not costs:
        print(f"{store.root} holds no answers")


@app.command("export", cls=Command)
def export(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(parser=path, help="answers.jsonl or answers.jsonl.gz")],
    model: Annotated[str | None, typer.Option(help="Only answers of this model.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Only answers on this dataset.")] = None,
) -> None:
    """Write the answers into one file, for others to score without a key."""
    from benchmark.chat.answers import AnswerStore
    from benchmark.chat.exchange import export_answers

    print(f"{file}: {export_answers(AnswerStore(context.obj), file, model=model, dataset=dataset)} records")


@app.command("import", cls=Command)
def import_file(
    context: typer.Context, file: Annotated[Path, typer.Argument(parser=path, help="An exported file.")]
) -> None:
    """Take over an exported file."""
    from benchmark.chat.answers import AnswerStore
    from benchmark.chat.exchange import import_answers

    done = import_answers(AnswerStore(context.obj), file)
    print(
        f"{done.new} new, {done.known} known; {counted(done.kept, 'question has', 'questions have')} "
        f"another answer here, which stays"
    )
