"""Where the programs of the field put score maps: MVTec's evaluation, MVTec AD 2's server, anomalib's results."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from benchmark.core.errors import DataError
from benchmark.core.samples import Sample

AS_BATCHES = (
    "save what the model says: for i, b in enumerate(engine.predict(model, datamodule)): "
    "numpy.savez(f'{i}.npz', image_path=b.image_path, anomaly_map=b.anomaly_map.cpu(), pred_score=b.pred_score.cpu()); "
    "or let pipeline=anomalib fit the model here"
)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A known tree of score maps."""

    name: str
    """As the result tells it."""
    maps: Callable[[Sample], Sequence[Path]]
    """Where the map of an image may lie, without its ending."""
    masks: Callable[[Sample], Sequence[Path]]
    """Where its mask may lie, without the ending ``.png``."""
    pictures: bool = False
    """Its files may be pictures for people, see ``refuse_picture``."""


def find_layout(folder: Path, categories: Sequence[str]) -> Layout | None:
    """Recognise a folder of score maps by the names of the folders in it.

    Args:
        folder: of the predictions.
        categories: of the run.

    Raises:
        DataError: results of several models, or of several datasets, lie in it.
    """
    for name, thresholded, told in (
        ("anomaly_maps", None, "MVTec's evaluation, anomaly_maps/<category>/test/<defect>/<image>"),
        (
            "anomaly_images",
            "anomaly_images_thresholded",
            "MVTec AD 2's server, anomaly_images/<object>/<split>/<image>",
        ),
    ):
        top = folder if folder.name == name else folder / name
        if top.is_dir():
            cut = None if thresholded is None else top.parent / thresholded
            return Layout(
                name=told,
                maps=partial(_below, top),
                masks=partial(_below, cut) if cut else lambda _: (),
            )
    if not (roots := _anomalib_images(folder, categories)):
        return None

    def maps(sample: Sample) -> Sequence[Path]:
        return _below(roots[sample.category], sample) if sample.category in roots else ()

    told = "anomalib's results, <model>/<dataset>/<category>/latest/images/<defect>/<image>"
    return Layout(name=told, maps=maps, masks=lambda _: (), pictures=True)


def refuse_picture(path: Path) -> None:
    """Raise DataError where a file of anomalib's results is a coloured picture for people and no score map."""
    from benchmark.data.images import opened

    if path.suffix.lower() == ".png":
        with opened(path) as image:
            bands = image.getbands()
        if len(bands) > 1:
            raise DataError(
                f"{path}: a picture that anomalib draws for people ({', '.join(bands)}), from which no score can be "
                f"told; {AS_BATCHES}"
            )


def _below(top: Path, sample: Sample) -> Sequence[Path]:
    """Return where an image may lie: by its path, with or without its category, or by the folder it lies in."""
    path = PurePosixPath(sample.id).with_suffix("")
    inner = path.relative_to(sample.category) if path.parts[0] == sample.category else path
    names = (path, PurePosixPath(sample.category) / inner, inner, PurePosixPath(path.parent.name) / path.name)
    return tuple(top / name for name in dict.fromkeys(names))


def _anomalib_images(folder: Path, categories: Sequence[str]) -> dict[str, Path]:
    """Return the folder of pictures of each category that has one; data without categories have one for all."""
    tops = ("", "*/", "*/*/")
    named = {
        category: root
        for category in categories
        if (root := _only(folder, [f"{top}{_literal(category)}/*/images" for top in tops])) is not None
    }
    if named:
        return named
    shared = _only(folder, ["*/images", *(["*/*/*/images"] if folder.name == "results" else [])])
    if shared is None and folder.name == "images" and _version(folder.parent) >= 0:
        shared = folder
    if shared is None and _version(folder) >= 0 and (folder / "images").is_dir():
        shared = folder / "images"
    return {} if shared is None else dict.fromkeys(categories, shared)


def _only(folder: Path, patterns: Sequence[str]) -> Path | None:
    """Return the pictures of the newest run that the first of some patterns leads to; None: there are none."""
    for pattern in patterns:
        found = {_newest(path.parent) for path in folder.glob(pattern) if _version(path.parent) >= 0}
        if len(found) > 1:
            names = " and ".join(str(path) for path in sorted(found)[:2])
            raise DataError(f"{names} both hold predictions of the same images; give one of them as pipeline.path")
        if found:
            return found.pop() / "images"
    return None


def _literal(name: str) -> str:
    """Return a name as a pattern of ``glob`` that nothing else matches."""
    return re.sub(r"([*?[])", r"[\1]", name)


def _version(folder: Path) -> int:
    """Return the number of a run's folder, ``latest`` being above all; -1: it is none."""
    if folder.name == "latest":
        return 1 << 62
    found = re.fullmatch(r"v([0-9]{1,9})", folder.name)
    return int(found[1]) if found else -1


def _newest(folder: Path) -> Path:
    """Return the newest run beside a run's folder that has pictures."""
    return max((run for run in folder.parent.iterdir() if (run / "images").is_dir()), key=_version)
