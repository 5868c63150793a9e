"""Sorting and counting of many float32 scores, compiled by Numba; ``sorting`` says when it is worth the import.

Scores are handled as their bits (``view(np.uint32)``): put in the order of the numbers they stand for, they are sorted
digit by digit, and counted without a comparison where a slice of them holds few different numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
from numba import carray, njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

DIGIT = 12
"""Bits of a digit at most: counters of 4096 values stay in the first-level cache."""
BUCKETS = 1 << 17
"""Entries of the table from scores to thresholds: a quarter of a megabyte, for the second-level cache."""
CROWDED = 1 << 12
"""Thresholds of one slice at most, for entries of two bytes and short searches among neighbours."""
U32 = np.uint32
SIGN = U32(1 << 31)

Bits = NDArray[np.uint32]
F = TypeVar("F", bound=Callable[..., Any])


def _compiled(function: F) -> F:
    """Compile at the first call; the machine code is kept beside this file, or nowhere where no folder is writable."""
    try:
        made: F = njit(cache=True, nogil=True)(function)
    except RuntimeError:
        made = njit(nogil=True)(function)
    return made


@intrinsic  # type: ignore[untyped-decorator]
def _pointer(typing_context: Any, address: Any) -> Any:
    """Take an address, an integer, as a pointer for ``carray``, which takes writable and read-only arrays alike."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(address), generate


@_compiled
def _ordinal(bits: Any) -> Any:
    """An integer in the order of the scores, -0.0 right below 0.0."""
    return bits ^ (U32(np.int32(bits) >> np.int32(31)) | SIGN)


@_compiled
def _starts(tally: Bits) -> None:
    """Turn how often each digit comes into where its first place is."""
    total = U32(0)
    for digit in range(tally.size):
        number = tally[digit]
        tally[digit] = total
        total += number


def ascending(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return scores in ascending order, -0.0 before 0.0, by a radix sort of the digits that differ.

    Args:
        scores: (n,), n < 2^32. Negative NaN goes first, any other last.
    """
    held = np.ascontiguousarray(scores)
    return _sorted(held.ctypes.data, held.size).view(np.float32)


@_compiled
def _sorted(address: int, n: int) -> Bits:
    """Sort the bits of ``n`` float32 scores at an address."""
    bits = carray(_pointer(address), (n,), np.uint32)
    here, there = np.empty(n, np.uint32), np.empty(n, np.uint32)
    low, high = U32(0xFFFFFFFF), U32(0)
    for i in range(n):
        key = _ordinal(bits[i])
        here[i] = key
        low, high = min(low, key), max(high, key)
    width = 0
    while width < 32 and (U32(high - low) >> U32(width)) > U32(0):
        width += 1
    passes = max(1, (width + DIGIT - 1) // DIGIT)
    digit = U32((width + passes - 1) // passes)
    mask, shift = U32((1 << digit) - 1), U32(0)
    tally, following = np.zeros(1 << digit, np.uint32), np.zeros(1 << digit, np.uint32)
    for i in range(n):
        tally[(here[i] - low) & mask] += U32(1)
    for _ in range(passes - 1):
        _starts(tally)
        following[:] = 0
        for i in range(n):
            key = here[i]
            rest = U32(key - low) >> shift
            following[(rest >> digit) & mask] += U32(1)
            place = tally[rest & mask]
            there[place] = key
            tally[rest & mask] = place + U32(1)
        here, there, tally, following = there, here, following, tally
        shift += digit
    _starts(tally)
    for i in range(n):
        key = here[i]
        at = (U32(key - low) >> shift) & mask
        place = tally[at]
        there[place] = key ^ (U32(np.int32(~key) >> np.int32(31)) | SIGN)
        tally[at] = place + U32(1)
    return there


@_compiled
def _value_ordinal(bits: Any) -> Any:
    """As ``_ordinal``, and equal for scores that are equal: -0.0 is 0.0."""
    return _ordinal(U32(0) if bits == SIGN else bits)


def places(
    runs: Sequence[NDArray[np.float32]],
    thresholds: NDArray[np.float32],
    bounds: NDArray[np.int64],
    edges: NDArray[np.int64],
    ends: NDArray[np.float32],
) -> NDArray[np.int64]:
    """Count where the scores of many runs lie among thresholds, one slice of the score axis after the other.

    Args:
        runs: n sorted arrays without NaN.
        thresholds: (K,) ascending, all different.
        bounds: (n, S + 1) where the slices of each run begin, and its end.
        edges: (S + 1,) where the thresholds of each slice, at most ``CROWDED``, begin, and K.
        ends: (S + 1,) the scores and thresholds of slice i lie between the ends i and i + 1.

    Returns:
        (2 K + 1,) scores that equal threshold j at 2 j + 1, those between it and the one below at 2 j, those above
        all at 2 K.
    """
    held = [np.ascontiguousarray(run) for run in runs]
    found = np.zeros(2 * thresholds.size + 1, np.int64)
    addresses = np.array([run.ctypes.data for run in held], np.uint64)
    bits = (np.ascontiguousarray(part).view(np.uint32) for part in (thresholds, ends))
    _add_places(addresses, bounds, next(bits), edges, next(bits), found)
    return found


@_compiled
def _add_places(
    addresses: NDArray[np.uint64],
    bounds: NDArray[np.int64],
    thresholds: Bits,
    edges: NDArray[np.int64],
    ends: Bits,
    found: NDArray[np.int64],
) -> None:
    """Add what ``places`` returns; ``addresses`` (n,) are those of the runs."""
    slots = np.empty(BUCKETS, np.uint16)
    own = np.empty(np.max(edges[1:] - edges[:-1]) + 1, np.uint32)
    for i in range(edges.size - 1):
        number, first = edges[i + 1] - edges[i], 2 * edges[i]
        if number == 0:
            for r in range(addresses.size):
                found[first] += bounds[r, i + 1] - bounds[r, i]
            continue
        low = _value_ordinal(ends[i])
        span = U32(_value_ordinal(ends[i + 1]) - low)
        shift = U32(0)
        while (span >> shift) >= U32(BUCKETS):
            shift += U32(1)
        # slots[b]: the place of a score in bucket b, at or below that of its threshold
        at = U32(0)
        for j in range(number):
            own[j] = U32(_value_ordinal(thresholds[edges[i] + j]) - low)
            bucket = own[j] >> shift
            while at < bucket:
                slots[at] = 2 * j
                at += U32(1)
            if at == bucket:
                slots[at] = 2 * j + (shift == 0)
                at += U32(1)
        own[number] = U32(0xFFFFFFFF)
        while at <= span >> shift:
            slots[at] = 2 * number
            at += U32(1)
        inside = found[first : first + 2 * number + 1]
        plain = shift == 0 and U32(0) < ends[i] < SIGN
        for r in range(addresses.size):
            run = carray(_pointer(addresses[r]), (bounds[r, i + 1],), np.uint32)[bounds[r, i] :]
            if plain:
                for bits in run:
                    inside[slots[U32(bits - ends[i])]] += 1
            else:
                for bits in run:
                    score = U32(_value_ordinal(bits) - low)
                    near = U32(slots[score >> shift]) >> U32(1)
                    while own[near] < score:
                        near += U32(1)
                    inside[near + near + U32(own[near] == score)] += 1
