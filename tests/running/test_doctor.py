"""The doctor: tells what is here, and never a secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.cli.main import main
from benchmark.core import provenance
from benchmark.data.card import card_names
from benchmark.running import doctor
from benchmark.weights import find, names
from tests.harness import places

LOCK = """\
# a comment with a==b
numpy==2.4.6 ; python_full_version >= '3.0' \\
    --hash=sha256:00
numpy==1.0.0 ; python_full_version < '3.0' \\
    --hash=sha256:00
open-clip-torch==3.3.0 \\
    --hash=sha256:00
"""


def test_pins_are_those_of_this_python(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text(LOCK)
    assert doctor.locked_versions(tmp_path / "lock") == {"numpy": "2.4.6", "open-clip-torch": "3.3.0"}
    assert doctor.locked_versions(tmp_path / "none") == {}


def test_a_version_that_is_not_the_pinned_one_is_named(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("numpy==0.0.1 \\\n")
    remarks = {name: remark for name, _, remark in doctor.packages(tmp_path / "lock")}
    assert "the lock has 0.0.1" in remarks["numpy"]
    assert set(remarks) == set(provenance.PACKAGES)


def test_missing_data_and_weights_have_their_commands(tmp_path: Path) -> None:
    found = {name: (state, command) for name, state, command in doctor.datasets(tmp_path, deep=False)}
    assert set(found) == set(card_names())
    assert found["mvtec"] == ("not here", "make data DATASET=mvtec")
    assert found["sat"] == ("generated on first use", "")
    states = {name: state for name, state, _ in doctor.weights(tmp_path, deep=False)}
    assert set(states) == set(names())
    assert states.pop("efficientnet_lite0_imagenet") == "embedded, size as published"
    assert set(states.values()) == {"not here"}


def test_damaged_weights_are_found_by_size_and_by_checksum(tmp_path: Path) -> None:
    def state(*, deep: bool) -> str:
        return next(s for name, s, _ in doctor.weights(tmp_path, deep=deep) if name == "mobile_sam")

    file = tmp_path / "mobile_sam.pt"
    file.write_bytes(b"not the weights")
    assert state(deep=False) == "wrong size: mobile_sam.pt"
    assert "has 15 bytes" in state(deep=True)
    with file.open("r+b") as grown:
        grown.truncate(find("mobile_sam").files[0].size)
    assert state(deep=False) == "here, size as published"
    assert "has sha256" in state(deep=True)


@pytest.mark.slow
def test_every_table_of_every_paper_is_listed(tmp_path: Path) -> None:
    found = {
        (paper, table): ready
        for paper, table, ready, _ in doctor.tables([*places(tmp_path), f"run.weights_root={tmp_path / 'w'}"])
    }
    assert {("domain_gap", "1"), ("domain_gap", "2"), ("iap_as", "1"), ("iap_as", "3")} <= set(found)
    ready, total = found["domain_gap", "2"].split(" of ")
    assert 1 <= int(ready) < int(total)  # the constant answers over generated images
    assert found["iap_as", "3"].startswith("0 of")


def test_the_command_prints_all_parts_and_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", "very-secret-value")
    assert main(["doctor", *places(tmp_path)]) == 0
    said = capsys.readouterr().out
    for part in ("machine", "packages", "places", "datasets", "weights", "tables of papers", "GEMINI_API_KEY"):
        assert part in said
    assert "very-secret-value" not in said
    assert main(["doctor", "run.data_rot=x"]) == 1
    assert "data_root" in capsys.readouterr().err


def test_data_that_are_here_are_counted(real_data: Path) -> None:
    found = {name: state for name, state, _ in doctor.datasets(real_data, deep=False)}
    assert found["mtd"] == "complete: 1344 images, counts as the card says"
    assert found["ksdd1"].startswith("partial: 80 images")
