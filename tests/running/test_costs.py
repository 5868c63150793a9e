"""What methods cost beside what their paper prints: measured with the very settings, else what to measure."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.cli.main import main
from benchmark.config.compose import compose
from benchmark.config.schema import build
from benchmark.core import provenance
from benchmark.report.papers.paper import CostTable, Method, Paper, load_paper, paper_names
from benchmark.report.papers.published import find
from benchmark.results.schema import plain
from benchmark.running.costs import costs_grid, measured
from benchmark.running.latency import Latency
from tests.harness import SMALL_SAT, places


def table(*methods: Method) -> tuple[Paper, CostTable]:
    costs = CostTable(title="Costs", published=("Sec. IV-D text",), dataset="sat", methods=methods)
    return Paper(key="anomalyvlm_2025", title="Paper", tables={}, costs={"4": costs}), costs


def test_a_measurement_with_the_settings_of_the_method_is_its_row(tmp_path: Path) -> None:
    words = ["pipeline=reference_difference", *SMALL_SAT, *places(tmp_path)]
    assert main(["latency", *words, f"out={tmp_path / 'one.json'}"]) == 0
    (tmp_path / "other.json").write_text('{"not": "a measurement"}')
    (one,) = measured(tmp_path)
    as_published = "AnomalyVLM (Swin-T + ViT-T)"
    paper, costs = table(
        Method(name="ours", pipeline="reference_difference", published=as_published),
        Method(name="smooth", pipeline="reference_difference", overrides=("pipeline.smoothing=3",)),
        Method(name="other", pipeline="constant"),
        Method(name="absent", absent="its code is not released"),
    )
    grid = costs_grid(paper, costs, tmp_path)
    ours, smooth, other, absent = grid.rows
    assert ours[:3] == ("ours", f"{one.single_per_second:.2f}", "3.7 frames / s")
    assert ours[4] == "192.3 MB" and f", sat, load {one.load:.1f}" in ours[5] and "random" not in ours[5]
    command = "make latency DATASET=sat PIPELINE=reference_difference"
    assert smooth[1] == "–" and smooth[5] == f'measured with other settings; {command} ARGS="pipeline.smoothing=3"'
    assert other[5] == "make latency DATASET=sat PIPELINE=constant"
    assert absent[5] == "its code is not released"
    assert any("3090Ti" in note for note in grid.notes)


def test_random_weights_of_full_size_are_a_measurement_and_are_said(tmp_path: Path) -> None:
    words = ["pipeline=patchcore", "networks=random"]
    config = build(*compose(["dataset=sat", *words]))
    measurement = Latency(
        dataset="sat", pipeline="patchcore", device="cpu", cold_start_ms=1.0, n_single=2, p50_ms=1.0, p90_ms=1.0,
        p99_ms=1.0, single_per_second=4.0, n_together=2, together_per_second=4.0, stages_ms={}, peak_memory_mb=1.0,
        gpu_memory_mb=None, parameters=24_900_000, load=None, hardware={"cpu": "fast"},
        settings=plain(config.pipeline.model_dump(warnings=False)),
    )  # fmt: skip
    (tmp_path / "one.json").write_text(measurement.model_dump_json())
    paper, costs = table(Method(name="ours", pipeline="patchcore"))
    (row,) = costs_grid(paper, costs, tmp_path).rows
    assert row == ("ours", "4.00", "–", "24.9", "–", "fast, sat, random weights")
    toys = build(*compose(["dataset=sat", "pipeline=patchcore", "networks=toy"])).pipeline
    tiny = measurement.model_copy(update={"settings": plain(toys.model_dump(warnings=False))})
    (tmp_path / "one.json").write_text(tiny.model_dump_json())
    assert costs_grid(paper, costs, tmp_path).rows[0][1] == "–"


def test_reproduce_shows_the_costs_without_running_anything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", "anomalyvlm", "4", *places(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "3.7 frames / s" in out and "192.3 MB" in out and "PIPELINE=anomalyvlm" in out
    assert main(["reproduce", "anomalyvlm", "7", *places(tmp_path)]) == 1


def test_every_published_cost_of_a_defined_paper_is_in_a_table() -> None:
    for name in paper_names():
        paper = load_paper(name)
        assert not set(paper.tables) & set(paper.costs)
        shown = {(m.published, t) for c in paper.costs.values() for m in c.methods for t in c.published}
        for metric in ("fps", "parameters"):
            printed = {(row.method, row.table) for row in find(paper=paper.key, metric=metric)}
            assert printed <= shown, (name, metric)


def test_parameters_are_counted_once_each_while_they_are_held() -> None:
    import torch

    before = provenance.network_parameters() or 0
    layer = torch.nn.Linear(10, 7)
    twice = torch.nn.Sequential(layer, layer)
    assert (provenance.network_parameters() or 0) - before == 77
    del layer, twice
    assert (provenance.network_parameters() or 0) == before
