"""Items that are made or read when they are asked for, and kept by nobody."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Generic, TypeVar, overload

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Lazy(Sequence[T_co], Generic[T_co]):
    """A sequence of what ``make`` gives for each position, anew each time.

    Args:
        length: number of items.
        make: returns the item at a position in [0, length).
    """

    def __init__(self, length: int, make: Callable[[int], T_co]) -> None:
        self._positions, self._make = range(length), make

    def __len__(self) -> int:
        return len(self._positions)

    def __iter__(self) -> Iterator[T_co]:
        return map(self._make, self._positions)

    @overload
    def __getitem__(self, at: int) -> T_co: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[T_co]: ...
    def __getitem__(self, at: int | slice) -> T_co | Sequence[T_co]:
        """Make one item, or some of them as a list."""
        return (
            [self._make(one) for one in self._positions[at]]
            if isinstance(at, slice)
            else self._make(self._positions[at])
        )

    def __eq__(self, other: object) -> bool:
        """Compare item by item with any sequence."""
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(one == two for one, two in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield the items in lists of ``size``, the last one shorter; an iterator is read no further than asked for."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
