"""From a composed Hydra config to typed settings; misspelt keys and wrong types are named here."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from inspect import isabstract
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol, Self, TypeVar, get_args

from pydantic import Field, ValidationError, field_validator, model_validator

from benchmark.config.moved import new_place
from benchmark.config.pipeline import Pipeline
from benchmark.config.tiling import Tiling
from benchmark.config.value_words import problems_of, takes_text
from benchmark.core.addresses import Place, ResultsRoot
from benchmark.core.errors import ConfigError, near_matches
from benchmark.core.settings import FolderPath, Settings
from benchmark.results.export_index import Form

if TYPE_CHECKING:
    from benchmark.core.samples import Manifest
    from benchmark.scoring.metrics.selection import MetricSelection
    from benchmark.scoring.protocol import Protocol as ScoringProtocol
    from benchmark.stages.opening import StorePlace
    from benchmark.tracking import Mlflow, NoTracking

AnySettings = TypeVar("AnySettings", bound=Settings)


class Dataset(Protocol):
    """What every option of the group ``dataset`` can do."""

    def manifest(self, data_root: Path) -> Manifest:
        """Index the data below ``data_root``; raises DataError naming the file and the fix."""
        ...


class RaySettings(Settings):
    """The keys ``run.ray``: where actors run, and how many; none of them changes a result."""

    address: str
    """``local``, ``auto``, or host:port of a cluster's head."""
    actors: tuple[int, int]
    """Fewest and most of one stage."""
    gpus: float = Field(ge=0)
    """Of each actor."""
    batch: int = Field(gt=0)
    """Images of one task."""

    @field_validator("address")
    @classmethod
    def _is_a_place(cls, value: str) -> str:
        if not re.fullmatch(r"local|auto|[^/\s]+:\d{1,5}", value):
            raise ValueError("give local, auto, or host:port of the cluster's head, such as 10.0.0.1:6379")
        return value

    @field_validator("actors", mode="before")
    @classmethod
    def _is_a_range(cls, value: Any) -> Any:
        whole = isinstance(value, list | tuple) and all(type(one) is int for one in value)
        if not whole or len(value) != 2 or not 1 <= value[0] <= value[1]:
            raise ValueError("give the fewest and the most actors, such as [1,4]")
        return value

    @field_validator("gpus")
    @classmethod
    def _is_shared_or_whole(cls, value: float) -> float:
        if value > 1 and not value.is_integer():
            raise ValueError("give a part of one GPU, such as 0.5, or whole ones")
        return value


class RunSettings(Settings):
    """The group ``run``: where things lie and how the run is carried out."""

    data_root: FolderPath
    results_root: ResultsRoot
    results_copy: Place | None
    cache_root: Place
    cache_gb: float | None = Field(gt=0)
    cache_local: FolderPath
    cache_remote_mb: float = Field(ge=0)
    weights_root: FolderPath
    seed: int = Field(ge=0)
    limit: int | None = Field(gt=0)
    device: str = Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="auto, cpu, cuda or cuda:1")
    workers: int = Field(ge=0)
    batch_size: Literal["auto"] | Annotated[int, Field(ge=1)]
    """Images at once in every stage that takes several; ``auto``: see ``benchmark.stages.batching``."""
    shard: str | None = Field(pattern=r"^\d+/\d+$", description="one of how many, such as 0/4")
    engine: Literal["local", "ray"]
    ray: RaySettings
    overwrite: Literal["never", "only_missing", "always"]
    objective: str | None
    on_error: Literal["stop", "record"]
    gallery: int = Field(ge=0)
    export: tuple[Form, ...]
    """Forms in which predictions are written beside the result."""
    export_threshold: float | None
    """Masks are the places with this score or more where the pipeline makes none; None: there are none then."""

    @model_validator(mode="after")
    def _is_shared_out_once(self) -> Self:
        if self.shard is not None and self.engine == "ray":
            raise ValueError("shard and engine=ray each share the work out; give one of them")
        if self.engine == "ray" and self.device.startswith("cuda") and not self.ray.gpus:
            raise ValueError(
                f"device={self.device} with ray.gpus=0, which gives no actor a GPU: give run.ray.gpus=1, or leave "
                "run.device out"
            )
        return self

    def store_place(self) -> StorePlace:
        """Return where the stage store lies: plain values with which any process opens it."""
        from benchmark.stages.opening import StorePlace

        return StorePlace(
            root=self.cache_root,
            local=self.cache_local,
            remote_bytes=int(self.cache_remote_mb * 1e6),
            max_bytes=None if self.cache_gb is None else int(self.cache_gb * 1e9),
        )

    def tell_cache(self) -> None:
        """Let the rest of this process, and those it starts, remember its index and digests beside the stage store."""
        os.environ["BENCH_CACHE"] = str(self.cache_root)
        os.environ["BENCH_CACHE_LOCAL"] = str(self.cache_local)


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """One whole run, typed."""

    run: RunSettings
    dataset: Dataset
    pipeline: Pipeline
    tiling: Tiling
    protocol: ScoringProtocol
    metric: MetricSelection
    tracking: Mlflow | NoTracking
    choices: Mapping[str, str]
    """Which option was chosen in each group."""


