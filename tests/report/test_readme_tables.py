"""Generated tables: complete, and a drift is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.cli.main import main
from benchmark.config.options import options
from benchmark.core.errors import ConfigError
from benchmark.data.card import card_names, load_card
from benchmark.report import readme_tables
from benchmark.running.reference import default_table, results_table


def test_committed_tables_are_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["tables", "check"])
    assert (status, capsys.readouterr().err) == (0, "")


def test_every_dataset_and_option_is_in_its_table() -> None:
    table = readme_tables.dataset_table()
    for name in card_names():
        assert f"| `{name}` | {load_card(name).title} |" in table
    assert "| 5,354 (4,096 + 1,258) |" in table
    assert {line.split("`")[1] for line in readme_tables.options_table("dataset", "dataset=").splitlines()[2:]} == {
        f"dataset={option}" for option in options("dataset")
    }


def test_what_is_in_it_is_counted() -> None:
    rows = {line.split("[")[1].split("]")[0]: line for line in readme_tables.contents_table().splitlines()[2:]}
    assert f"| {len(card_names())} |" in rows["datasets"] and f"| {len(options('pipeline'))} |" in rows["pipelines"]
    assert "patchcore" in rows["pipelines"] and "saa_plus" not in rows["pipelines"], "a preset of another"
    assert "domain_gap" in rows["papers to reproduce"]
    assert "`SWEEP=smoothing` | How much" in readme_tables.options_table("sweep", "SWEEP="), "not the package line"


def test_drift_is_found_and_fixed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- datasets:begin -->\nold\n<!-- datasets:end -->\nafter\n")
    page = tmp_path / "docs" / "results.md"
    page.parent.mkdir()
    page.write_text("<!-- bench:begin --><!-- bench:end --><!-- results:begin -->\nold\n<!-- results:end -->")
    monkeypatch.setattr("benchmark.cli.words.CHECKOUT", tmp_path)
    assert main(["tables", "--check"]) == 1
    assert "out of date in README.md, docs/results.md; run `make tables`" in capsys.readouterr().err
    assert "old" in readme.read_text()
    assert main(["tables"]) == 0
    assert main(["tables", "check"]) == 0
    text = readme.read_text()
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "old" not in text
    assert default_table() in page.read_text() and results_table() in page.read_text()


def test_a_marker_without_end_is_refused() -> None:
    with pytest.raises(ConfigError, match="has no <!-- datasets:end -->"):
        readme_tables.render("<!-- datasets:begin -->\n", readme_tables.BLOCKS)


@pytest.mark.parametrize("name", card_names())
def test_cards_say_what_a_user_must_know(name: str) -> None:
    card = load_card(name)
    assert card.traps
    assert card.citation.strip()
    assert card.layout
    assert card.images or any("not checked" in trap for trap in card.traps), "counts, or that they are not checked"
    assert all(a.sha256 or a.md5 for a in card.source.archives)
