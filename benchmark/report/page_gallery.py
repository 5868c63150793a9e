"""The image part of the report: thumbnails within one stated size, shared by runs that saw the same images."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.report.page_board import columns
from benchmark.report.run_names import names
from benchmark.results.files import usable
from benchmark.results.gallery import GALLERY, Thumbnails, kept_ids, read_gallery
from benchmark.results.rows import number_of_images, per_image

if TYPE_CHECKING:
    from benchmark.results.schema import RunResult

FACTS = frozenset(
    {"id", "category", "defect_type", "group", "defective", "outcome", "message", "image_score", "label", "iou"}
    | {"n_defect_pixels", "n_pixels", "rationale"}
)
"""Columns of the per-image table that every pipeline has; the others are its own."""
COLUMNS = (
    "at", "id", "category", "type", "defective", "called", "score_value", "iou", "outcome", "message", "quality",
    "rationale", "extra", "score", "low", "high", "mask", "masked",
)  # fmt: skip


SKY_BLUE, ORANGE = (86, 180, 233), (230, 159, 0)
"""Of ground truth and of masks; colour-blind readers tell them apart (Okabe and Ito 2008)."""
Pool = dict[str, list[str | None]]


@dataclass(frozen=True, kw_only=True)
class GalleryPart:
    """One run's images, ready for the page."""

    title: str
    data: Mapping[str, Any]
    """For JSON: ``pool`` names the pool of photographs, ``columns`` and ``rows`` the images."""


@dataclass(frozen=True, kw_only=True)
class Galleries:
    """All galleries of a report."""

    parts: tuple[GalleryPart, ...]
    pools: Mapping[str, Mapping[str, list[str | None]]]
    """Pool name -> photographs and ground truths in base64, by position."""
    shown: int
    total: int
    size: int
    """Bytes of all pictures in the file."""


def collect(runs: Sequence[tuple[Path, RunResult]], *, limit: int) -> Galleries:
    """Read the thumbnails of runs, as many as fit.

    Args:
        runs: folder and result, in the order of the report.
        limit: most bytes of pictures in the file; where there are more, every run keeps the same share of its images,
            those that went most wrong and most right first.

    A run whose file is damaged is named on stderr and has no pictures.
    """
    sizes = {f: usable(f / GALLERY, lambda path: _needed(path.parent)) for f, _ in runs if (f / GALLERY).exists()}
    chosen = [(folder, result) for folder, result in runs if sizes.get(folder) is not None]
    needed = sum(size or 0 for size in sizes.values())
    share = min(1.0, limit / needed) if needed else 1.0
    pools: dict[str, Pool] = {}
    parts: list[GalleryPart] = []
    size = total = 0
    places: dict[str, dict[str, int]] = {}
    titles: dict[str, str] = {}
    for column in columns([result for _, result in chosen]):
        titles |= {run: f"{column.name} × {name}" for run, name in names(column.runs).items()}
    for folder, result in chosen:
        name = f"pool-{result.dataset.fingerprint[:12]}"
        pool, placed = pools.setdefault(name, {"image": [], "truth": []}), places.setdefault(name, {})

        def read(path: Path, pool: Pool = pool, placed: dict[str, int] = placed) -> Any:
            rows = per_image(path.parent, kept_ids(path.parent))
            return number_of_images(path.parent), *_part(path.parent, rows, pool, placed, share)

        found = usable(folder / GALLERY, read)
        if found is None:
            continue
        number, part, scale, added = found
        total += number
        size += added
        parts.append(
            GalleryPart(title=titles[result.id], data={"pool": name, "columns": COLUMNS, "rows": part, "scale": scale})
        )
    shown = sum(len(p.data["rows"]) for p in parts)
    return Galleries(parts=tuple(parts), pools=pools, shown=shown, total=total, size=size)


def _needed(folder: Path) -> int:
    """Bytes of a run's pictures as text: four letters for three bytes."""
    size = sum(len(p) for t in read_gallery(folder) for p in (t.image, t.truth, t.mask, t.score) if p)
    return size * 4 // 3


