"""Tables of papers: complete on a clean machine, filled where data and weights are, honest about the rest."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark.config.compose import compose
from benchmark.config.options import options
from benchmark.config.schema import build
from benchmark.core.errors import ConfigError
from benchmark.core.table import markdown
from benchmark.data.card import find_card
from benchmark.report.page_published import published_cell
from benchmark.report.papers.availability import Missing, extras_for, holds_data
from benchmark.report.papers.cell_plan import Planned, plan, seconds_per_image
from benchmark.report.papers.paper import (
    Cell,
    DataRow,
    Method,
    Paper,
    PaperTable,
    Part,
    TableMetric,
    cells,
    load_paper,
    paper_names,
)
from benchmark.report.papers.paper_table import layout, long_form, numbers, write_table
from benchmark.report.papers.published import find, published
from benchmark.report.tables import _published
from benchmark.running.reproduce import reproduce, run_cells
from tests.harness import ROOT, places

SMALL = ("dataset=sat", "dataset.n_good=6", "dataset.n_defective=6", "dataset.n_train=4", "dataset.size=64")


def small_table() -> tuple[Paper, PaperTable]:
    """A table in the shape of the domain-gap paper's second one, over generated images."""
    table = PaperTable(
        title="Table 2",
        published=("Table 2",),
        protocol="domain_gap",
        methods_on="columns",
        metrics=(TableMetric(name="F2", ours="f2", published="f2"),),
        methods=(
            Method(name="basic", published="Gemini 2.5 Pro (basic prompt)", pipeline="constant"),
            Method(name="good", pipeline="constant", overrides=("pipeline.policy=always_good",)),
            Method(name="other", pipeline="no_such_pipeline"),
        ),
        rows=(
            DataRow(name="private", dataset="industrial_sat", category="all", private=True),
            DataRow(name="stand-in", dataset="mvtec", category="textures5", overrides=SMALL, note="generated images"),
            DataRow(name="absent", dataset="mvtec", category="textures5", overrides=("dataset=mvtec",)),
            DataRow(name="mean of all", parts=(Part(row="stand-in"),)),
        ),
    )
    return Paper(key="domain_gap_2025", title="Paper", tables={"2": table}), table


def by_name(planned: list[Planned]) -> dict[tuple[str, str], Planned]:
    return {(p.cell.row.name, p.cell.method.name): p for p in planned}


def test_every_table_has_the_cells_of_its_paper() -> None:
    for name in paper_names():
        paper = load_paper(name)
        shown = {r for table in paper.tables.values() for c in cells(paper, table) for r in c.published if r}
        assert shown, name
        assert {r.paper for r in shown} == {paper.key}
    for name, table, metric, category in (
        ("domain_gap", "Table 1", None, None),
        ("domain_gap", "Table 2", None, None),
        ("iap_as", "Table 1", None, None),
        ("iap_as", "Table 3", None, None),
        ("saa_plus", "Table 1", "f1_max_pixel", None),
        ("winclip", "4-shot", None, "mean"),
        ("musc", "results of the released code", None, "mean"),
        ("anomalydino", "16-shot, quoted", None, "mean"),
    ):
        paper = load_paper(name)
        shown = {r for t in paper.tables.values() for c in cells(paper, t) for r in c.published if r}
        printed = set(find(paper=paper.key, table=table, metric=metric, category=category))
        assert printed and printed <= shown, (name, table)


def test_datasets_and_protocols_of_the_tables_exist() -> None:
    for name in paper_names():
        paper = load_paper(name)
        for table in paper.tables.values():
            assert table.protocol in options("protocol")
            for row in table.rows:
                assert row.private or row.parts or row.overrides[0].removeprefix("dataset=") in options("dataset")
                for part in row.parts:
                    assert part.row in {r.name for r in table.rows}


SLOW = {"iap_as", "saa_plus", "anomalyvlm", "anomalydino", "musc", "winclip"}
"""Papers of many cells."""


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow if n in SLOW else ()) for n in paper_names()])
def test_every_cell_whose_pipeline_exists_composes(name: str) -> None:
    paper = load_paper(name)
    composed = 0
    for table in paper.tables.values():
        for cell in cells(paper, table):
            if cell.overrides and cell.method.pipeline in options("pipeline"):
                build(*compose(list(cell.overrides)))
                composed += 1
    assert composed or name == "iap_as"


