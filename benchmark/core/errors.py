"""Errors that a user can fix: each says what is wrong, where, and what to do."""

from __future__ import annotations

import difflib
import traceback
from collections.abc import Iterable
from pathlib import Path

from benchmark.core.exhausted import out_of_memory
from benchmark.core.resources import commands_here
from benchmark.core.secrets import redact

MOST_NAMES = 40
"""Names that a message lists at most."""


class BenchmarkError(Exception):
    """Something the user can fix; shown as one message without a traceback and without any key or password."""

    def __str__(self) -> str:
        return redact(commands_here(super().__str__()))


class DryRun(BenchmarkError):
    """Not a failure: what a run would do, asked for in place of the run."""


class ConfigError(BenchmarkError):
    """A config key, option or value that cannot be used."""


class DataError(BenchmarkError):
    """A dataset, image or mask that is missing, damaged or not what its card says."""


class WeightsError(BenchmarkError):
    """A weights file that is missing, damaged or not the one that was asked for."""


class DownloadError(BenchmarkError):
    """A file that cannot be fetched, or an archive that must not be unpacked."""


class StoreError(BenchmarkError):
    """The stage store cannot be read or written."""


class ResultsError(BenchmarkError):
    """A results folder or result file that cannot be written or read."""


class TrackingError(BenchmarkError):
    """The tracking server cannot be reached or refuses the run."""


def reason(error: BaseException) -> str:
    """Return the first line of what an error says, or its name where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def told(error: Exception) -> str:
    """Return what an unexpected error says, and in which file and line it was raised: the last one of no library."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "site-packages" not in frame.filename and "/lib/python" not in frame.filename]
    place = (own or frames)[-1:]
    where = "".join(f" ({Path(frame.filename).name}, line {frame.lineno}, in {frame.name})" for frame in place)
    return f"{out_of_memory(error) or f'{type(error).__name__}: {error}'}{where}"


def near_matches(name: str, known: Iterable[str]) -> str:
    """Return ``"did you mean 'a' or 'b'?"``, or the known names when none is near.

    Args:
        name: what the user wrote.
        known: every valid name.
    """
    names = sorted(set(known))
    plain: dict[str, list[str]] = {}
    for one in names:
        plain.setdefault(_plain(one), []).append(one)
    close = difflib.get_close_matches(_plain(name), plain, n=3, cutoff=0.6)
    near = [one for found in close for one in plain[found]][:3]
    if near:
        return "did you mean " + " or ".join(repr(n) for n in near) + "?"
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return "known: " + (", ".join(names[:MOST_NAMES]) + more if names else "none")


def _plain(name: str) -> str:
    """A name as it is compared: ``SAA+`` is ``saa_plus``, ``MVTec`` is ``mvtec``."""
    return name.casefold().replace("+", "_plus").replace("-", "_").replace(" ", "_")
