"""RunResult: the one typed, versioned schema of a result file.

Everything outside ``measured`` is deterministic: two runs of one config on the same data
give the same bytes, and ``digest`` is the sha256 of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from pydantic import Field

from benchmark.core.settings import Record
from benchmark.scoring.metric_record import MetricRecord
from benchmark.weights.used import WeightsUsed

SCHEMA_VERSION = 1
OWN_DATA = ("folder", "table", "coco", "yolo", "labelme", "class_masks", "huggingface")
"""Options of the group ``dataset`` that stand for whatever the user has."""


class DatasetRecord(Record):
    """Which data was evaluated."""

    name: str
    fingerprint: str
    """Hash over ids, content, labels, groups and splits of all samples of the manifest."""
    n_samples_expected: int | None
    """What the dataset's card says for this selection; None where no card says."""
    n_samples_original: int
    """Test samples of the manifest."""
    n_samples_effective: int
    """Test samples of this run, after ``run.limit``."""
    n_good: int
    n_defective: int
    categories: list[str]
    notes: list[str]


class ProtocolRecord(Record):
    """How predictions were scored; results are comparable only where the hashes agree."""

    name: str
    hash: str
    settings: dict[str, Any]


class BaselineRecord(Record):
    """What a constant answer reaches on the same labels: the row without which an F2 means nothing."""

    policy: str
    values: dict[str, float | None]


class StageRecord(Record):
    """One expensive stage of the pipeline."""

    name: str
    version: int
    fingerprint: str


class Measured(Record):
    """What differs from run to run."""

    started: str
    """UTC, ISO 8601."""
    seconds: float
    seconds_per_stage: dict[str, float]
    """Of computing."""
    seconds_waiting: dict[str, float] = Field(default_factory=dict)
    """By stage: for images that were not yet decoded."""
    seconds_storing: dict[str, float] = Field(default_factory=dict)
    """By stage: reading and writing its entries of the store."""
    images_at_once: dict[str, int] = Field(default_factory=dict)
    """Images of the largest batch of each stage that computed."""
    samples_computed: dict[str, int]
    samples_reused: dict[str, int]
    counters: dict[str, float] = Field(default_factory=dict)
    """What the pipeline counted (calls, tokens, money)."""
    peak_memory_mb: float
    gpu_memory_mb: float | None
    git_commit: str | None
    git_dirty: bool | None
    python: str
    platform: str
    hardware: dict[str, str | int | None]
    packages: dict[str, str]
    settings: dict[str, Any]
    """Run settings that do not change the result: paths, device, workers."""
    command: list[str]


class RunResult(Record):
    """The result of one run."""

    schema_version: int = SCHEMA_VERSION
    id: str
    """Equal for equal configs, data and code-independent settings: a rerun writes to the same folder."""
    config: dict[str, Any]
    choices: dict[str, str]
    dataset: DatasetRecord
    protocol: ProtocolRecord
    stages: list[StageRecord]
    weights: list[WeightsUsed]
    outcomes: dict[str, int]
    metrics: list[MetricRecord]
    baselines: list[BaselineRecord]
    tables: dict[str, list[dict[str, Any]]] = Field(default_factory=dict)
    """Further small tables of the pipeline (scores per fold)."""
    rows_sha256: str
    """Hash of the per-image rows beside this file."""
    meaningless: bool = False
    """True when random weights took part."""
    digest: str = ""
    measured: Measured

    @property
    def data_label(self) -> str:
        """What the data is called: the chosen option, or the name that was given to data of the user's own."""
        return data_label(self.choices, self.dataset.name)

    @property
    def title(self) -> str:
        """Data and pipeline, for people."""
        return f"{self.data_label} × {self.choices['pipeline']}"

    def deterministic_json(self) -> str:
        """Return the part that two runs of one config share, as canonical JSON."""
        return self.model_dump_json(exclude={"measured", "digest"}, indent=1)

    def sealed(self) -> RunResult:
        """Return a copy with its digest filled in."""
        return self.model_copy(update={"digest": hashlib.sha256(self.deterministic_json().encode()).hexdigest()})

    def metric(self, name: str, category: str = "mean") -> MetricRecord:
        """Return one metric row; raises KeyError naming what the result holds."""
        for row in self.metrics:
            if row.metric == name and row.category == category:
                return row
        known = sorted({(row.metric, row.category) for row in self.metrics})
        raise KeyError(f"no metric {name!r} for {category!r} in {self.id}; it holds {known}")

    def headline(self) -> dict[str, MetricRecord]:
        """Return for each metric the row that the protocol calls its result: over categories or over all images."""
        order = ["mean", "pooled"] if self.protocol.settings["averaging"] == "categories" else ["pooled", "mean"]
        found: dict[str, MetricRecord] = {}
        for category in order:
            for row in self.metrics:
                if row.category == category:
                    found.setdefault(row.metric, row)
        return found


def data_label(choices: Mapping[str, str], name: str) -> str:
    """Return what data is called, from the choice of each group and the name in the data set's settings."""
    return name if choices["dataset"] in OWN_DATA else choices["dataset"]


def plain(value: Any) -> Any:
    """Return ``value`` as JSON-ready containers with sorted mappings."""
    if isinstance(value, Mapping):
        return {str(k): plain(value[k]) for k in sorted(value, key=str)}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, str | int | float | bool) or value is None:
        return value
    return str(value)


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Flatten nested settings to dotted keys with text values."""
    flat: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = str(value)
    return flat
