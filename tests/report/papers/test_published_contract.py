"""What holds for every published number: known names, a source, means of what is printed, a second reading."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path

import pytest

from benchmark.core.resources import BASELINES
from benchmark.data.card import find_card
from benchmark.report.papers.published import published
from benchmark.report.papers.published_row import PublishedRow
from tests.report.papers.test_published import ROWS_OF_FILE

SECOND_READING = Path(__file__).with_name("second_reading.csv")
READ_TWICE = (
    "ader_2024", "adaclip_2024", "anomalib_readmes", "anomalyclip_2024", "anomalydino_2025", "aprilgan_2023",
    "dinomaly_2025", "musc_2024", "mvtec_ad_2_quoted", "patchcore_2022", "robis_2025", "winclip_2023",
    "winclip_caoyunkang", "winclip_zqhang",
)  # fmt: skip
NO_CARD = {"oxford_iiit_pet", "industrial_sat", "automotive_parts", "saa4", "ds_mvtec", "mmad4", "-"}
"""Datasets of published rows without a card of this name: private ones, unions, none at all."""
MEANS = {"mean", "textures5", "objects10", "texture7", "object22", "total29", "cat", "all", "average", "-"}


def identity(values: dict[str, str]) -> tuple[str, ...]:
    return tuple(values[k] for k in ("table", "dataset", "category", "method", "metric", "protocol"))


def test_datasets_and_categories_are_known_and_every_row_has_a_place() -> None:
    for row in published():
        card = find_card(row.dataset)
        assert card is not None or row.dataset in NO_CARD, row
        assert card is None or row.category in MEANS or row.category in card.categories, row
        assert row.source.strip() and row.table.strip() and "://" not in row.source, row


def test_a_quoted_number_without_a_flag_has_a_second_source() -> None:
    quoted = [r for r in published() if "quoted" in r.table and r.paper not in ("mmad_2025", "saa_plus_2023")]
    assert len(quoted) > 300
    for row in quoted:
        assert row.flag == "unreliable" or "also in" in row.note or "agree" in row.note, row


def test_printed_means_are_the_means_of_the_printed_categories() -> None:
    """Up to the last digit of the mean, and that of its categories; a dropped zero counts as a digit."""
    groups: dict[tuple[str, ...], dict[str, PublishedRow]] = defaultdict(dict)
    for row in published():
        if row.flag != "difference":
            groups[row.paper, row.table, row.dataset, row.method, row.metric, row.protocol][row.category] = row
    compared, wrong = 0, set()
    for key, group in groups.items():
        card = find_card(key[2])
        names = list(card.categories) if card is not None else []
        if not names or "mean" not in group or not group.keys() >= set(names):
            continue
        compared += 1
        digit = min(row.rounding / row.scale for row in group.values())
        if abs(sum(group[n].value for n in names) / len(names) - group["mean"].value) > 2 * digit + 1e-9:
            wrong.add((*key[:5], group["mean"].flag))
    assert compared >= 180
    assert wrong == {
        ("musc_2024", "results of the released code", "visa", "MuSc (released code)", "auroc_pixel", "inconsistent")
    }


@pytest.mark.parametrize("name", READ_TWICE)
def test_each_tenth_row_was_read_again_from_its_source(name: str) -> None:
    with (BASELINES / f"{name}.csv").open(encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    with SECOND_READING.open(encoding="utf-8") as handle:
        again = [r for r in csv.DictReader(handle) if r["file"] == f"{name}.csv"]
    assert [identity(r) for r in again] == [identity(r) for r in rows[9::10] or rows[-1:]]
    values = {identity(r): r["value"] for r in rows}
    assert all(r["outcome"] == "same" and values[identity(r)] == r["value"] for r in again)


def test_every_file_was_read_twice_or_stands_in_a_test_as_printed() -> None:
    before = {"domain_gap_2025", "iap_as_2025", "saa_plus_2023", "saa_plus_third_party", "anomalyvlm_2025", "mllm_mmad"}
    assert {Path(name).stem for name in ROWS_OF_FILE} == before | set(READ_TWICE)
