"""What a run and its protocol are called."""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from benchmark.config.moved import recorded_choices
from benchmark.config.schema import RunConfig
from benchmark.results.schema import data_label

if TYPE_CHECKING:
    from benchmark.core.samples import Manifest
    from benchmark.scoring.protocol import Protocol


def identify(config: RunConfig, settings: Mapping[str, Any], manifest: Manifest) -> str:
    """Name the run by what it is, so that the same command finds its own results again."""
    digest = hashlib.sha256(json.dumps([settings, manifest.fingerprint], sort_keys=True).encode()).hexdigest()
    choices = recorded_choices(config.choices)
    name = f"{data_label(choices, manifest.dataset)}-{choices['pipeline']}"
    folder = re.sub(r"[^\w.-]+", "-", name).strip(".-")
    return f"{folder}-{digest[:12]}"


def protocol_name(option: str, protocol: Protocol) -> str:
    """Return the name of a protocol: its option's, with a star and what differs where settings were changed.

    An option of the user's own config folder that this package cannot compose by itself keeps its plain name.
    """
    usual = _protocol_of(option)
    if usual is None or usual.hash == protocol.hash:
        return option
    given, said = usual.model_dump(mode="json"), protocol.model_dump(mode="json")
    return f"{option}* ({', '.join(f'{key}={value}' for key, value in said.items() if value != given[key])})"


@functools.cache
def _protocol_of(option: str) -> Protocol | None:
    """The settings that an option of ``conf/protocol`` has by itself."""
    from benchmark.config.compose import compose
    from benchmark.config.options import options
    from benchmark.config.schema import option_settings
    from benchmark.scoring.protocol import Protocol

    if option not in options("protocol"):
        return None
    settings = option_settings("protocol", compose([f"protocol={option}"])[0]["protocol"])
    return settings if isinstance(settings, Protocol) else None
