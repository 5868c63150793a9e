"""``python -m benchmark.vlm``: show, export and import stored answers."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmark.commands import reporting
from benchmark.vlm.answers import AnswerStore, Folder
from benchmark.vlm.exchange import export_answers, import_answers


@reporting
def main(arguments: list[str] | None = None) -> int:
    """Show, export or import the stored answers of vision-language models."""
    parser = argparse.ArgumentParser(prog="python -m benchmark.vlm", description=main.__doc__)
    parser.add_argument("--answers", type=Path, default=Path("results/answers"), help="folder of the answer store")
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("show", help="count answers by model and dataset")
    export = actions.add_parser("export", help="write one file: answers.jsonl or answers.jsonl.gz")
    export.add_argument("file", type=Path)
    export.add_argument("--model")
    export.add_argument("--dataset")
    actions.add_parser("import", help="take over an exported file").add_argument("file", type=Path)
    chosen = parser.parse_args(arguments)
    store = AnswerStore(chosen.answers)
    if chosen.action == "export":
        number = export_answers(store, chosen.file, model=chosen.model, dataset=chosen.dataset)
        print(f"{chosen.file}: {number} records")
    elif chosen.action == "import":
        done = import_answers(store, chosen.file)
        print(f"{done.new} new, {done.known} known; {done.kept} questions have another answer here, which stays")
    else:
        _show(store)
    return 0


def _show(store: AnswerStore) -> None:
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


if __name__ == "__main__":
    sys.exit(main())
