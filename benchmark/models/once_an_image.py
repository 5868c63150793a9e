"""The part of a network that sees an image alone, run once however many texts are asked about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


class OnceAnImage:
    """Puts a module's answers for some images in the place of its answers for rows of image and text.

    A network that takes pairs of image and text gets each image as often as there are texts, its rows side by side;
    this module then runs once an image, and once for all chunks of texts, until ``forget`` is called.
    """

    def __init__(self, module: Any) -> None:
        self._run = module.forward
        self._answer: Any = None
        self._images = 1
        module.forward = self

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Return the module's answer with as many rows as it was given; those of an image must be equal."""
        import torch
        from torch.utils._pytree import tree_leaves, tree_map

        rows = next(len(leaf) for leaf in tree_leaves(arguments) if isinstance(leaf, torch.Tensor))
        texts = rows // self._images
        if self._answer is None:
            first = tree_map(lambda leaf: leaf[::texts] if isinstance(leaf, torch.Tensor) else leaf, arguments)
            self._answer = self._run(*first, **options)
        return tree_map(lambda leaf: repeated(leaf, texts) if isinstance(leaf, torch.Tensor) else leaf, self._answer)

    def forget(self, *, images: int = 1) -> None:
        """Begin with other images, so many at once."""
        self._answer, self._images = None, images


def repeated(rows: torch.Tensor, times: int) -> torch.Tensor:
    """Return each row so many times, side by side; without a copy where there is one row."""
    return rows[:, None].expand(-1, times, *rows.shape[1:]).flatten(0, 1)
