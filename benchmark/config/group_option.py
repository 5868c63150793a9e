"""Options of further config groups inside a pipeline's settings: ``/tagger@tagger: clip_vocab`` in its defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import PlainValidator

from benchmark.config.schema import option_settings
from benchmark.core.settings import Settings


def group_option(key: str, *, usual: str = "") -> PlainValidator:
    """Return the annotation of a field that holds an option of a group, built by its ``_target_``.

    Args:
        key: of the field, for messages, such as ``pipeline.tagger``.
        usual: class of settings without ``_target_``, as they are where the field was none of a group at first.
    """

    def build(value: Any) -> Settings:
        if isinstance(value, Settings):
            return value
        if not isinstance(value, Mapping):
            group = key.rpartition(".")[2]
            name = value if isinstance(value, str) else "NAME"
            raise ValueError(f"must be an option of the group {group}: give {group}@{key}={name}")
        return option_settings(key, {"_target_": usual, **value} if usual else value)

    return PlainValidator(build)
