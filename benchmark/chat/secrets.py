"""Keys come from the environment and go nowhere else: every text that leaves a provider passes through here."""

from __future__ import annotations

import json
import os
from typing import Any

from benchmark.core.errors import ConfigError
from benchmark.core.provenance import redact

KEY_VARIABLES = ("GEMINI_API_KEY", "GOOGLE_API_KEY", "OPENAI_API_KEY")
_used: set[str] = set()
SHORTEST = 4
"""A shorter value is a placeholder (Ollama takes any word as key) and would mangle texts."""


def api_key(*variables: str, fix: str) -> str:
    """Return the key from the first variable that is set.

    Raises:
        ConfigError: none is set; one line that says which to set.
    """
    for name in variables:
        value = os.environ.get(name, "").strip()
        if value:
            _used.add(value)
            return value
    raise ConfigError(f"no key: set the environment variable {' or '.join(variables)}, or {fix}")


def scrub(text: str) -> str:
    """Replace every known key by ``***``."""
    known = {os.environ.get(name, "").strip() for name in KEY_VARIABLES} | _used
    for value in sorted((v for v in known if len(v) >= SHORTEST), key=len, reverse=True):
        text = text.replace(value, "***")
    return redact(text)


def scrub_json(value: Any) -> Any:
    """Replace every known key in every text of JSON values."""
    if isinstance(value, str):
        return scrub_exact(value)
    if isinstance(value, dict):
        return {scrub_exact(str(k)): scrub_json(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [scrub_json(v) for v in value]
    json.dumps(value)
    return value


def scrub_exact(text: str) -> str:
    """Replace known keys only: an answer's words are not to be changed by a pattern that looks like a key."""
    known = {os.environ.get(name, "").strip() for name in KEY_VARIABLES} | _used
    for value in known:
        if len(value) >= SHORTEST:
            text = text.replace(value, "***")
    return text
