"""One run as a Python call: ``from benchmark import evaluate``, for notebooks and scripts."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmark.core.environment import variable_kept
from benchmark.core.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd

    from benchmark.results.schema import RunResult


@dataclass(frozen=True, kw_only=True)
class ImageMaps:
    """What a run kept of one image, reduced to at most 160 pixels a side; pictures of one image have one size."""

    id: str
    image: NDArray[np.uint8] | None
    """(H, W, 3), RGB; None where the image cannot be read."""
    ground_truth: NDArray[np.bool_] | None
    """(H, W), True where any pixel below is a defect; None where no pixel is one."""
    score: NDArray[np.float32] | None
    """(H, W), in the pipeline's own units, for the eye: a compressed thumbnail, off by some hundredths of the map's
    range in places; None where there is no map. Metrics are computed from the whole map."""
    mask: NDArray[np.bool_] | None
    """(H, W), the binary decision; None where the pipeline makes none."""


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """A finished run."""

    result: RunResult
    """The typed record of the run: its config, data, metrics and digest."""
    folder: Path
    """Where its files lie: ``result.json``, ``per_image.parquet``, thumbnails."""
    tracking_error: str | None
    """Why the run could not be logged in MLflow; its files are whole all the same."""

    def __repr__(self) -> str:
        """Say which run it is and where; the result itself fills screens."""
        return f"Evaluated({self.result.id!r}, digest {self.result.digest[:12]}, folder {str(self.folder)!r})"

    @property
    def table(self) -> pd.DataFrame:
        """Every metric as a row: value, 95 % interval and n, for each category, ``mean`` and ``pooled``."""
        import pandas as pd

        return pd.DataFrame([row.model_dump() for row in self.result.metrics])

    @property
    def images(self) -> pd.DataFrame:
        """One row per image: id, label, image score, outcome and what the pipeline says of it."""
        from benchmark.results.files import read_rows

        return read_rows(self.folder)

    def maps(self) -> Iterator[ImageMaps]:
        """Yield images, ground truth, score maps and masks, as thumbnails, in the order of the run.

        At most ``run.gallery`` images have any, spread evenly over the run; its ``per_image`` table has the rest.
        """
        from benchmark.results.gallery import decode, read_gallery

        for kept in read_gallery(self.folder):
            grey, score = None if kept.score is None else decode(kept.score), None
            if grey is not None and kept.low is not None and kept.high is not None:
                score = (kept.low + grey.astype(np.float32) / 255.0 * (kept.high - kept.low)).astype(np.float32)
            yield ImageMaps(
                id=kept.id,
                image=None if kept.image is None else decode(kept.image, colour=True),
                ground_truth=None if kept.truth is None else decode(kept.truth) > 0,
                score=score,
                mask=None if kept.mask is None else decode(kept.mask) > 0,
            )


def evaluate(
    *,
    dataset: str | None = None,
    pipeline: str | None = None,
    protocol: str | None = None,
    metric: str | None = None,
    tracking: str | None = None,
    settings: Mapping[str, Any] | None = None,
    overrides: Sequence[str] = (),
    data_root: str | Path | None = None,
    results_root: str | Path | None = None,
    cache_root: str | Path | None = None,
    weights_root: str | Path | None = None,
    config_dirs: Sequence[str | Path] = (),
) -> Evaluated:
    """Carry out one run, as ``fm-defect-bench run`` does: the same config, run id, files and digest.

    What is None is as conf/config.yaml and the environment (DATA_ROOT, …) say.

    Args:
        dataset: option of the group ``dataset``.
        pipeline: option of the group ``pipeline``.
        protocol: option of the group ``protocol``; None: that of the pipeline's paper, or the default.
        metric: option of the group ``metric``.
        tracking: option of the group ``tracking``.
        settings: any further keys with Python values, dotted (``{"pipeline.smoothing": 2.0}``) or nested
            (``{"run": {"limit": 20}}``); a mapping under a dotted key is that key's value.
        overrides: further words as on the command line.
        data_root: where datasets lie.
        results_root: where the run is written.
        cache_root: of the stage store; a folder or an address such as ``s3://bucket/prefix``.
        weights_root: where weights files lie.
        config_dirs: the user's own folders of options, in the layout of ``conf/``.

    Raises:
        ConfigError: an option, key or value that cannot be used, with what comes near.
        BenchmarkError: anything else that the user can fix; nothing half-written is left behind.
    """
    from benchmark.config.compose import compose
    from benchmark.config.options import search_path
    from benchmark.config.schema import build
    from benchmark.running.run import execute

    groups = {"dataset": dataset, "pipeline": pipeline, "protocol": protocol, "metric": metric, "tracking": tracking}
    for group, option in groups.items():
        if option is not None and not isinstance(option, str):
            raise ConfigError(f"{group}={option!r}: give the name of one option as text; several runs are a sweep")
    if settings is not None and not isinstance(settings, Mapping):
        raise ConfigError(
            'settings: give keys and values, such as {"pipeline.smoothing": 2.0}; words go into overrides'
        )
    words = [f"{group}={option}" for group, option in groups.items() if option is not None]
    if config_dirs:
        words.append(search_path([Path(folder) for folder in config_dirs]))
    places = {"data": data_root, "results": results_root, "cache": cache_root, "weights": weights_root}
    given = {f"run.{name}_root": str(place) for name, place in places.items() if place is not None}
    words += [f"{key}={literal(value)}" for key, value in {**given, **_dotted(settings or {})}.items()]
    words += overrides
    composed, choices = compose(words)
    config = build(composed, choices)
    if config.run.shard is not None:
        raise ConfigError("run.shard: a shard has no result of its own; give it on the command line")
    with variable_kept("BENCH_CACHE"), variable_kept("BENCH_CACHE_LOCAL"):
        finished = execute(config, composed, command=["python", "-m", "benchmark", *words])
    assert finished is not None, "only shards end without a result"
    if finished.tracking_error:
        warnings.warn(finished.tracking_error, stacklevel=2)
    return Evaluated(result=finished.result, folder=finished.folder, tracking_error=finished.tracking_error)


def literal(value: Any) -> str:
    """Write a Python value as a value of Hydra's override grammar; raises ConfigError for other types."""
    if value is None:
        return "null"
    if isinstance(value, bool | np.bool_):
        return str(bool(value)).lower()
    if isinstance(value, Integral):
        return repr(int(value))
    if isinstance(value, Real):
        return repr(float(value))
    if isinstance(value, str | Path):
        from hydra.core.override_parser.types import Quote, QuotedString

        return QuotedString(text=str(value), quote=Quote.single).with_quotes()
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{k}:{literal(v)}" for k, v in value.items()) + "}"
    if isinstance(value, Sequence):
        return "[" + ",".join(literal(v) for v in value) + "]"
    raise ConfigError(f"settings: {value!r} is a {type(value).__name__}; give text, numbers, lists or mappings")


def _dotted(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Turn the nested form of settings into the dotted one; a mapping under a dotted key is a value."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping) and value and "." not in key and "@" not in key:
            found |= _dotted(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found
