"""Feature maps of several depths as one long feature per place, and products of these without writing them out.

The feature of a place is the concatenation of several levels, the coarse ones repeated to the finest grid. So a dot
product is a sum over levels, and the products of a coarse level are computed once per pair of its cells: a sixth of
the work of multiplying the long vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, eq=False)
class Levels:
    """Feature maps of one image, finest first, every next one of half the side; values >= 0."""

    maps: tuple[torch.Tensor, ...]
    """(C_l, S / 2^l, S / 2^l) float32 each."""

    def __post_init__(self) -> None:
        side = self.side
        for number, level in enumerate(self.maps):
            if tuple(level.shape[1:]) != (side >> number, side >> number) or side % (1 << number):
                raise ValueError(f"level {number} is {tuple(level.shape)}, the finest one {tuple(self.maps[0].shape)}")

    @property
    def side(self) -> int:
        """Side of the finest grid, S."""
        return int(self.maps[0].shape[-1])

    def cells(self, places: torch.Tensor, level: int) -> torch.Tensor:
        """Return which cell of a level each place (row-major number on the finest grid) lies in."""
        row, column = places // self.side, places % self.side
        return (row >> level) * (self.side >> level) + (column >> level)

    def parents(self, cells: torch.Tensor, level: int) -> torch.Tensor:
        """Return which cell of the next level each cell of a level lies in."""
        side = self.side >> level
        return (cells // side >> 1) * (side >> 1) + (cells % side >> 1)

    def pyramid(self, places: torch.Tensor) -> list[torch.Tensor]:
        """Return places, and the distinct cells of each further level that they lie in, ascending."""
        import torch

        return [places, *(torch.unique(self.cells(places, number)) for number in range(1, len(self.maps)))]

    def links(self, cells: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Return for each level of a pyramid but the last which cell of the next one each cell lies in."""
        import torch

        return [torch.searchsorted(cells[n + 1], self.parents(cells[n], n)) for n in range(len(cells) - 1)]

    @cached_property
    def flat(self) -> tuple[torch.Tensor, ...]:
        """Return each level as (cells, C_l), row by row."""
        return tuple(level.flatten(1).T.contiguous() for level in self.maps)

    def norms(self) -> torch.Tensor:
        """Return the length of each place's whole feature, (S * S,), at least 1e-12."""
        import torch

        places = torch.arange(self.side**2, device=self.maps[0].device)
        squares = [level.square().sum(0).flatten()[self.cells(places, n)] for n, level in enumerate(self.maps)]
        return torch.stack(squares).sum(0).sqrt().clamp_min(1e-12)


@dataclass(frozen=True, eq=False)
class Columns:
    """Places that others are multiplied with."""

    features: list[torch.Tensor]
    """(P_l, C_l) per level: of the places themselves, scaled, then of the coarser cells that they lie in."""
    parents: list[torch.Tensor]
    """(P_l,) per level: which row of the next level's features each one belongs to."""
    scale: torch.Tensor
    """(P,) factor of each place."""

    @classmethod
    def of(cls, levels: Levels, places: torch.Tensor, scale: torch.Tensor) -> Columns:
        """Gather the features of places."""
        cells = levels.pyramid(places)
        features = [flat[wanted] for flat, wanted in zip(levels.flat, cells, strict=True)]
        features[0] *= scale[:, None]
        return cls(features, levels.links(cells), scale)

    def behind(self, first: int) -> Columns:
        """Leave out the first places."""
        features, parents = [self.features[0][first:], *self.features[1:]], self.parents
        return Columns(features, [parent[first:] for parent in parents[:1]] + parents[1:], self.scale[first:])


def dot_products(levels: Levels, rows: torch.Tensor, columns: Columns) -> torch.Tensor:
    """Return the (R, P) dot products of the features of some places with the scaled ones of the columns.

    Coarse levels are multiplied cell by cell and spread to the places in the cells, so rows should be neighbours.

    Args:
        rows: (R,) places in any order.
        columns: what to multiply with.
    """
    cells = levels.pyramid(rows)
    links = levels.links(cells)
    sums = None
    for number in range(len(cells) - 1, -1, -1):
        products = levels.flat[number][cells[number]] @ columns.features[number].T
        if sums is not None:
            spread = sums.index_select(1, columns.parents[number])
            if number == 0:
                spread *= columns.scale
            products += spread[links[number]]
        sums = products
    assert sums is not None
    return sums