def test_a_clean_machine_gets_the_whole_table_with_reasons(tmp_path: Path) -> None:
    words = [w for w in places(tmp_path) if not w.startswith("tracking")]
    done = subprocess.run(
        [sys.executable, "-m", "benchmark", "reproduce", "domain_gap", "1", *words,
         f"run.weights_root={tmp_path / 'w'}"],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for value in ("paper 0.13", "paper 0.05", "paper 0.19", "paper 0.52", "paper 0.80", "paper 0.65", "paper 0.77"):
        assert value in done.stdout
    assert "private dataset" in done.stdout
    assert "make data DATASET=mvtec" in done.stdout
    assert "make data DATASET=pets" in done.stdout
    assert "another dataset" in done.stdout
    assert "torch" not in done.stderr
    with (tmp_path / "results" / "papers" / "domain_gap-table-1.csv").open(encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    assert len(rows) == 16
    assert all(row["ours"] == "" and row["reason"] for row in rows)
    assert sum(row["published"] != "" for row in rows) == 12
    assert not (tmp_path / "results" / "runs").exists()


def test_cells_say_in_one_phrase_what_is_missing(tmp_path: Path) -> None:
    paper, table = small_table()
    found = by_name([plan(cell, extra=places(tmp_path)) for cell in cells(paper, table)])
    assert found["private", "basic"].missing == Missing(phrase="private dataset")
    assert found["stand-in", "basic"].missing is None
    assert found["stand-in", "basic"].n_images == 12
    missing = found["absent", "basic"].missing
    assert missing == Missing(phrase="data missing: mvtec", fix="make data DATASET=mvtec")
    other = found["stand-in", "other"].missing
    assert other is not None and "no pipeline no_such_pipeline" in other.phrase
    assert all("\n" not in p.missing.phrase for p in found.values() if p.missing)


def test_a_folder_with_its_card_alone_holds_no_data(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "mvtec"
    assert not holds_data(folder)
    folder.mkdir(parents=True)
    (folder / "card.yaml").write_text("name: mvtec")
    assert not holds_data(folder)
    paper, table = small_table()
    cell = next(c for c in cells(paper, table) if c.row.name == "absent")
    assert plan(cell, extra=places(tmp_path)).missing == Missing(
        phrase="data missing: mvtec", fix="make data DATASET=mvtec"
    )
    (folder / "carpet").mkdir()
    assert holds_data(folder)
    missing = plan(cell, extra=places(tmp_path)).missing
    assert missing is not None and missing.fix == "make data DATASET=mvtec ARGS=verify"


def test_missing_weights_name_their_command(tmp_path: Path) -> None:
    paper, table = small_table()
    method = Method(name="supervised", pipeline="resnet_mlp")
    cell = next(cells(paper, table.model_copy(update={"methods": (method,), "rows": table.rows[1:2]})))
    assert plan(cell, extra=places(tmp_path)).missing is None  # its weights are embedded
    method = Method(name="supervised", pipeline="resnet_mlp", overrides=("backbone@pipeline.backbone=resnet50",))
    cell = next(cells(paper, table.model_copy(update={"methods": (method,), "rows": table.rows[1:2]})))
    found = plan(cell, extra=[*places(tmp_path), f"run.weights_root={tmp_path / 'none'}"])
    assert found.missing is not None
    assert found.missing.phrase.startswith("weights missing: resnet50")
    assert found.missing.fix == "make weights PIPELINE=resnet50_imagenet"
    assert plan(cell, extra=[*places(tmp_path), "resnet_mlp.backbone.weights=random"]).missing is None


def test_cells_are_run_once_and_the_rest_keeps_its_reason(tmp_path: Path) -> None:
    paper, table = small_table()
    extra = places(tmp_path)
    planned = reproduce(paper, table, name="small", dry=False, extra=extra)
    found = by_name(planned)
    assert found["stand-in", "basic"].result is not None
    values = {(n.row, n.method): n for n in numbers(table, planned)}
    one = values["stand-in", "basic"]
    assert one.ours == pytest.approx(5 * 6 / (5 * 6 + 6))  # six of twelve are defective and all are called so
    assert one.published is not None and one.difference == pytest.approx(one.ours - 0.99)
    assert one.protocol == "in part"
    assert values["stand-in", "good"].ours == 0.0
    assert values["private", "basic"].ours is None
    assert values["mean of all", "basic"].ours == one.ours
    assert values["absent", "basic"].ours is None and values["absent", "basic"].fix == "make data DATASET=mvtec"
    text = "\n".join("\t".join(row) for row in layout(paper, table, planned).rows)
    assert "paper 0.99" in text and "paper 0.37" in text
    again = by_name(run_cells(planned, name="small", extra=extra))
    for key in (("stand-in", "basic"), ("stand-in", "good")):
        first, second = found[key].result, again[key].result
        assert first is not None and second is not None and first.digest == second.digest


def test_a_failing_cell_leaves_the_others_alone(tmp_path: Path) -> None:
    paper, table = small_table()
    broken = Method(name="broken", pipeline="reference_difference", overrides=("pipeline.reference=nowhere.png",))
    table = table.model_copy(update={"methods": (broken, table.methods[0]), "rows": table.rows[1:2]})
    found = by_name(reproduce(paper, table, name="broken", dry=False, extra=places(tmp_path)))
    missing = found["stand-in", "broken"].missing
    assert missing is not None and missing.phrase.startswith("failed: ") and "nowhere.png" in missing.phrase
    assert found["stand-in", "basic"].result is not None


def test_partial_runs_and_flagged_values_give_no_difference(tmp_path: Path) -> None:
    paper, table = small_table()
    table = table.model_copy(update={"methods": table.methods[:1], "rows": table.rows[1:2]})
    planned = reproduce(paper, table, name="part", dry=False, extra=[*places(tmp_path), "run.limit=4"])
    (one,) = numbers(table, planned)
    assert one.ours is not None and one.images == "4 of 12" and one.difference is None
    assert "4 of 12 images" in layout(paper, table, planned).rows[0][1]
    paper = load_paper("iap_as")
    table = paper.tables["1"]
    every = numbers(table, [Planned(cell=c) for c in cells(paper, table)])
    flagged = [n for n in every if n.published is not None and not n.published.usable]
    assert len(flagged) == 6
    text = "".join("".join(r) for r in layout(paper, table, [Planned(cell=c) for c in cells(paper, table)]).rows)
    assert text.count("(inconsistent)") == 6


def test_settings_of_one_pipeline_reach_its_cells_alone() -> None:
    cell = Cell(row=DataRow(name="r"), method=Method(name="m", pipeline="constant"), overrides=(), published=())
    extra = ["run.limit=3", "constant.policy=prevalence", "resnet_mlp.backbone.weights=random"]
    assert extras_for(cell, extra) == ["run.limit=3", "pipeline.policy=prevalence"]
    cell = Cell(row=DataRow(name="r"), method=Method(name="m"), overrides=("dataset=sat",), published=())
    assert extras_for(cell, ["sat.size=64", "mtd.allow_partial=true"]) == ["dataset.size=64"]


def test_a_dry_run_lists_cells_and_expected_cost_and_runs_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmark.report.papers.paper_table import show_plan

    paper, table = small_table()
    planned = reproduce(paper, table, name="small", dry=True, extra=places(tmp_path))
    assert all(p.result is None for p in planned)
    show_plan(paper, table, planned)
    said = capsys.readouterr().out
    assert "2 of 12 cells can be run: 24 predictions" in said
    assert "no earlier run to estimate from" in said
    reproduce(paper, table, name="small", dry=False, extra=places(tmp_path))
    assert seconds_per_image(tmp_path / "results", "constant") is not None
    planned = reproduce(paper, table, name="small", dry=True, extra=places(tmp_path))
    assert [p.seconds is not None for p in planned] == [p.n_images is not None for p in planned]


def test_tables_are_written_in_three_formats(tmp_path: Path) -> None:
    paper, table = small_table()
    planned = [Planned(cell=c) for c in cells(paper, table)]
    write_table(tmp_path, "t", paper, table, planned)
    assert {p.suffix for p in tmp_path.iterdir()} == {".md", ".tex", ".csv"}
    assert len(long_form(paper, table, planned).rows) == len(planned)


def test_unknown_papers_and_tables_name_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="domain_gap"):
        load_paper("domain_gab")
    assert all(r.protocol for r in published())


def test_a_row_that_names_a_number_of_categories_averages_so_many() -> None:
    """Checked against the cards: SAA+ counts MTD as one category, AnomalyVLM as its defect types."""
    counted = 0
    for table in (t for name in paper_names() for t in load_paper(name).tables.values()):
        rows = {row.name: row for row in table.rows}
        for row in table.rows:
            stated = re.search(r"\((\d+) categories\)", row.name)
            if stated:
                assert sum(len(averaged(part, rows[part.row])) for part in row.parts) == int(stated[1]), row.name
                counted += 1
    assert counted >= 7


def averaged(part: Part, row: DataRow) -> list[str]:
    """Categories of a row that its part of a mean takes; each exists, and has defects to find."""
    settings = compose(list(row.overrides))[0]["dataset"]
    card = find_card(settings["name"])
    assert card is not None
    known = [settings["name"]] if settings["unit"] == "dataset" else list(card.categories)
    wanted = list(part.categories or known)
    assert set(wanted) <= set(known)
    return wanted


def test_anomalyvlm_stands_beside_the_methods_of_its_table() -> None:
    table = load_paper("anomalyvlm").tables["1"]
    assert {m.pipeline for m in table.methods} == {"winclip", "clipseg", "utad", "patchcore", "anomalyvlm"}
    text = markdown(
        layout(load_paper("anomalyvlm"), table, [Planned(cell=c) for c in cells(load_paper("anomalyvlm"), table)])
    )
    assert "paper 24.7 (derived)" in text and "paper 35.8<br>" not in text


def test_every_flag_of_a_published_number_is_printed_with_it() -> None:
    for row in published():
        assert row.remark == (f" ({row.flag})" if row.flag else "")
    assert _published(find(paper="anomalyvlm_2025", method="UTAD")) == "24.7 % anomalyvlm_2025 (derived)"
    assert published_cell(find(paper="anomalyvlm_2025", method="UTAD")[0])[2] == "derived"
