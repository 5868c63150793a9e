"""A report draws a run once; what changed, or was damaged, is drawn anew."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.cli.main import main
from benchmark.report import decision_table
from benchmark.report import page_sections as page
from benchmark.report.kept import kept
from tests.harness import SMALL_SAT, run


def test_a_run_that_did_not_change_is_not_drawn_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "report-cache"))
    done = run(tmp_path, *SMALL_SAT, "pipeline=reference_difference", "run.gallery=0")
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "report-cache"))
    drawn: list[str] = []
    before = page.figures
    monkeypatch.setattr(page, "figures", lambda found: drawn.append("") or before(found))  # type: ignore[func-returns-value]
    words = ["report", "--results-root", str(tmp_path / "results")]
    texts = []
    for _ in range(3):
        assert main(words) == 0
        texts.append(_decisions((tmp_path / "results" / "report.html").read_text()))
    assert len(drawn) == 1 and texts[0] == texts[1] == texts[2] and "cost of an image" in texts[0]
    notes = (tmp_path / "report-cache" / "report").glob("*.json")
    (note,) = (n for n in notes if b"validation half" in n.read_bytes())  # the other is the charts' library
    note.write_bytes(note.read_bytes()[:-1] + b" ")
    assert main(words) == 0 and len(drawn) == 2
    rows = done.folder / "per_image.parquet"
    import pandas as pd

    table = pd.read_parquet(rows)
    table["image_score"] = table["image_score"] * 2
    table.to_parquet(rows, index=False)
    assert main(words) == 0 and len(drawn) == 3
    assert _decisions((tmp_path / "results" / "report.html").read_text()) != texts[0]


def _decisions(html: str) -> str:
    return html[html.index("Decisions at a threshold") :].partition("<h3>")[0]


def test_a_note_is_of_its_content_and_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    made: list[str] = []

    def make(name: str) -> list[str]:
        made.append(name)
        return [name]

    (tmp_path / "a").write_text("1")
    first = kept(make, of=(tmp_path / "a", "x"), by=(page,))
    assert kept(make, of=(tmp_path / "a", "x"), by=(page,)) == first and len(made) == 1
    kept(make, of=(tmp_path / "a", "y"), by=(page,))
    kept(make, of=(tmp_path / "a", "x"), by=(page, decision_table))
    (tmp_path / "a").write_text("2")
    kept(make, of=(tmp_path / "a", "x"), by=(page,))
    assert len(set(made)) == 4


@pytest.mark.parametrize("content", [b"", b"\n", b"0\n{}", b"\xff" * 90, b"e3b0c442\n"])
def test_a_damaged_note_is_made_anew(content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    assert kept(lambda name: 7, of=("x",), by=(page,)) == 7
    (note,) = (tmp_path / "report").iterdir()
    note.write_bytes(content)
    assert kept(lambda name: 8, of=("x",), by=(page,)) == 8


def test_a_cache_that_cannot_be_written_costs_only_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "file"))
    assert kept(lambda name: 7, of=("x",), by=(page,)) == 7
