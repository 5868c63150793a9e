"""One run for the tracking server: headline numbers, precision-recall curves, its worst and best images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.core.text import counted
from benchmark.results.files import RESULT, ROWS, read_rows
from benchmark.results.gallery import GALLERY, SIDE, Thumbnails, kept_ids, read_gallery
from benchmark.results.replicates import REPLICATES, read_replicates
from benchmark.results.rows import number_of_images, per_image
from benchmark.results.schema import RunResult

EACH = 6
"""Images of the sheet: so many of the worst, and as many of the best."""
MOST_CURVES = 16


TABLES = ("tables/metrics.json", "tables/per_image.json")
"""Files of a run that a tracking server shows as tables."""
MOST_ROWS = 10_000
"""Images whose table is written as JSON, which a browser loads as a whole; it is 4.5 times as large as parquet."""


def tables_of(folder: Path) -> tuple[str, ...]:
    """Return which tables a run has: that of its images is a file of JSON only up to ``MOST_ROWS``."""
    return TABLES if number_of_images(folder) <= MOST_ROWS else TABLES[:1]


def write_artifacts(result: RunResult, folder: Path, out: Path) -> None:
    """Write the files that a tracking server keeps of a run into ``out``; those of the folder itself as links."""
    import pandas as pd
    import yaml

    (out / "tables").mkdir()
    made = {
        TABLES[0]: lambda: pd.DataFrame([m.model_dump() for m in result.metrics]),
        TABLES[1]: lambda: read_rows(folder),
    }
    for name in tables_of(folder):
        made[name]().to_json(out / name, orient="split", index=False, date_format="iso")
    settings = {"choices": result.choices, **result.config}
    (out / "config.yaml").write_text(yaml.safe_dump(settings, allow_unicode=True), encoding="utf-8")
    for file in (RESULT, ROWS):
        (out / file).symlink_to((folder / file).resolve())
    (out / "figures").mkdir()
    if not run_figures(folder, out / "figures"):
        (out / "figures").rmdir()


def run_figures(folder: Path, out: Path) -> list[Path]:
    """Write the figures of a run that kept thumbnails into ``out`` and return their files; none where it kept none."""
    if not (folder / GALLERY).exists():
        return []
    written = [_curves(folder, out)] if (folder / REPLICATES).exists() else []
    return [path for path in (*written, _sheet(folder, out)) if path is not None]


def _curves(folder: Path, out: Path) -> Path | None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    curves = dict(list(read_replicates(folder).curves.items())[:MOST_CURVES])
    if not curves:
        return None
    if len(curves) == 2:
        curves.pop("pooled", None)  # the same as the only category
    figure = Figure(figsize=(6.4, 4.2), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for name, curve in curves.items():
        axes.plot([0.0, *curve.recall], [curve.precision[0], *curve.precision], label=name, drawstyle="steps-pre")
    axes.set_xlabel("recall")
    axes.set_ylabel("precision")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7)
    path = out / "precision_recall.png"
    figure.savefig(path)
    return path


def _sheet(folder: Path, out: Path) -> Path | None:
    """Draw photograph, ground truth, score map and mask in columns, one image a row."""
    import cv2

    rows = {str(r["id"]): r for r in per_image(folder, kept_ids(folder))}
    ordered = sorted(rows, key=lambda key: (rows[key]["quality"], key))
    wanted = list(dict.fromkeys([*ordered[:EACH], *ordered[-EACH:]]))
    found = {t.id: t for t in read_gallery(folder) if t.id in wanted}
    lines = [_line(found[key], rows[key]) for key in wanted if key in found]
    if not lines:
        return None
    path = out / "overlays.png"
    cv2.imwrite(str(path), np.concatenate(lines, axis=0))
    return path


def _line(thumbnail: Thumbnails, row: dict[str, Any]) -> NDArray[np.uint8]:
    """One image as a strip (SIDE + 18, 4·SIDE, 3), BGR, with its name below."""
    import cv2

    pictures = (thumbnail.image, thumbnail.truth, thumbnail.score, thumbnail.mask)
    strip = np.concatenate([_tile(p) for p in pictures], axis=1)
    footer = np.full((18, strip.shape[1], 3), 255, dtype=np.uint8)
    caption = f"{thumbnail.id[-60:]}  {row['defect_type']}  quality {row['quality']:.2f}"
    printable = "".join(c if 32 <= ord(c) < 127 else "?" for c in caption)
    cv2.putText(footer, printable, (4, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.38, (0, 0, 0), 1, cv2.LINE_AA)
    return np.concatenate((strip, footer), axis=0)


def _tile(data: bytes | None) -> NDArray[np.uint8]:
    import cv2

    ground = np.zeros((SIDE, SIDE, 3), dtype=np.uint8)
    if data is None:
        return ground
    picture: Any = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    height, width = picture.shape[:2]
    top, left = (SIDE - height) // 2, (SIDE - width) // 2
    ground[top : top + height, left : left + width] = picture
    return ground


def headline_table(result: RunResult) -> str:
    """Return the run's headline numbers as Markdown, for the page of the run."""
    data = result.dataset
    lines = [
        f"{data.n_samples_effective} of {counted(data.n_samples_original, 'image')} ({data.n_good} good, "
        f"{data.n_defective} "
        f"defective), protocol {result.protocol.name}",
        "",
        "| metric | value | 95 % interval | n |",
        "|---|---|---|---|",
    ]
    for name, row in result.headline().items():
        span = "" if row.low is None or row.high is None else f"{row.low:.4f} – {row.high:.4f}"
        lines.append(f"| {name} | {'undefined' if row.value is None else f'{row.value:.4f}'} | {span} | {row.n} |")
    return "\n".join(lines)
