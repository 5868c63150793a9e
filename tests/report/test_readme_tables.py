"""Generated tables: complete, and a drift is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.cli.main import main
from benchmark.config.schema import options
from benchmark.core.errors import ConfigError
from benchmark.data.card import card_names, load_card
from benchmark.report import readme_tables


def test_committed_tables_are_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["tables", "check"])
    assert (status, capsys.readouterr().err) == (0, "")


def test_every_dataset_and_option_is_in_its_table() -> None:
    table = readme_tables.dataset_table()
    for name in card_names():
        assert f"| `{name}` | {load_card(name).title} |" in table
    assert "| 5,354 (4,096 + 1,258) |" in table
    assert {line.split("`")[1] for line in readme_tables.option_table().splitlines()[2:]} == {
        f"dataset={option}" for option in options("dataset")
    }


def test_drift_is_found_and_fixed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- datasets:begin -->\nold\n<!-- datasets:end -->\nafter\n")
    monkeypatch.setattr("benchmark.cli.words.CHECKOUT", tmp_path)
    assert main(["tables", "--check"]) == 1
    assert "out of date in README.md; run `make tables`" in capsys.readouterr().err
    assert "old" in readme.read_text()
    assert main(["tables"]) == 0
    assert main(["tables", "check"]) == 0
    text = readme.read_text()
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "old" not in text


def test_a_marker_without_end_is_refused() -> None:
    with pytest.raises(ConfigError, match="has no <!-- datasets:end -->"):
        readme_tables.render("<!-- datasets:begin -->\n")


@pytest.mark.parametrize("name", card_names())
def test_cards_say_what_a_user_must_know(name: str) -> None:
    card = load_card(name)
    assert card.traps
    assert card.citation.strip()
    assert card.layout
    assert card.images or any("not checked" in trap for trap in card.traps), "counts, or that they are not checked"
    assert all(a.sha256 or a.md5 for a in card.source.archives)
