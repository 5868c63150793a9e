"""Figures of a run for the tracking server."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmark.results import figures as module
from benchmark.results.figures import MOST_CURVES, run_figures
from benchmark.results.gallery import GALLERY, SIDE, Thumbnails
from benchmark.results.replicates import REPLICATES, Curve, Replicates, read_replicates
from benchmark.results.rows import per_image
from tests.harness import SMALL_SAT, run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("figures"), *SMALL_SAT, "pipeline=reference_difference").folder


def test_a_run_has_curves_and_a_sheet_of_overlays(folder: Path, tmp_path: Path) -> None:
    import cv2

    assert [p.name for p in run_figures(folder, tmp_path)] == ["precision_recall.png", "overlays.png"]
    height, width, _ = cv2.imread(str(tmp_path / "overlays.png")).shape
    assert (height, width) == (12 * (SIDE + 18), 4 * SIDE)
    assert cv2.imread(str(tmp_path / "overlays.png")).max() > 100


def test_a_run_without_thumbnails_has_no_figures(folder: Path, tmp_path: Path) -> None:
    bare = run(tmp_path, *SMALL_SAT, "pipeline=reference_difference", "run.gallery=0").folder
    assert not (bare / GALLERY).exists()
    assert run_figures(bare, tmp_path) == []


def test_mlflow_shows_them_and_the_run_times(folder: Path, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    from benchmark.results.files import read_result
    from benchmark.tracking import Mlflow

    tracker = Mlflow(uri=None, experiment="figures")
    logged = tracker.log(folder, results_root=tmp_path)
    assert logged is not None
    client = MlflowClient(tracking_uri=tracker.address(tmp_path))
    names = {a.path for a in client.list_artifacts(logged, "figures")}
    assert names == {"figures/precision_recall.png", "figures/overlays.png"}
    info = client.get_run(logged).info
    assert info.end_time - info.start_time == int(read_result(folder).measured.seconds * 1000)


def drawn(curves: dict[str, Curve], folder: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The axes of the figure that these curves make."""
    from matplotlib.figure import Figure

    made: list[Any] = []
    monkeypatch.setattr(Figure, "savefig", lambda self, path: (made.append(self), path.write_bytes(b"")))
    monkeypatch.setattr(module, "read_replicates", lambda folder: Replicates(replicates={}, curves=curves))
    assert (out / "precision_recall.png") in run_figures(folder, out)
    (axes,) = made[0].axes
    return axes


def curve(*points: tuple[float, float]) -> Curve:
    recall, precision = np.array(points).T
    return Curve(threshold=np.linspace(1, 0, len(points)), precision=precision, recall=recall)


def test_a_precision_recall_curve_begins_at_recall_0_with_its_first_precision(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As scikit-learn draws it: level from the axis to the first threshold, a step down before each further one."""
    axes = drawn({"pooled": curve((0.25, 0.75), (0.5, 0.6), (1.0, 0.2))}, folder, tmp_path, monkeypatch)
    (line,) = axes.lines
    assert line.get_xdata().tolist() == [0.0, 0.25, 0.5, 1.0]
    assert line.get_ydata().tolist() == [0.75, 0.75, 0.6, 0.2]
    assert line.get_drawstyle() == "steps-pre"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("recall", "precision")
    assert axes.get_xlim() == (0, 1) and axes.get_ylim() == (0, 1.02)


def test_curves_are_named_and_the_pooled_one_is_left_out_beside_a_single_category(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = curve((0.5, 1.0), (1.0, 0.5)), curve((0.5, 0.5), (1.0, 0.25))

    def names(curves: dict[str, Curve]) -> list[str]:
        axes = drawn(curves, folder, tmp_path, monkeypatch)
        assert [t.get_text() for t in axes.get_legend().get_texts()] == [line.get_label() for line in axes.lines]
        return [str(line.get_label()) for line in axes.lines]

    assert names({"gasket": one, "pooled": one}) == ["gasket"]
    assert names({"gasket": one, "ring": other, "pooled": other}) == ["gasket", "ring", "pooled"]
    assert names({"gasket": one, "ring": other}) == ["gasket", "ring"]
    assert len(names({f"c{k}": one for k in range(MOST_CURVES + 1)})) == MOST_CURVES == 16


def test_the_kept_curve_of_a_run_rises_in_recall_to_1_and_ends_at_the_prevalence(folder: Path) -> None:
    kept = read_replicates(folder).curves["pooled"]
    assert (np.diff(kept.threshold) < 0).all() and (np.diff(kept.recall) >= 0).all()
    assert 0 < kept.recall[0] <= kept.recall[-1] == 1.0
    assert ((kept.precision >= 0) & (kept.precision <= 1)).all()
    assert len(kept.threshold) == len(kept.precision) == len(kept.recall) <= 256


def test_without_curves_only_the_sheet_is_drawn(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "read_replicates", lambda folder: Replicates(replicates={}, curves={}))
    assert [p.name for p in run_figures(folder, tmp_path)] == ["overlays.png"]
    bare = tmp_path / "bare"
    shutil.copytree(folder, bare)
    (bare / REPLICATES).unlink()
    assert [p.name for p in run_figures(bare, tmp_path)] == ["overlays.png"]


def test_the_sheet_begins_with_the_worst_image_and_ends_with_the_best(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[tuple[str, float]] = []
    before = module._line

    def line(thumbnail: Thumbnails, row: dict[str, Any]) -> Any:
        lines.append((thumbnail.id, row["quality"]))
        return before(thumbnail, row)

    monkeypatch.setattr(module, "_line", line)
    monkeypatch.setattr(module, "EACH", 3)
    run_figures(folder, tmp_path)
    quality = {str(row["id"]): row["quality"] for row in per_image(folder)}
    ordered = sorted(quality, key=lambda key: (quality[key], key))
    assert lines == [(key, quality[key]) for key in (*ordered[:3], *ordered[-3:])]


def test_a_line_holds_photograph_truth_map_and_mask_from_left_to_right_and_the_name_below() -> None:
    import cv2

    def picture(grey: int, height: int, width: int) -> bytes:
        return cv2.imencode(".png", np.full((height, width, 3), grey, np.uint8))[1].tobytes()

    thumbnail = Thumbnails(
        id="x/é.png", image=picture(50, SIDE, SIDE), truth=picture(100, SIDE // 2, SIDE), score=picture(150, SIDE, 10),
        mask=None, low=0.0, high=1.0,
    )  # fmt: skip
    strip = module._line(thumbnail, {"defect_type": "cut", "quality": 0.25})
    assert strip.shape == (SIDE + 18, 4 * SIDE, 3)
    image, truth, score, mask = (strip[:SIDE, at * SIDE : (at + 1) * SIDE, 0] for at in range(4))
    assert (image == 50).all() and (mask == 0).all()
    rows, columns = np.nonzero((truth == 100).all(axis=1))[0], np.nonzero((score == 150).all(axis=0))[0]
    assert (rows[0], rows[-1] + 1) == (SIDE // 4, SIDE // 4 + SIDE // 2), "the middle of its square"
    assert (columns[0], columns[-1] + 1) == ((SIDE - 10) // 2, (SIDE - 10) // 2 + 10)
    footer = strip[SIDE:, :, 0]
    assert footer[0, 0] == 255 and footer.min() < 100 and (footer[:, -SIDE:] == 255).all()
