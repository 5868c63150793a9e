"""Which published numbers stand beside a run, and when the two measure the same thing."""

from __future__ import annotations

from typing import Any

import pytest

from benchmark.report.page_board import board
from benchmark.report.papers.fairness import (
    dataset_settings,
    is_partial,
    other_data,
    own_metric,
    preset_hash,
    published_values,
    unfair,
    unfair_run,
)
from benchmark.report.papers.published import find
from benchmark.report.papers.published_row import PublishedRow
from benchmark.results import files
from benchmark.results.schema import RunResult
from benchmark.scoring.metric_record import MetricRecord
from tests.harness import SMALL_SAT, option, run


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    place = tmp_path_factory.mktemp("fairness")
    return files.read_result(run(place, "pipeline=reference_difference", "metric=full", *SMALL_SAT).folder)


def as_run(source: RunResult, *, preset: str, protocol: str, metric: str, **changes: Any) -> RunResult:
    """Return a result that says it is of saa_plus on an option of the dataset, with settings changed."""
    own = dataset_settings(f"dataset={preset}") | changes
    settings = option("protocol", protocol)
    categories = own["categories"] or ["carpet", "grid", "leather", "tile", "wood", "bottle"]
    dataset = source.dataset.model_copy(
        update={"name": own["name"], "categories": categories, "n_samples_expected": None}
    )
    first = source.metrics[0]
    metrics = [_named(first, metric, category) for category in (*categories, "mean", "pooled")]
    record = source.protocol.model_copy(update={"name": protocol, "hash": preset_hash(protocol), "settings": settings})
    return source.model_copy(
        update={
            "choices": source.choices | {"pipeline": "saa_plus", "dataset": preset, "protocol": protocol},
            "config": source.config | {"dataset": own},
            "dataset": dataset,
            "protocol": record,
            "metrics": metrics,
        }
    )


def _named(record: MetricRecord, metric: str, category: str) -> MetricRecord:
    return record.model_copy(update={"metric": metric, "category": category, "value": 0.3, "reason": None})


def one(paper: str, metric: str, *, dataset: str = "mvtec", category: str = "mean") -> PublishedRow:
    return find(paper=paper, metric=metric, dataset=dataset, category=category, method="SAA+")[0]


def test_a_mean_over_some_categories_is_not_that_over_all(source: RunResult) -> None:
    whole = as_run(source, preset="mvtec", protocol="saa_plus", metric="f1_max")
    assert {r.printed for r in published_values(whole)["f1_max", "mean"]} == {"39.40", "37.72"}
    part = as_run(source, preset="mvtec", protocol="saa_plus", metric="f1_max", categories=["carpet"])
    found = published_values(part)
    assert ("f1_max", "mean") not in found
    assert [r.paper for r in found["f1_max", "carpet"]] == ["repro_syduc7421"]


def test_zero_shot_numbers_stand_beside_runs_of_their_method_data_and_square(source: RunResult) -> None:
    def beside(pipeline: str, preset: str, protocol: str, metric: str) -> dict[str, set[str]]:
        run_of = as_run(source, preset=preset, protocol=protocol, metric=metric)
        run_of = run_of.model_copy(update={"choices": run_of.choices | {"pipeline": pipeline}})
        return {category: {r.printed for r in rows} for (_, category), rows in published_values(run_of).items()}

    found = beside("musc", "mvtec", "square_518", "image_auroc")
    assert found["mean"] == {"97.8", "97.77"} and found["carpet"] == {"99.88"}
    assert beside("musc", "visa", "square_518", "image_auroc")["mean"] == {"92.8", "92.57"}
    assert beside("musc", "mvtec", "square_518", "aupro_200step")["mean"] == {"93.8", "93.45"}
    assert beside("winclip", "mvtec", "square_240", "image_auroc")["mean"] == {"90.4"}
    assert beside("anomaly_dino", "mvtec", "default", "aupro")["mean"] == {"91.7"}
    for pipeline, preset, protocol, metric in (
        ("musc", "mvtec", "square_240", "image_auroc"),
        ("musc", "mvtec", "default", "image_auroc"),
        ("musc", "mpdd", "square_518", "image_auroc"),
        ("musc", "mvtec", "square_518", "aupro"),
        ("padim", "mvtec", "square_518", "image_auroc"),
        ("patchcore", "mvtec", "default", "image_auroc"),
    ):
        assert beside(pipeline, preset, protocol, metric) == {}


