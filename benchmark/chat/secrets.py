"""Keys of services come from the environment; ``benchmark.core.secrets`` keeps them out of everything else."""

from __future__ import annotations

import os

from benchmark.core.errors import ConfigError
from benchmark.core.secrets import know


def api_key(*variables: str, fix: str) -> str:
    """Return the key from the first variable that is set.

    Raises:
        ConfigError: none is set; one line that says which to set.
    """
    for name in variables:
        value = os.environ.get(name, "").strip()
        if value:
            know(value)
            return value
    raise ConfigError(f"no key: set the environment variable {' or '.join(variables)}, or {fix}")
