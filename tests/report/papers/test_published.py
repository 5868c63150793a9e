"""The published numbers: complete, valid, equal to what was printed, and flagged where arithmetic refutes them."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.core.errors import ResultsError
from benchmark.core.resources import BASELINES
from benchmark.report.papers.consistency import ap_bound, ap_bound_of_mean, impossible_pairs, wrong_totals
from benchmark.report.papers.published import COLUMNS, find, protocols, published

ROWS_OF_FILE = {
    "domain_gap_2025.csv": 17,
    "iap_as_2025.csv": 96,
    "saa_plus_2023.csv": 109,
    "saa_plus_third_party.csv": 298,
    "anomalyvlm_2025.csv": 16,
    "mllm_mmad.csv": 40,
    "winclip_2023.csv": 200,
    "winclip_zqhang.csv": 1015,
    "winclip_caoyunkang.csv": 116,
    "aprilgan_2023.csv": 64,
    "anomalyclip_2024.csv": 184,
    "adaclip_2024.csv": 7,
    "anomalydino_2025.csv": 94,
    "musc_2024.csv": 245,
    "patchcore_2022.csv": 156,
    "ader_2024.csv": 32,
    "anomalib_readmes.csv": 96,
    "dinomaly_2025.csv": 266,
    "robis_2025.csv": 180,
    "mvtec_ad_2_quoted.csv": 26,
}

# IAP-AS, PAKDD 2025, Table 1, as printed: AP and F1-max for CLIPseg, WinCLIP, SDP, SAA+, EVF-SAM, IAP-AS.
IAP_METHODS = ("CLIPSeg", "WinCLIP", "SDP", "SAA+", "EVF-SAM", "IAP-AS")
IAP_TABLE_1 = {
    "mvtec": ("20.08 17.77 30.60 28.83 6.67 31.43", "24.06 24.76 1.80 37.70 13.01 40.13"),
    "mpdd": ("11.27 13.36 14.70 8.68 12.55 13.38", "14.75 14.73 2.30 17.27 21.89 24.01"),
    "btad": ("5.76 8.70 21.80 5.96 4.82 16.97", "12.25 14.63 2.60 12.35 9.33 25.62"),
    "ksdd1": ("4.12 1.54 9.30 12.18 0.09 13.91", "8.85 3.73 6.50 17.90 0.32 22.63"),
    "mtd": ("6.75 3.27 6.90 27.39 2.38 27.77", "9.43 8.48 14.00 37.27 5.09 41.63"),
    "dtd_synthetic": ("19.75 9.96 37.70 50.10 4.54 49.23", "23.77 16.60 16.70 62.29 9.32 60.33"),
    "dagm": ("20.94 17.05 14.20 22.72 2.92 24.03", "25.82 25.56 6.70 33.82 5.62 34.68"),
}
# IAP-AS, PAKDD 2025, Table 3, as printed: X or O for tagging, LLM prompting, filtering; AP; F1-max.
IAP_TABLE_3 = """\
X X X 12.67 24.73
O X X 17.49 28.21
O O X 20.14 33.08
X O X 21.25 33.66
X O O 21.84 34.06
O O O 31.43 40.13"""
# arXiv 2509.20479, Table 1, as printed: IoU of GroundingDINO + SAM, SAM + CLIP, CLIP Surgery + SAM, SAA+.
DOMAIN_GAP_METHODS = ("GroundingDINO+SAM", "SAM+CLIP", "CLIP Surgery+SAM", "SAA+")
DOMAIN_GAP_TABLE_1 = {
    "industrial_sat": "0.00 0.00 0.00 0.00",
    "mvtec": "0.13 0.05 0.19 0.52",
    "oxford_iiit_pet": "0.80 0.65 0.78 0.77",
}
# arXiv 2305.10724v1, Table 1, F1-max over pixels: VisA, MVTec AD, KSDD2, MTD.
SAA_TABLE_1 = {
    "SAA": "12.76 23.44 8.79 14.78",
    "SAA+": "27.07 39.40 59.19 35.40",
}


def printed(**columns: str) -> str:
    rows = find(**columns)
    assert len(rows) == 1, (columns, rows)
    return rows[0].printed


def test_every_file_has_its_rows_and_nothing_else_lies_there() -> None:
    counted = {p.name: sum(1 for _ in csv.DictReader(p.open(encoding="utf-8"))) for p in BASELINES.glob("*.csv")}
    assert counted == ROWS_OF_FILE
    assert len(published()) == sum(ROWS_OF_FILE.values())


@pytest.mark.parametrize("dataset", IAP_TABLE_1)
def test_iap_as_table_1_is_as_printed(dataset: str) -> None:
    for metric, line in zip(("ap_pixel", "f1_max_pixel"), IAP_TABLE_1[dataset], strict=True):
        for method, value in zip(IAP_METHODS, line.split(), strict=True):
            cell = {"dataset": dataset, "method": method, "metric": metric}
            assert printed(paper="iap_as_2025", table="Table 1", **cell) == value


def test_iap_as_table_3_is_as_printed() -> None:
    for line in IAP_TABLE_3.splitlines():
        *marks, ap, f1 = line.split()
        tagging, prompt, size = (int(m == "O") for m in marks)
        method = f"IAP-AS[tagging={tagging},llm_prompt={prompt},size_filter={size}]"
        assert printed(table="Table 3", method=method, metric="ap_pixel") == ap
        assert printed(table="Table 3", method=method, metric="f1_max_pixel") == f1


@pytest.mark.parametrize("dataset", DOMAIN_GAP_TABLE_1)
def test_domain_gap_table_1_is_as_printed(dataset: str) -> None:
    for method, value in zip(DOMAIN_GAP_METHODS, DOMAIN_GAP_TABLE_1[dataset].split(), strict=True):
        assert printed(paper="domain_gap_2025", table="Table 1", dataset=dataset, method=method) == value


def test_domain_gap_classification_is_as_printed() -> None:
    cells = {
        ("industrial_sat", "basic"): "0.37", ("industrial_sat", "refined"): "0.31",
        ("mvtec", "basic"): "0.99", ("mvtec", "refined"): "0.92",
    }  # fmt: skip
    for (dataset, prompt), value in cells.items():
        cell = {"dataset": dataset, "method": f"Gemini 2.5 Pro ({prompt} prompt)"}
        assert printed(paper="domain_gap_2025", table="Table 2", **cell) == value
    assert printed(paper="domain_gap_2025", method="ResNet+MLP (supervised)") == "0.82"


def test_anomalyvlm_numbers_of_the_text_are_as_printed() -> None:
    method = "AnomalyVLM (Swin-T + ViT-T)"
    stated = {"f1_max_pixel": "35.8", "ap_pixel": "27.3", "max_iou_pixel": "28.0", "fps": "3.7", "parameters": "192.3"}
    for metric, value in stated.items():
        assert printed(paper="anomalyvlm_2025", method=method, metric=metric) == value


@pytest.mark.parametrize("method", SAA_TABLE_1)
def test_saa_plus_table_1_is_as_printed(method: str) -> None:
    for dataset, value in zip(("visa", "mvtec", "ksdd2", "mtd"), SAA_TABLE_1[method].split(), strict=True):
        cell = {"dataset": dataset, "method": method, "metric": "f1_max_pixel", "category": "mean"}
        assert printed(paper="saa_plus_2023", table="Table 1", **cell) == value


def test_values_keep_their_digits_and_become_fractions() -> None:
    (row,) = find(paper="domain_gap_2025", dataset="oxford_iiit_pet", method="GroundingDINO+SAM")
    assert row.printed == "0.80"
    assert row.fraction == 0.8
    (row,) = find(paper="iap_as_2025", table="Table 1", dataset="mtd", method="IAP-AS", metric="ap_pixel")
    assert row.fraction == pytest.approx(0.2777)
    assert row.rounding == pytest.approx(0.00005)
    assert all(r.fraction is None for r in published() if r.flag == "difference" or r.unit == "ms")


def test_the_bounds_find_exactly_the_rows_that_are_known_to_be_wrong() -> None:
    clean = [r.model_copy(update={"flag": ""}) for r in published()]
    impossible = {(r.dataset, r.method) for r in impossible_pairs(clean)}
    assert impossible == {(d, "SDP") for d in ("mvtec", "mpdd", "btad", "ksdd1", "dtd_synthetic", "dagm")}
    totals = {(r.method, r.metric) for r in wrong_totals(clean)}
    assert totals == {("SAA+ (w/o Ta)", "f1_max_pixel"), ("SAA+ (w/o confidence prompt)", "f1_max_pixel")}


def test_rows_are_flagged_on_loading_even_where_the_file_is_silent(tmp_path: Path) -> None:
    text = (BASELINES / "iap_as_2025.csv").read_text(encoding="utf-8").replace(",inconsistent,", ",,")
    (tmp_path / "iap_as_2025.csv").write_text(text, encoding="utf-8")
    (tmp_path / "protocols.yaml").write_bytes((BASELINES / "protocols.yaml").read_bytes())
    found = [r for r in published(tmp_path) if r.flag == "inconsistent"]
    assert len(found) == 6
    assert {r.method for r in found} == {"SDP"}
    assert not any(r.usable for r in found)


def test_region_f1_and_second_hand_values_are_no_targets() -> None:
    region = [r for r in published() if r.metric == "f1_max_region" and r.paper == "saa_plus_2023"]
    assert region and not any(r.usable for r in region)
    assert not any(r.usable for r in published() if r.paper == "adaclip_2024")
    (wood,) = find(category="wood", metric="f1_max_region")
    assert wood.value > 100 and not wood.usable


def test_the_files_name_no_place_that_only_its_writer_had() -> None:
    for path in BASELINES.glob("*.*"):
        assert "../" not in path.read_text(encoding="utf-8"), path


def test_every_protocol_is_explained_and_its_preset_exists() -> None:
    from benchmark.config.options import options

    readme = (BASELINES / "README.md").read_text(encoding="utf-8")
    used = Counter(r.protocol for r in published())
    assert set(used) == set(protocols())
    for name, protocol in protocols().items():
        assert f"`{name}`" in readme, f"{name} is not explained in baselines/README.md"
        assert protocol.preset is None or protocol.preset in options("protocol")
        assert (protocol.preset is None) == (protocol.match == "none")
    for name, rows in ROWS_OF_FILE.items():
        assert f"| `{name}` | {rows} |" in readme


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"metric": "f1_max_pixl"}, "f1_max_pixel"),
        ({"value": "12,3"}, "value"),
        ({"unit": "per cent"}, "unit"),
        ({"protocol": "domain_gap_sge"}, "domain_gap_seg"),
        ({"value": "1.30"}, "outside 0 to 100"),
        ({"flag": "wrong"}, "flag"),
    ],
)
def test_a_wrong_row_is_refused_with_its_line(tmp_path: Path, change: dict[str, str], said: str) -> None:
    with (BASELINES / "domain_gap_2025.csv").open(encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    rows[2] |= change
    with (tmp_path / "x.csv").open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    (tmp_path / "protocols.yaml").write_bytes((BASELINES / "protocols.yaml").read_bytes())
    with pytest.raises(ResultsError, match=r"x\.csv:4") as error:
        published(tmp_path)
    assert said in str(error.value)


def test_a_cell_that_stands_twice_is_refused(tmp_path: Path) -> None:
    lines = (BASELINES / "domain_gap_2025.csv").read_text(encoding="utf-8").splitlines()
    (tmp_path / "x.csv").write_text("\n".join([*lines, lines[3]]), encoding="utf-8")
    (tmp_path / "protocols.yaml").write_bytes((BASELINES / "protocols.yaml").read_bytes())
    with pytest.raises(ResultsError, match="same cell as line 4"):
        published(tmp_path)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=2, max_size=40).filter(lambda p: any(y for _, y in p))
)
def test_no_ranking_exceeds_the_bound(pixels: list[tuple[float, bool]]) -> None:
    from sklearn.metrics import average_precision_score, precision_recall_curve

    scores, labels = (np.array(column) for column in zip(*pixels, strict=True))
    precision, recall, _ = precision_recall_curve(labels, scores)
    f1 = np.max(2 * precision * recall / np.maximum(precision + recall, 1e-300))
    assert average_precision_score(labels, scores) <= ap_bound(min(1.0, float(f1))) + 1e-9


@settings(deadline=None)
@given(st.lists(st.floats(0.001, 1.0), min_size=1, max_size=20))
def test_the_bound_of_a_mean_holds_for_categories_of_unequal_f1(values: list[float]) -> None:
    assert np.mean([ap_bound(f) for f in values]) <= ap_bound_of_mean(min(1.0, float(np.mean(values)))) + 1e-6


def test_the_bound_has_its_known_values() -> None:
    for f1, bound in ((0.018, 1.9), (0.023, 2.4), (0.026, 2.7), (0.065, 7.2), (0.167, 20.0), (0.067, 7.5)):
        assert 100 * ap_bound(f1) == pytest.approx(bound, abs=0.06)
    assert ap_bound(0.0) == 0.0
    assert ap_bound(1.0) == pytest.approx(1.0)
    with pytest.raises(ValueError, match="fraction"):
        ap_bound(37.7)