def test_numbers_of_other_images_than_ours_say_so(source: RunResult) -> None:
    square = as_run(source, preset="mvtec", protocol="square_518", metric="image_auroc")
    (row,) = find(paper="musc_2024", dataset="mvtec", method="MuSc", metric="auroc_image")
    assert [*unfair(square, row)] == [
        "protocol agrees in part: masks are resized by bilinear weights and cut at a half there"
    ]
    (row,) = find(paper="dinomaly_2025", table="Table 1", dataset="mvtec", metric="auroc_image")
    assert "dinomaly_crop has no counterpart" in "".join(unfair(square, row))
    private = find(paper="robis_2025", category="mean", method="RoBiS")
    public = as_run(source, preset="mvtec_ad_2", protocol="default", metric="aupro")
    assert len(private) == 6 and all("not public" in "".join(unfair(public, r)) for r in private)
    assert all(own_metric(public, r) is None for r in private)


def test_five_textures_are_those_five(source: RunResult) -> None:
    row = one("saa_plus_2023", "f1_max_pixel", category="textures5")
    textures = ["wood", "tile", "carpet", "grid", "leather"]
    right = as_run(source, preset="mvtec", protocol="saa_plus", metric="f1_max", categories=textures)
    assert list(unfair(right, row)) == []
    other = [*textures[:4], "bottle"]
    wrong = as_run(source, preset="mvtec", protocol="saa_plus", metric="f1_max", categories=other)
    assert "dataset.categories" in " ".join(unfair(wrong, row))


def test_another_split_and_another_unit_are_told(source: RunResult) -> None:
    row = one("saa_plus_2023", "f1_max_pixel", dataset="ksdd2")
    train = as_run(source, preset="ksdd2", protocol="saa_plus", metric="f1_max", split="train")
    assert not list(unfair(train, row))
    test = as_run(source, preset="ksdd2", protocol="saa_plus", metric="f1_max")
    assert "dataset.split=official" in " ".join(unfair(test, row)) and not published_values(test)
    row = one("iap_as_2025", "ap_pixel", dataset="ksdd1")
    whole = as_run(source, preset="ksdd1", protocol="iap_as", metric="ap")
    assert "dataset.unit=dataset" in " ".join(unfair(whole, row)) and not published_values(whole)


def test_good_images_left_out_are_told_unless_the_protocol_leaves_them_out(source: RunResult) -> None:
    full = one("iap_as_2025", "ap_pixel")
    without = as_run(source, preset="mvtec", protocol="iap_as", metric="ap", include_good=False)
    assert "dataset.include_good=False" in " ".join(other_data(without, full)) and not published_values(without)
    defective = one("iap_as_2025", "ap_pixel", dataset="mpdd")
    for good in (True, False):
        run_of = as_run(source, preset="mpdd", protocol="iap_as", metric="ap", include_good=good)
        assert list(unfair(run_of, defective)) == []


def test_a_run_of_few_images_or_random_weights_is_not_compared(source: RunResult) -> None:
    whole = as_run(source, preset="mvtec", protocol="saa_plus", metric="f1_max")
    few = whole.dataset.model_copy(update={"n_samples_effective": whole.dataset.n_samples_effective - 1})
    part = whole.model_copy(update={"dataset": few})
    random = whole.model_copy(update={"meaningless": True})
    assert published_values(part) == published_values(random) == published_values(whole) != {}
    assert not is_partial(whole) and is_partial(part) and is_partial(random)
    assert [*unfair_run(whole)] == []
    assert "images" in "".join(unfair_run(part))
    assert "random weights" in "".join(unfair_run(random))


def test_the_leaderboard_marks_published_rows_whose_protocol_agrees_in_part(source: RunResult) -> None:
    found = board([as_run(source, preset="mvtec", protocol="square_518", metric="image_auroc")])
    papers = [e for e in found["entries"] if not e["anchor"]]
    tags = {found["rows"][e["row"]]["name"]: [tag["text"] for tag in e["tags"]] for e in papers}
    assert tags["MuSc (musc_2024)"] == ["published", "protocol in part"]
    assert tags["Dinomaly (dinomaly_2025)"] == ["published"]
    assert not any("AdaCLIP" in name for name in tags), "second-hand"
    found = board([as_run(source, preset="mvtec_ad_2", protocol="default", metric="image_auroc")])
    assert not any(row["paper"] for row in found["rows"]), "the server's images are not ours"
