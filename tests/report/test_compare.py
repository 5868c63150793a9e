"""Comparisons: right intervals, refused where they are not fair, written in three formats."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from benchmark.cli.main import main
from benchmark.core.errors import ResultsError
from benchmark.core.table import Grid, csv_text, latex, markdown
from benchmark.report import compare
from benchmark.report.papers.comparison import compare_published, compare_runs, paired_interval
from benchmark.report.papers.fairness import preset_hash
from benchmark.results import files
from benchmark.results.replicates import read_replicates
from benchmark.scoring.metrics.bootstrap import replicates, resample
from benchmark.scoring.metrics.counts import Counts
from benchmark.scoring.metrics.labels import MaskCounts, confusion, f_beta, iou_mean_defective
from benchmark.scoring.metrics.pixel import ap
from tests.harness import SMALL_SAT, run

DIFFERENCE = ("pipeline=reference_difference", "metric=full", *SMALL_SAT)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compare")


@pytest.fixture(scope="module")
def first(place: Path) -> Path:
    return run(place, *DIFFERENCE).folder


@pytest.fixture(scope="module")
def second(place: Path) -> Path:
    return run(place, *DIFFERENCE, "pipeline.smoothing=3.0").folder


def test_lines_hold_the_difference_of_the_runs_and_an_interval_around_it(first: Path, second: Path) -> None:
    found = compare_runs(first, second)
    a, b = files.read_result(first), files.read_result(second)
    assert found.fair
    assert {line.metric for line in found.lines} == {m.metric for m in a.metrics}
    for line in found.lines:
        one, two = a.metric(line.metric, line.category), b.metric(line.metric, line.category)
        assert (line.first, line.second) == (one.value, two.value)
        if line.difference is not None:
            assert line.difference == one.value - two.value
            assert line.low is not None and line.high is not None and line.low <= line.high
        if line.first is not None and line.second is not None:
            assert line.p is not None and line.p_holm is not None and 0.0 < line.p <= line.p_holm <= 1.0
            assert line.significant == (line.p_holm <= 0.05)
    assert any("smoothing" in note for note in found.notes)
    assert any("Holm" in note for note in found.notes)
    assert any(note.startswith("same protocol (default") for note in found.notes)


def test_a_run_against_itself_differs_nowhere(first: Path) -> None:
    known = [line for line in compare_runs(first, first).lines if line.difference is not None]
    assert known
    for line in known:
        assert (line.difference, line.low, line.high) == (0.0, 0.0, 0.0)
        assert not line.significant


def test_details_of_an_older_version_are_read_and_give_no_p_value(tmp_path: Path, first: Path) -> None:
    from safetensors.numpy import load, save

    old = tmp_path / "old"
    old.mkdir()
    for name in (files.RESULT, files.ROWS):
        (old / name).write_bytes((first / name).read_bytes())
    kept = {k: v for k, v in load((first / "details.safetensors").read_bytes()).items() if not k.startswith("parts.")}
    (old / "details.safetensors").write_bytes(save(kept))
    record = json.loads((first / files.RESULT).read_text())
    for row in record["metrics"]:
        row.pop("no_interval")
    (old / files.RESULT).write_text(json.dumps(record))
    found = compare_runs(first, old)
    assert all(line.p is None and not line.significant for line in found.lines)
    assert any(line.low is not None for line in found.lines)
    assert any("older version" in note for note in found.notes)


def test_runs_that_asked_for_other_metrics_share_their_p_values(place: Path, first: Path) -> None:
    fewer = run(
        place, "pipeline=reference_difference", *SMALL_SAT, "metric.names=[ap,image_ap]", "pipeline.smoothing=2"
    ).folder
    found = {line.metric: line for line in compare_runs(first, fewer).lines}
    assert set(found) == {"ap", "image_ap"}
    assert all(line.p is not None for line in found.values())


def test_too_few_images_have_a_p_value_but_no_interval(place: Path) -> None:
    words = ("pipeline=reference_difference", "metric.names=[ap,f2,image_auroc]", *SMALL_SAT, "dataset.n_defective=3")
    one, two = run(place, *words).folder, run(place, *words, "pipeline.smoothing=3.0").folder
    for line in compare_runs(one, two).lines:
        if line.difference is not None:
            assert line.low is None and "3 images of the rarer class" in line.remark
            assert line.p is not None and line.p > 1 / 512


def test_pairing_takes_off_what_the_images_have_in_common(first: Path, second: Path) -> None:
    one, two = (read_replicates(f).replicates["image_auroc", "mean"] for f in (first, second))
    low, high = paired_interval(one, two, confidence=0.95, n=12)
    unpaired = paired_interval(one, np.roll(two, 1), confidence=0.95, n=12)
    assert low is not None and high is not None and unpaired[0] is not None and unpaired[1] is not None
    assert high - low < unpaired[1] - unpaired[0]


def test_other_protocols_are_refused_and_flagged_when_forced(place: Path, first: Path) -> None:
    other = run(place, *DIFFERENCE, "protocol=saa_plus").folder
    with pytest.raises(ResultsError, match="protocols differ") as refused:
        compare_runs(first, other)
    assert "size" in str(refused.value) and "ARGS=force" in str(refused.value)
    forced = compare_runs(first, other, force=True)
    assert not forced.fair
    assert all(line.low is None for line in forced.lines)
    assert any("not comparable: protocols differ" in note for note in forced.notes)
    assert "not a fair comparison" in compare.grid(forced).title


def test_other_images_are_refused(place: Path, first: Path) -> None:
    other_data = run(place, *DIFFERENCE, "dataset.seed=5").folder
    with pytest.raises(ResultsError, match="datasets differ"):
        compare_runs(first, other_data)
    fewer = run(place, *DIFFERENCE, "run.limit=7").folder
    with pytest.raises(ResultsError, match="images differ"):
        compare_runs(first, fewer)


def test_another_seed_gives_the_difference_without_an_interval(place: Path, first: Path) -> None:
    other = run(place, *DIFFERENCE, "run.seed=1").folder
    found = compare_runs(first, other)
    assert found.fair
    assert all(line.low is None and not line.significant for line in found.lines)
    assert any("run.seed" in note for note in found.notes)


def test_a_published_method_of_another_dataset_is_refused(first: Path) -> None:
    with pytest.raises(ResultsError, match="no number for dataset sat"):
        compare_published(first, "iap_as_2025:SAA+")
    with pytest.raises(ResultsError, match="SAA\\+"):
        compare_published(first, "iap_as_2025:SAA")
    with pytest.raises(ResultsError, match="iap_as_2025"):
        compare_published(first, "iap_as:SAA+")


def as_mtd(folder: Path, source: Path, **changes: object) -> Path:
    """Copy a run and have it say that its dataset is MTD."""
    result = files.read_result(source)
    dataset = result.dataset.model_copy(update={"name": "mtd", "n_samples_expected": result.dataset.n_samples_original})
    changed = result.model_copy(update={"dataset": dataset, **changes})
    files.write_atomically(folder / files.RESULT, changed.model_dump_json().encode())
    return folder


def test_a_run_against_a_paper_says_whether_the_protocol_agrees(tmp_path: Path, place: Path, first: Path) -> None:
    default = as_mtd(tmp_path / "default", first)
    with pytest.raises(ResultsError, match=r"cannot be compared: published under .* take protocol=iap_as.* ARGS=force"):
        compare_published(default, "iap_as_2025:IAP-AS")
    found = compare_published(default, "iap_as_2025:IAP-AS", force=True)
    assert {(line.metric, line.category) for line in found.lines} == {("ap", "mean"), ("f1_max", "mean")}
    assert [line.second for line in found.lines] == pytest.approx([0.2777, 0.4163])
    assert not found.fair
    assert all("take protocol=iap_as" in line.remark for line in found.lines)
    right = run(place, *DIFFERENCE, "protocol=iap_as").folder
    found = compare_published(as_mtd(tmp_path / "iap", right), "iap_as_2025:IAP-AS")
    assert {line.metric for line in found.lines} == {"ap", "f1_max_linspace100"}
    assert found.fair
    flagged = compare_published(as_mtd(tmp_path / "random", right, meaningless=True), "iap_as_2025:IAP-AS")
    assert not flagged.fair


def test_presets_have_the_hash_that_their_runs_carry(first: Path) -> None:
    assert files.read_result(first).protocol.hash == preset_hash("default")


def test_the_command_prints_and_writes_three_formats(
    place: Path, first: Path, second: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = place / "results"
    assert main(["compare", first.name, second.name, "--results-root", str(root)]) == 0
    assert "image_auroc" in capsys.readouterr().out
    assert {p.suffix for p in (root / "comparisons").iterdir()} == {".md", ".csv", ".tex"}
    other = run(place, *DIFFERENCE, "protocol=saa_plus").folder
    assert main(["compare", first.name, other.name, "--results-root", str(root)]) == 1
    assert main(["compare", first.name, other.name, "force", "--results-root", str(root)]) == 0
    assert "not comparable: protocols differ" in capsys.readouterr().out
    assert main(["compare", first.name, other.name, "forse", "--results-root", str(root)]) == 1
    assert "did you mean 'force'?" in capsys.readouterr().err
    assert main(["compare", "nothing", first.name, "--results-root", str(root)]) == 1
    assert "no run 'nothing'" in capsys.readouterr().err
    assert main(["compare", first.name]) == 1
    assert 'make compare RUNS="FIRST SECOND"' in capsys.readouterr().err
    assert main(["compare", "sat", first.name, "--results-root", str(root)]) == 1
    assert "runs begin with 'sat'" in capsys.readouterr().err


def test_a_name_means_ones_own_run_before_the_reference_result(first: Path, tmp_path: Path) -> None:
    runs, reference = tmp_path / "runs", tmp_path / "reference"
    reference.mkdir()
    shutil.copytree(first, own := runs / "sat-patchcore-0123456789ab")
    (reference / "sat-patchcore").mkdir()
    shutil.copy(first / files.RESULT, reference / "sat-patchcore")
    assert compare.choose_run("sat-patchcore", tmp_path) == own
    assert compare.choose_run("reference/sat-patchcore", tmp_path) == reference / "sat-patchcore"
    shutil.copytree(own, runs / "sat-patchcore-ffff")
    with pytest.raises(ResultsError, match="2 runs begin with 'sat-patchcore'"):
        compare.choose_run("sat-patchcore", tmp_path)
    for folder in runs.iterdir():
        (folder / files.RESULT).unlink()
    assert compare.choose_run("sat-patchcore", tmp_path) == reference / "sat-patchcore"
    with pytest.raises(ResultsError, match="sat-patchcore-0123456789ab is not finished; the command that began it"):
        compare.choose_run("sat-patchcore-0", tmp_path)
    with pytest.raises(ResultsError, match="a reference result holds values alone"):
        files.read_rows(reference / "sat-patchcore")


def test_markup_of_names_is_shown_and_never_rendered() -> None:
    grid = Grid(title="a <b> | c", columns=("x", "y_1"), rows=(("<script>alert(1)</script>", "50 % & more"),))
    assert "<script>" not in markdown(grid)
    assert "&lt;script&gt;" in markdown(grid)
    assert "50 \\% \\& more" in latex(grid) and "y\\_1" in latex(grid)
    assert csv_text(grid).splitlines()[1] == "<script>alert(1)</script>,50 % & more"
    with pytest.raises(ValueError, match="1 cell under 2"):
        Grid(title="t", columns=("a", "b"), rows=(("only",),))


def coverage_of_iou(rng: np.random.Generator, *, trials: int, n: int) -> float:
    """Share of trials whose paired interval holds the true difference of two mean IoUs (0.05)."""
    hits = 0
    for trial in range(trials):
        hard = rng.beta(2.0, 2.0, n)
        two = np.clip(hard * rng.uniform(0.7, 1.0, n), 0.0, 1.0)
        one = two + rng.uniform(0.0, 0.1, n)
        counts = [
            MaskCounts(tp=(v * 1e6).astype(np.int64), fp=np.zeros(n, np.int64), n_pos=np.full(n, 10**6))
            for v in (one, two)
        ]
        weights = resample(n, resamples=400, seed=trial, stratum="x")
        low, high = paired_interval(*(iou_mean_defective(c, weights) for c in counts), confidence=0.95, n=n)
        assert low is not None and high is not None
        hits += low <= 0.05 <= high
    return hits / trials


def coverage_of_f2(rng: np.random.Generator, *, trials: int, n: int) -> float:
    """The same for the F2 of two correlated classifiers of known rates."""
    prevalence, hits = 0.3, 0
    rates = np.array([[0.85, 0.25], [0.70, 0.15]])  # (classifier, recall and false-positive rate)
    tp, fp, fn = prevalence * rates[:, 0], (1 - prevalence) * rates[:, 1], prevalence * (1 - rates[:, 0])
    true = 5 * tp / (5 * tp + 4 * fn + fp)
    for trial in range(trials):
        defective = rng.random(n) < prevalence
        drawn = rng.random(n)  # one draw for both: what is hard for one is hard for the other
        called = [np.where(defective, drawn < recall, drawn < false) for recall, false in rates]
        weights = resample(n, resamples=400, seed=trial, stratum="x")
        values = [f_beta(confusion(c, defective, weights), beta=2.0) for c in called]
        rarer = min(int(defective.sum()), n - int(defective.sum()))
        low, high = paired_interval(values[0], values[1], confidence=0.95, n=rarer)
        assert low is not None and high is not None
        hits += low <= true[0] - true[1] <= high
    return hits / trials


LEVELS = 24


def pixel_counts(scores: np.ndarray, defects: np.ndarray) -> Counts:
    """Count images of few-valued pixels, (n, pixels), at every score but the lowest ones; leading axis images."""
    levels = np.arange(LEVELS - 1, -1, -1)
    above = scores[:, :, None] >= levels
    tp, fp = (above & defects[:, :, None]).sum(1), (above & ~defects[:, :, None]).sum(1)
    strictly = (scores[:, :, None] > levels) & ~defects[:, :, None]
    n_pos = defects.sum(1)
    return Counts(
        score=levels.astype(float), tp=tp, fp=fp, fp_above=strictly.sum(1), n_pos=n_pos, n_neg=defects.shape[1] - n_pos
    )


def images_of_two_runs(rng: np.random.Generator, n: int) -> tuple[Counts, Counts]:
    """Images of 120 pixels, hard or easy for both runs alike; the first run ranks defects a little higher."""
    defects = rng.random((n, 120)) < 0.15
    ease, noise = rng.normal(0.0, 1.0, (n, 1)), rng.normal(0.0, 2.0, defects.shape)
    lifts = (2.4, 2.0)
    drawn = [defects * (lift + ease) + noise + rng.normal(0.0, 0.7, defects.shape) for lift in lifts]
    first, second = (np.clip(np.round(d * 2.0) + 8, 0, LEVELS - 1).astype(int) for d in drawn)
    return pixel_counts(first, defects), pixel_counts(second, defects)


def coverage_of_ap(rng: np.random.Generator, *, trials: int, n: int) -> float:
    """The same for the pixel AP of two score maps over pooled pixels; the truth comes from 20,000 images."""
    population = images_of_two_runs(rng, 20_000)
    true = [float(replicates(c, np.ones((1, 20_000)), {"ap": ap})["ap"][0]) for c in population]
    hits = 0
    for trial in range(trials):
        weights = resample(n, resamples=400, seed=trial, stratum="x")
        values = [replicates(c, weights, {"ap": ap})["ap"] for c in images_of_two_runs(rng, n)]
        low, high = paired_interval(values[0], values[1], confidence=0.95, n=n)
        assert low is not None and high is not None
        hits += low <= true[0] - true[1] <= high
    return hits / trials


@pytest.mark.slow
def test_paired_intervals_cover_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    assert 0.92 <= coverage_of_iou(rng, trials=500, n=60) <= 0.98
    assert 0.92 <= coverage_of_f2(rng, trials=500, n=150) <= 0.98
    assert 0.92 <= coverage_of_ap(rng, trials=500, n=50) <= 0.98


def test_intervals_are_wider_for_few_images() -> None:
    rng = np.random.default_rng(0)
    one, two = rng.normal(0.0, 1.0, (2, 4000))
    widths = [np.diff(paired_interval(one, two, confidence=0.95, n=n))[0] for n in (5, 20, 1000)]
    plain = np.diff(np.percentile(one - two, [2.5, 97.5]))[0]
    assert widths[0] > widths[1] > widths[2] >= plain
    assert widths[2] == pytest.approx(plain, rel=0.02)


@pytest.mark.parametrize(
    ("difference", "shown"),
    [(0.0, "+0.0000"), (3.2e-5, "+3e-05"), (-6e-5, "-0.0001"), (-1e-9, "-1e-09"), (0.5, "+0.5000")],
)
def test_a_small_difference_does_not_look_like_none(difference: float, shown: str) -> None:
    assert compare._signed(difference) == shown
