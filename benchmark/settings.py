"""The bases of what is read from files: immutable, and closed to unknown keys."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """A typed group of settings.

    Subclasses declare fields without defaults: the YAML option is the one place where a
    default stands. Unknown keys and wrong types are refused when the config is read, before
    anything is loaded (``benchmark.config.build``).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=False)


class Record(BaseModel):
    """A part of a file that is written by one version and read by another; unknown fields are refused on reading."""

    model_config = ConfigDict(frozen=True, extra="forbid")
