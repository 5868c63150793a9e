"""Parts of networks that are compiled, or compute in half precision, and how far that takes them from themselves."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from benchmark.core.errors import ConfigError
from benchmark.models.runtime import Device

log = logging.getLogger(__name__)


def quicken(module: Any, *, what: str, compiled: bool, device: Device) -> None:
    """Compile what a module computes where that is asked for, and tell once what compiling or half precision changes.

    Args:
        module: of PyTorch; its ``forward`` is replaced.
        what: it is, in a word or two, for the log.
        compiled: by torch.compile; the first call of each form of input takes a minute or so.
        device: with the precision that is in force when the module is called.
    """
    if compiled or device.precision != "fp32":
        module.forward = Quick(module.forward, what=what, compiled=compiled, device=device)


class Quick:
    """A function in place of another, compiled or under autocast; at its first call both are run and compared."""

    def __init__(self, own: Callable[..., Any], *, what: str, compiled: bool, device: Device) -> None:
        import torch

        self._own, self._what, self._device = own, what, device
        self._quick: Callable[..., Any] = torch.compile(own) if compiled else own
        self._how = [*(["torch.compile"] if compiled else []), *([device.precision] * (device.precision != "fp32"))]
        self.difference: float | None = None
        """Largest difference of a value, as a part of the largest value; None before the first call."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Return what the function returns.

        Raises:
            ConfigError: it cannot be compiled here.
        """
        if self.difference is not None:
            return self._quick(*arguments, **options)
        exact = self._exact(*arguments, **options)
        try:
            found = self._quick(*arguments, **options)
        except Exception as error:  # of torch's compiler, its backends and the C++ compiler, each of its own kind
            if self._quick is self._own:
                raise
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ConfigError(
                f"{self._what}: torch.compile does not work here ({reason}); on a processor it needs a C++ compiler: "
                "install g++, or set compile=false"
            ) from error
        self.difference = _largest(found, exact)
        log.warning(
            "%s: %s changes its output by up to %.1e of the largest value (of the first image)",
            self._what,
            " and ".join(self._how),
            self.difference,
        )
        return found

    def _exact(self, *arguments: Any, **options: Any) -> Any:
        """What the function itself returns in float32."""
        import torch
        from torch.utils._pytree import tree_map

        def wide(leaf: Any) -> Any:
            return leaf.float() if isinstance(leaf, torch.Tensor) and leaf.is_floating_point() else leaf

        with torch.autocast(torch.device(self._device.name).type, enabled=False):
            return self._own(*tree_map(wide, arguments), **tree_map(wide, options))


def _largest(found: Any, exact: Any) -> float:
    import torch
    from torch.utils._pytree import tree_leaves

    pairs = [
        (a.detach().float(), b.detach().float())
        for a, b in zip(tree_leaves(found), tree_leaves(exact), strict=True)
        if isinstance(a, torch.Tensor) and a.is_floating_point() and a.numel()
    ]
    parts = [(a - b).abs().max() / b.abs().max().clamp(min=1e-30) for a, b in pairs]
    return float(torch.stack(parts).max()) if parts else 0.0  # NaN where one of them is