def _part(
    folder: Path,
    rows: Sequence[Mapping[str, Any]],
    pool: Pool,
    places: dict[str, int],
    share: float,
) -> tuple[list[list[Any]], tuple[float, float] | None, int]:
    by_id = {str(r["id"]): r for r in rows}
    kept = _kept(rows, share)
    thumbnails = [t for t in read_gallery(folder) if t.id in kept and t.id in by_id]
    part: list[list[Any]] = []
    size = 0
    for thumbnail in thumbnails:
        row = by_id[thumbnail.id]
        if thumbnail.id not in places:
            places[thumbnail.id] = len(pool["image"])
            pool["image"].append(_text(thumbnail.image))
            pool["truth"].append(_text(_tinted(thumbnail.truth, SKY_BLUE)))
            size += len(pool["image"][-1] or "") + len(pool["truth"][-1] or "")
        score, mask = _text(thumbnail.score), _text(_tinted(thumbnail.mask, ORANGE))
        size += len(score or "") + len(mask or "")
        part.append(_row(row, places[thumbnail.id], thumbnail, score, mask))
    return part, _ends(thumbnails), size


def _row(row: Mapping[str, Any], at: int, thumbnail: Thumbnails, score: str | None, mask: str | None) -> list[Any]:
    low, high = _short(thumbnail.low), _short(thumbnail.high)
    extra = {k: v for k, v in row.items() if k not in FACTS and k != "quality" and v is not None}
    facts = {
        "at": at, "id": row["id"], "category": row["category"], "type": row["defect_type"],
        "defective": bool(row["defective"]), "called": row.get("label"), "score_value": _short(row.get("image_score")),
        "iou": _short(row.get("iou")), "outcome": row["outcome"], "message": row.get("message"),
        "quality": _short(row["quality"]), "rationale": row.get("rationale"),
        "extra": {k: _short(v) if isinstance(v, str | int | float) else str(v) for k, v in extra.items()} or None,
        "score": score if low is not None and high is not None else None, "low": low, "high": high,
        "mask": mask, "masked": row["n_defect_pixels"] == row["n_defect_pixels"],
    }  # fmt: skip
    return [facts[name] for name in COLUMNS]


def _kept(rows: Sequence[Mapping[str, Any]], share: float) -> frozenset[str]:
    """Ids of the images that are shown: all, or by turns the worst and the best."""
    if share >= 1.0:
        return frozenset(str(r["id"]) for r in rows)
    ordered = sorted(rows, key=lambda r: float(r["quality"]))
    turns = [r for pair in zip(ordered, reversed(ordered), strict=True) for r in pair]
    unique = list(dict.fromkeys(str(r["id"]) for r in turns))
    return frozenset(unique[: max(1, int(len(rows) * share))])


def _ends(thumbnails: Sequence[Thumbnails]) -> tuple[float, float] | None:
    """Scores at the ends of the colours of a run: the usual lowest one of an image, and what only 2 % exceed."""
    pairs = [(t.low, t.high) for t in thumbnails if t.low is not None and t.high is not None]
    finite = np.array([pair for pair in pairs if np.isfinite(pair).all()], dtype=np.float64)
    if not finite.size:
        return None
    return float(np.median(finite[:, 0])), float(np.quantile(finite[:, 1], 0.98, method="higher"))


def ramp() -> str:
    """Return the colours of score maps (inferno): 256 times red, green, blue, as bytes in base64."""
    import cv2

    levels = np.arange(256, dtype=np.uint8)[:, None]
    colours = cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
    return base64.b64encode(colours.tobytes()).decode("ascii")


def _tinted(png: bytes | None, colour: tuple[int, int, int]) -> bytes | None:
    """Turn a mask into one colour on a transparent ground, as a PNG of two palette entries."""
    if png is None:
        return None
    import io

    import cv2
    from PIL import Image

    grey: Any = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE)
    picture = Image.fromarray((grey > 0).astype(np.uint8), mode="P")
    picture.putpalette([0, 0, 0, *colour])
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", bits=1, transparency=0, optimize=True)
    return buffer.getvalue()


def _text(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode("ascii")


def _short(value: Any) -> Any:
    """Five digits of a float, None for what is not finite; anything else as it is."""
    if not isinstance(value, float):
        return value
    return float(f"{value:.5g}") if np.isfinite(value) else None
