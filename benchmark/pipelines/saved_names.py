"""How the files of one image are found: by its path, its name, a pattern, or a layout that is known."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from benchmark.core.errors import ConfigError, DataError
from benchmark.core.samples import Sample
from benchmark.pipelines.saved_files import MAPS
from benchmark.pipelines.saved_layouts import Layout

MARKS = ("", "_map", "_score", "_anomaly_map", "_heatmap")
"""What programs put behind an image's stem for its score map."""
MASK_MARKS = ("_mask", "_pred", "_pred_mask")


def find_files(
    folder: Path, sample: Sample, *, maps: str | None, masks: str | None, layout: Layout | None
) -> dict[str, Path]:
    """Find map and mask of a sample.

    Args:
        folder: of all predictions.
        maps: pattern of maps, see ``filled``; None: a usual name or that of a layout.
        masks: likewise.
        layout: of the folder; None: none is known.

    Raises:
        DataError: several files could be the one.
        ConfigError: a pattern is none.
    """
    found: dict[str, Path] = {}
    path = PurePosixPath(sample.id).with_suffix("")
    places = (folder / path, folder / path.name)
    usual = {
        "map": (maps, [f"{mark}{ending}" for mark in MARKS for ending in MAPS], layout.maps(sample) if layout else ()),
        "mask": (masks, [f"{mark}.png" for mark in MASK_MARKS], layout.masks(sample) if layout else ()),
    }
    for kind, (pattern, endings, known) in usual.items():
        if pattern is not None:
            wanted = [folder / filled(pattern, sample)]
        else:
            wanted = [Path(f"{place}{ending}") for place in (*known, *places) for ending in endings]
            wanted += [Path(f"{place}.png") for place in known if kind == "mask"]
        there = dict.fromkeys(path for path in wanted if path.is_file())
        if len(there) > 1:
            names = " and ".join(str(path) for path in list(there)[:2])
            raise DataError(f"{names} could both be the {kind} of {sample.id}; say which with pipeline.{kind}s")
        if there:
            found[kind] = next(iter(there))
    return found


def filled(pattern: str, sample: Sample) -> str:
    """Return a pattern of ``{path}``, ``{stem}``, ``{category}``, ``{type}`` for a sample; else raises ConfigError."""
    path = PurePosixPath(sample.id)
    words = {
        "path": str(path.with_suffix("")), "stem": path.stem, "category": sample.category,
        "type": sample.defect_type,
    }  # fmt: skip
    try:
        return pattern.format(**words)
    except (KeyError, IndexError, ValueError, AttributeError, TypeError) as error:  # {path.stem}, {path[stem]}
        known = ", ".join(f"{{{word}}}" for word in words)
        raise ConfigError(f"{pattern!r} is no pattern of pipeline.maps or pipeline.masks: it knows {known}") from error


def refuse_shared(files: Mapping[str, Mapping[str, Path]]) -> None:
    """Raise DataError where one file would be the prediction of several images: names repeat across folders."""
    owner: dict[Path, str] = {}
    for sample, found in files.items():
        for kind, path in found.items():
            if owner.setdefault(path, sample) != sample:
                raise DataError(
                    f"{path} would be the {kind} of several images, {owner[path]} and {sample}: keep their folders "
                    f"below pipeline.path, or say with pipeline.{kind}s how they are named"
                )
