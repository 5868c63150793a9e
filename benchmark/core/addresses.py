"""Addresses of object stores and other file systems (``s3://bucket/prefix``): told from paths, and free of keys."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import PlainValidator

from benchmark.core.errors import ConfigError
from benchmark.core.secrets import know
from benchmark.core.settings import expanded, folder_of, is_address

_LOCAL = ("file", "local")
_WITH_USER = frozenset({"abfs", "abfss", "adl", "az", "hdfs", "webhdfs", "sftp", "ssh", "smb", "ftp"})
"""Where what stands before an ``@`` is a container or the name of a user, and no secret."""
_ALMOST = re.compile(
    r"(?P<protocol>s3a?|gs|gcs|az|abfss?|adl|hdfs|webhdfs|sftp|ssh|smb|ftp|https?|memory|file)(//+|:)(?!/)",
    re.IGNORECASE,
)
"""How an address begins whose colon or slashes were left out."""
_OWN_CHAIN = (
    "credentials come from the provider's own chain: for S3 AWS_PROFILE, ~/.aws or the role of the machine, "
    "for gs `gcloud auth application-default login`, for az AZURE_STORAGE_… variables"
)


def checked_address(text: str) -> str:
    """Return an address without a slash at its end.

    Raises:
        ValueError: it holds credentials, parameters, wildcards or a second address, or names no place.
    """
    protocol, found, rest = text.partition("://")
    if not found or "::" in text:
        raise ValueError("is no address of one file system; write protocol://place/prefix")
    user, at, _ = rest.rpartition("@")  # in a password may be a slash
    if at and (":" in user or protocol.lower() not in _WITH_USER):
        know(user)
        raise ValueError(f"holds credentials; leave out what stands before the @: {_OWN_CHAIN}")
    if parameters := re.search(r"[?#](.*)", text):
        know(parameters[1])
        raise ValueError(f"has parameters behind it; leave them out: {_OWN_CHAIN}")
    if not rest.strip("/"):
        raise ValueError(f"names no place; write {protocol}://bucket/prefix")
    if re.search(r"[*\[\]{}\s\x00-\x1f]", text) or {"", ".", ".."} & {*rest.strip("/").split("/")}:
        raise ValueError("has a wildcard, a space, '//', '.' or '..' in it; name one place")
    return text.rstrip("/")


def place(value: object) -> str | Path:
    """Read a folder of this machine (a ``Path``, ``file://`` too) or an address (a ``str``).

    Raises:
        ValueError: neither can be read.
    """
    if not isinstance(value, str | Path):
        raise ValueError("must be the path of a folder, or an address such as s3://bucket/prefix")
    if isinstance(value, Path) or not is_address(value):
        meant = _ALMOST.match(str(value))
        if meant:
            address = f"{meant['protocol']}://{str(value)[meant.end() :]}"
            raise ValueError(f"is no address; write {address}, or ./{value} for a folder of that name")
        return expanded(value)
    address = checked_address(value)
    protocol, _, path = address.partition("://")
    return expanded(path) if protocol.lower() in _LOCAL else address


def results_root(value: object) -> Path:
    """Read the folder that runs are written into (``run.results_root``).

    Raises:
        ValueError: it cannot be read, or is an address.
    """
    found = place(value)
    if isinstance(found, str):
        raise ValueError(
            "is an address, and runs are written into a folder of this machine; leave it out (RESULTS_ROOT too), and "
            f"run.results_copy={found} puts finished runs there"
        )
    return found


def results_root_of(composed: Mapping[str, Any]) -> Path:
    """Return ``run.results_root`` of a composed config; raises ConfigError as ``results_root`` does ValueError."""
    try:
        return results_root(composed["run"]["results_root"])
    except ValueError as error:
        raise ConfigError(f"run.results_root: {error}") from None


Place = Annotated[str | Path, PlainValidator(place)]
"""A setting that names a folder (a ``Path``) or an address (a ``str``)."""
ResultsRoot = Annotated[Path, PlainValidator(results_root)]
"""The setting that names the folder of runs."""


def cache_folder() -> Path:
    """Return this machine's folder of everything that can be computed again.

    That is BENCH_CACHE, else ``.cache``; where BENCH_CACHE is an address, BENCH_CACHE_LOCAL, else ``.cache``.

    Raises:
        ConfigError: a variable names a user or a variable that is not there.
    """
    named = os.environ.get("BENCH_CACHE") or ".cache"
    try:
        found = place(named)
    except ValueError as error:
        raise ConfigError(f"BENCH_CACHE={named}: {error}") from None
    return (found if isinstance(found, Path) else folder_of("BENCH_CACHE_LOCAL", ".cache")).absolute()