GROUPS = ("dataset", "pipeline", "protocol", "metric", "tracking")


def build(composed: Mapping[str, Any], choices: Mapping[str, str]) -> RunConfig:
    """Turn a composed config (plain containers) into typed settings.

    Raises:
        ConfigError: a key is unknown or missing, or a value has the wrong type; every such
            place is named with its full key.
    """
    unknown = sorted(set(composed) - {"run", "tiling", *GROUPS})
    if unknown:
        raise ConfigError(f"unknown key {unknown[0]!r}; {near_matches(unknown[0], ['run', 'tiling', *GROUPS])}")
    parts: dict[str, Any] = {"run": settings_from("run", RunSettings, composed["run"])}
    parts["tiling"] = settings_from("tiling", Tiling, composed["tiling"])
    for group in GROUPS:
        parts[group] = option_settings(group, composed[group])
    config = RunConfig(**parts, choices=dict(choices))
    best_by = config.run.objective
    if best_by is not None and best_by not in config.metric.names:
        raise ConfigError(f"run.objective={best_by} is not computed; {near_matches(best_by, config.metric.names)}")
    return config


def pipeline_settings(values: Mapping[str, Any]) -> Pipeline:
    """Build the settings of a pipeline's option; raises as ``option_settings`` does."""
    built = option_settings("pipeline", values)
    assert isinstance(built, Pipeline)
    return built


def option_settings(group: str, values: Mapping[str, Any]) -> Settings:
    """Build the settings object that an option's ``_target_`` names; importing it must stay light.

    Raises:
        ConfigError: there is no such class, it lacks what the group asks for, or a value is refused.
    """
    from hydra.utils import get_class

    target = values.get("_target_")
    if not target:
        raise ConfigError(f"{group}: the option has no _target_; its YAML must name a class of benchmark")
    if place := new_place(target):
        raise ConfigError(f"{group}._target_: {target} is now {place}; change that line of your option's YAML")
    try:
        cls = get_class(target)
    except Exception as error:
        raise ConfigError(f"{group}._target_: {target} cannot be imported ({error})") from error
    base: type[Settings] = Pipeline if group == "pipeline" else Settings
    if not issubclass(cls, base):
        methods = "".join(f", with the method {name}" for name in sorted(base.__abstractmethods__))
        raise ConfigError(f"{group}._target_: {target} must derive from {base.__module__}.{base.__name__}{methods}")
    if isabstract(cls):
        raise ConfigError(f"{group}._target_: {target} lacks the method {', '.join(sorted(cls.__abstractmethods__))}")
    return settings_from(group, cls, {k: v for k, v in values.items() if k != "_target_"})


def settings_from(path: str, cls: type[AnySettings], values: Mapping[str, Any]) -> AnySettings:
    """Validate ``values`` as ``cls``; ``path`` is the config key that errors are reported under."""
    try:
        return cls.model_validate(dict(values))
    except ValidationError as error:
        lines = [_explain(path, cls, problem, may_be) for problem, may_be in problems_of(cls, error)]
        raise ConfigError("\n".join(lines)) from None


GIVE = {"string_type": "give a text", "path_type": "give a path"}
"""What is said in place of pydantic's words, by kind of problem."""


def _explain(path: str, cls: type[Settings], problem: Mapping[str, Any], may_be: str | None) -> str:
    key = ".".join([path, *(str(part) for part in problem["loc"])])
    if problem["type"] == "extra_forbidden":
        return f"unknown key {key!r}; {near_matches(str(problem['loc'][-1]), _keys_at(cls, problem['loc'][:-1]))}"
    if problem["type"] == "missing" and isinstance(problem["loc"][-1], int):
        return f"{key.rpartition('.')[0]}: needs more values (got {problem['input']!r})"
    if problem["type"] == "missing":
        return f"{key} is not set; give it as {key}=…"
    got = problem["input"]
    if may_be is not None:
        return f"{key}: give {may_be} (got {got!r})"
    if problem["type"] in ("tuple_type", "list_type"):
        return f"{key}: is a list (got {got!r}); write {key}=[{got}]"
    is_text = problem["type"] in ("string_type", "path_type", "value_error") and takes_text(cls, problem["loc"])
    looks = isinstance(got, bool | int | float) and is_text
    fix = "; a text that looks like a number, true or null is written in quotes" if looks else ""
    says = GIVE.get(problem["type"], problem["msg"].removeprefix("Value error, "))
    if isinstance(got, Mapping):  # what is wrong lies between its keys, which the message names
        return f"{key}: {says}"
    return f"{key}: {says} (got {got!r}{fix})"


def _keys_at(cls: type[Settings], place: Sequence[str | int]) -> list[str]:
    """Names of the keys below ``place``, none where no settings class can be told."""
    for part in place:
        field = cls.model_fields.get(str(part))
        kinds = [field.annotation, *get_args(field.annotation)] if field else []
        inner = [k for k in kinds if isinstance(k, type) and issubclass(k, Settings)]
        if len(inner) != 1:
            return []
        cls = inner[0]
    return list(cls.model_fields)
