"""Which metrics a run reports: the config group ``metric``."""

from __future__ import annotations

from pydantic import Field, field_validator

from benchmark.core.errors import ConfigError
from benchmark.core.settings import Settings


class MetricSelection(Settings):
    """Names of the metrics to report, in order; the first is the one a sweep marks its best point by."""

    names: tuple[str, ...] = Field(min_length=1)
    """Names of ``benchmark.scoring.metrics.registry.METRICS``."""

    @field_validator("names")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        from benchmark.scoring.metrics.registry import metric

        for name in names:
            try:
                metric(name)
            except ConfigError as error:
                raise ValueError(str(error)) from None
        if len(set(names)) < len(names):
            raise ValueError("a metric is named twice")
        return names
