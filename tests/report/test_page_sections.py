"""The report's file: reproduced tables, what pipelines count, pictures, and runs that cannot be read."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmark.cli.main import main
from benchmark.core.errors import ResultsError
from benchmark.report import page as report
from benchmark.report.page_gallery import collect
from benchmark.results import files
from benchmark.results.gallery import GALLERY
from benchmark.results.rows import per_image


def test_reproduced_tables_stand_in_the_page(root: Path, tmp_path: Path) -> None:
    from benchmark.report.papers.cell_plan import Planned
    from benchmark.report.papers.paper import cells, load_paper
    from benchmark.report.papers.paper_table import write_table

    paper = load_paper("iap_as")
    table = paper.tables["1"]
    write_table(tmp_path, "t", paper, table, [Planned(cell=c) for c in cells(paper, table)])
    html = report.build(report.find_runs(root), [], papers=[tmp_path / "t.csv"])
    assert "0 of 98 numbers are ours" in html
    assert html.count("published value inconsistent") == 6
    assert "31.43 %" in html and "not run yet" in html


def test_what_a_pipeline_counts_is_summed(root: Path, tmp_path: Path) -> None:
    folder = next(f for f, r in report.find_runs(root) if r.choices["dataset"] == "folder")
    shutil.copytree(folder, tmp_path / "run")
    table = files.read_rows(folder).assign(cost_usd=0.25, prompt_tokens=[100, None, 100, 100, 100, 100, 100])
    table = table.assign(raw=b"x", nested=[{"deep": float("inf")}] * 7)  # of another program, and no JSON
    table.to_parquet(tmp_path / "run" / files.ROWS, index=False)
    html = report.build([(tmp_path / "run", files.read_result(folder))], [])
    assert "'deep': inf" in html
    html = html.replace("\\u003c", "<").replace("\\u003e", ">")  # what is inside a run is made when it is opened
    assert "cost_usd, all images</dt><dd>1.75" in html
    assert "prompt_tokens, all images</dt><dd>600" in html


def test_pictures_stay_below_the_limit_and_the_page_says_so(root: Path) -> None:
    runs = [r for r in report.find_runs(root) if r[1].choices["dataset"] == "folder"]
    whole = collect(runs, limit=10**9)
    assert (whole.shown, whole.total) == (7, 7)
    part = collect(runs, limit=whole.size // 2)
    assert 0 < part.shown < 7
    assert part.size <= whole.size // 2 + whole.size // 7
    assert f"{part.shown} of 7 images" in report.build(runs, [], megabytes=whole.size / 2e6)
    assert {r["quality"] for r in per_image(runs[0][0])} != {0.0}


def test_a_run_without_pictures_and_an_unreadable_one_are_no_obstacle(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(root / "runs", tmp_path / "runs")
    for path in (tmp_path / "runs").glob(f"*/{GALLERY}"):
        path.unlink()
    broken = tmp_path / "runs" / "broken"
    broken.mkdir()
    (broken / files.RESULT).write_text("{}")
    assert main(["report", "--results-root", str(tmp_path)]) == 0
    assert "left out" in capsys.readouterr().err
    assert 'id="gallery"' not in (tmp_path / "report.html").read_text()
    with pytest.raises(ResultsError, match="make bench"):
        report.find_runs(tmp_path / "nowhere")
