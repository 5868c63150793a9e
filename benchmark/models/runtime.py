"""What all adapters share: where a network runs, in what precision, and how its weights get into it."""

from __future__ import annotations

import contextlib
import ctypes
import io
import logging
import platform
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from benchmark.core.errors import ConfigError, WeightsError
from benchmark.models.weights_file import read_state

if TYPE_CHECKING:
    import torch
    from torch import nn

Net = TypeVar("Net", bound="nn.Module")
Precision = Literal["fp32", "bf16", "fp16"]
RANDOM_SEED = 0
"""Seed of random weights; the same on every machine, so that such a run can be repeated."""


@dataclass(frozen=True, kw_only=True)
class Device:
    """Where a network runs and in what precision its large parts compute."""

    name: str
    """torch device: ``cpu``, ``cuda``, ``cuda:0`` …"""
    precision: Precision = "fp32"
    """``bf16`` and ``fp16`` mean autocast; weights, prompts and results stay float32."""

    def __post_init__(self) -> None:
        if self.precision == "fp16" and self.name.startswith("cpu"):
            raise ConfigError("precision fp16 needs a CUDA device; on a CPU use bf16 or fp32")

    def send(self, tensor: torch.Tensor) -> torch.Tensor:
        """Copy a tensor of the processor to the device; to CUDA from pinned memory, and without waiting for it."""
        if not self.name.startswith("cuda"):
            return tensor.to(self.name)
        return tensor.pin_memory().to(self.name, non_blocking=True)

    @contextlib.contextmanager
    def inference(self) -> Iterator[None]:
        """Run without gradients, in the chosen precision; fp32 means fp32 (no TF32) on CUDA too."""
        import torch

        types = {"bf16": torch.bfloat16, "fp16": torch.float16}
        kind = torch.device(self.name).type
        if self.precision == "fp32":
            cast: contextlib.AbstractContextManager[Any] = contextlib.nullcontext()
        else:
            cast = torch.autocast(kind, dtype=types[self.precision])
        exact = torch.backends.cudnn.flags(enabled=True, allow_tf32=False, benchmark=False)
        with (
            torch.inference_mode(),
            cast,
            exact if kind == "cuda" else contextlib.nullcontext(),
            warnings.catch_warnings(),
        ):
            # Calls that libraries make to parts of torch that will go one day; nobody here can fix them.
            warnings.filterwarnings("ignore", category=FutureWarning)
            warnings.filterwarnings("ignore", message="torch.meshgrid")
            yield


def by_shape(shapes: Sequence[tuple[int, ...]]) -> list[list[int]]:
    """Return the numbers of what has one shape, group by group in the order in which the shapes first come."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for number, shape in enumerate(shapes):
        groups.setdefault(tuple(shape), []).append(number)
    return list(groups.values())


def build(make: Callable[[], Net], *, device: str, weights: Path | None = None) -> Net:
    """Build a network with seeded initial weights, in evaluation mode, without touching the global random state.

    What libraries print or warn of while they build is left out; errors are not.

    Args:
        weights: file that ``load`` or ``fill`` will copy into the network. Nothing is drawn at random then: for SAM's
            ViT-H that takes longer than reading its file.
    """
    import torch

    if device.startswith("cpu"):
        keep_freed_memory()
    with torch.random.fork_rng(devices=[]), quiet(), contextlib.nullcontext() if weights is None else _undrawn():
        torch.manual_seed(RANDOM_SEED)
        network = make()
    return network.eval().requires_grad_(False).to(device)


def _undrawn() -> contextlib.AbstractContextManager[Any]:
    """Set tensors to zero where torch would draw their values."""
    import torch
    from torch.overrides import TorchFunctionMode

    drawing = {torch.Tensor.uniform_, torch.Tensor.normal_}

    class Undrawn(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func in drawing:
                return args[0].zero_()
            if getattr(func, "__module__", "") == "torch.nn.init" and func.__name__ in _INITIAL:
                tensor = args[0] if args else kwargs["tensor"]
                with torch.no_grad():
                    return tensor.zero_()
            return func(*args, **(kwargs or {}))

    return Undrawn()


_INITIAL = ("uniform_", "normal_", "xavier_uniform_", "xavier_normal_", "kaiming_uniform_", "kaiming_normal_")
"""Of ``torch.nn.init``, those that a mode sees as one call."""


@cache
def keep_freed_memory() -> None:
    """Let large freed tensors be used again instead of going back to the system, where the C library is glibc.

    By default glibc maps every large tensor anew, and the system clears each of its pages first: a third of the
    time of a network on a CPU. The peak stays about the same; the process holds it until it ends.
    """
    mmap_max, trim_threshold, never = -4, -1, 2**31 - 1  # mallopt(3); malloc.h gives the names
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(mmap_max, 0)
        libc.mallopt(trim_threshold, never)


@contextlib.contextmanager
def one_thread_each() -> Iterator[ThreadPoolExecutor]:
    """Give as many threads as torch has, each of which computes alone, for work that falls into small parts.

    Threads that share one small operation wait for each other at its end: on a busy machine most of the time. And
    the last bits of what one thread computes do not depend on how many there are.
    """
    import torch

    width = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(width, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield pool
    finally:
        torch.set_num_threads(width)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep libraries from printing, and from warning that a network has no weights before they are loaded."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def load(
    network: Net,
    weights: Path | None,
    *,
    optional: Callable[[str], bool] | None = None,
    adapt: Callable[[dict[str, torch.Tensor]], Mapping[str, torch.Tensor]] = dict,
) -> Net:
    """Copy a weights file into a network and return it; None leaves the network as it was built.

    Args:
        optional: as for ``fill``.
        adapt: turns the file's names into those of the network.

    Raises:
        WeightsError: the file is damaged or belongs to another network.
    """
    if weights is not None:
        fill(network, adapt(read_state(weights)), path=weights, optional=optional)
    return network


def fill(
    network: nn.Module, state: Mapping[str, torch.Tensor], *, path: Path, optional: Callable[[str], bool] | None = None
) -> None:
    """Copy weights into a network; every name and shape must fit.

    Args:
        optional: names that may be missing in the file, or may be in it without a place in the network.

    Raises:
        WeightsError: names are missing or left over, or a shape differs; the first ones are listed.
    """
    own = network.state_dict()
    passes = optional or (lambda _: False)
    wrong = [f"missing {n}" for n in own if n not in state and not passes(n)]
    wrong += [f"unexpected {n}" for n in state if n not in own and not passes(n)]
    wrong += [
        f"{n} has shape {tuple(t.shape)}, not {tuple(own[n].shape)}"
        for n, t in state.items()
        if n in own and own[n].shape != t.shape
    ]
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise WeightsError(
            f"{path} does not fit {type(network).__name__}: {'; '.join(wrong[:3])}{more}. "
            "It is the file of another model: choose the model that it belongs to, or other weights"
        )
    network.load_state_dict({n: t for n, t in state.items() if n in own}, strict=False)
