"""What a result says about the machine, the code and the packages that made it."""

from __future__ import annotations

import gc
import logging
import os
import platform
import re
import resource
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import cache, wraps
from importlib import metadata
from pathlib import Path
from typing import TypeVar

from benchmark.core.resources import CHECKOUT
from benchmark.core.text import counted, shown_bytes

log = logging.getLogger(__name__)
T = TypeVar("T")
NO_CHECKOUT: tuple[str | None, bool | None] = (None, None)
PACKAGES = (
    "fm-defect-bench",
    "torch",
    "torchvision",
    "numpy",
    "scipy",
    "scikit-learn",
    "opencv-python",
    "pillow",
    "pandas",
    "hydra-core",
    "omegaconf",
    "mlflow",
    "transformers",
    "open_clip_torch",
    "segment-anything",
    "groundingdino-py",
    "timm",
    "google-genai",
)


def _or(fallback: T) -> Callable[[Callable[[], T]], Callable[[], T]]:
    """Let a function that looks at the machine return ``fallback`` where it fails: a result is worth more than that."""

    def decorate(function: Callable[[], T]) -> Callable[[], T]:
        @wraps(function)
        def looked() -> T:
            try:
                return function()
            except Exception as error:
                log.warning("%s cannot be told (%s)", function.__name__, error)
                return fallback

        return cache(looked)

    return decorate


@_or(dict[str, str]())
def packages() -> dict[str, str]:
    """Installed versions of the packages that can change a number."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


@_or(NO_CHECKOUT)
def git_state() -> tuple[str | None, bool | None]:
    """Commit of the checkout and whether it has uncommitted changes; (None, None) outside a checkout.

    A package that was installed from a wheel has none, even where it lies inside somebody else's repository.
    """
    if CHECKOUT is None:
        return None, None
    top, _, commit = (_git("rev-parse", "--show-toplevel", "HEAD", folder=CHECKOUT) or "").partition("\n")
    if not commit or Path(top).resolve() != CHECKOUT:
        return None, None
    changes = _git("status", "--porcelain", "--untracked-files=no", folder=CHECKOUT)
    return commit, None if changes is None else bool(changes)


def _git(*arguments: str, folder: Path) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


@_or(dict[str, str | int | None]())
def hardware() -> dict[str, str | int | None]:
    """Processor, cores, memory and accelerator; torch is asked only when it is loaded already.

    ``kernels`` is the processor feature that torch computes with (``AVX2``): where it differs, last bits may.
    """
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    torch = sys.modules.get("torch")
    gpu = torch.cuda.get_device_name(0) if torch is not None and torch.cuda.is_available() else None
    kernels = None if torch is None else torch.backends.cpu.get_cpu_capability()
    return {"cpu": _cpu_name(), "kernels": kernels, "cores": os.cpu_count(), "memory_mb": memory, "gpu": gpu}


def shown_hardware(hardware: Mapping[str, str | int | None]) -> str:
    """Return ``AMD EPYC with AVX512, 2 cores, 25.3 GB memory``, as far as it is known."""
    cpu, kernels, cores, memory, gpu = map(hardware.get, ("cpu", "kernels", "cores", "memory_mb", "gpu"))
    parts = (
        f"{cpu} with {kernels}" if cpu and kernels else cpu,
        counted(cores, "core") if cores else None,
        f"{shown_bytes(int(memory) * 2**20)} memory" if memory else None,
        gpu,
    )
    return ", ".join(str(part) for part in parts if part)


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        named = re.search(r"^model name\s*:\s*(.+)$", info.read_text(), re.MULTILINE)
        if named:
            return named.group(1)
    return platform.processor() or platform.machine()


def peak_memory_mb() -> float:
    """Largest resident memory of this process so far, MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)


def network_parameters() -> int | None:
    """Parameters of all networks that this process holds, each tensor once; None where it holds none."""
    torch = sys.modules.get("torch")
    if torch is None:
        return None
    # by its very type: asking objects that import lazily for their class would import them
    held = {id(o): o for o in gc.get_objects() if type(o) is torch.nn.Parameter}
    return sum(int(p.numel()) for p in held.values()) or None


def gpu_memory_mb() -> float | None:
    """Largest memory allocated on the accelerator so far, MB; None without one."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return None
    used: int = torch.cuda.max_memory_allocated()
    return round(used / 2**20, 1)
