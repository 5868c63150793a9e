"""The part of a network that sees an image alone, run once however many texts are asked about it."""

from __future__ import annotations

from typing import Any


class OnceAnImage:
    """Puts a module's answer for one image in the place of its answers for rows that all show that image.

    A network that takes pairs of image and text gets the image as often as there are texts; this module then runs on
    the first row alone, and once for all chunks of texts, until ``forget`` is called.
    """

    def __init__(self, module: Any) -> None:
        self._run = module.forward
        self._answer: Any = None
        module.forward = self

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Return the module's answer with as many rows as it was given; all rows must be equal."""
        import torch
        from torch.utils._pytree import tree_leaves, tree_map

        rows = next(len(leaf) for leaf in tree_leaves(arguments) if isinstance(leaf, torch.Tensor))
        if self._answer is None:
            first = tree_map(lambda leaf: leaf[:1] if isinstance(leaf, torch.Tensor) else leaf, arguments)
            self._answer = self._run(*first, **options)
        return tree_map(
            lambda leaf: leaf.expand(rows, *leaf.shape[1:]) if isinstance(leaf, torch.Tensor) else leaf, self._answer
        )

    def forget(self) -> None:
        """Begin with another image."""
        self._answer = None
