"""Levels of more than eight bits to grey: by how many bits, and how they are rounded."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stages.films.frame import Gray

# Bits a sample that detectors, digitizers and their makers' workstations deliver. A film's largest level decides
# between them where its file does not, and a step to the next halves or quarters its brightness: the fewer, the rarer.
DEPTHS = (8, 10, 12, 14, 15, 16)
ROWS_AT_ONCE = 256  # levels take four bytes each on their way to one


def depth_of(largest: int) -> int:
    """Return the least of DEPTHS that holds a level."""
    return next(bits for bits in DEPTHS if largest < 1 << bits)


def gray_of(levels: NDArray[np.integer], *, white: int) -> Gray:
    """Return 255 x level / white, rounded, at most 255; of 16 bits, round(level / 257)."""
    gray = np.empty(levels.shape, np.uint8)
    for top in range(0, len(levels), ROWS_AT_ONCE):
        some = slice(top, top + ROWS_AT_ONCE)
        gray[some] = (np.minimum(levels[some], white).astype(np.uint32) * 510 + white) // (2 * white)
    return gray


def looked_up(
    values: NDArray[np.integer], table: Gray, *, shift: int = 0, limits: tuple[int, int] | None = None
) -> Gray:
    """Return each value's entry of a table of 2^bits, by its pattern of bits.

    Args:
        values: as they are stored.
        table: a grey level for each pattern.
        shift: how many of the lowest bits are no part of the pattern; nor are those above the table's.
        limits: the least and largest value that count; others count as these. None: all are within.
    """
    mask, pattern = len(table) - 1, np.dtype(f"u{values.itemsize}")
    gray = np.empty(values.shape, np.uint8)
    for top in range(0, len(values), ROWS_AT_ONCE):
        some = values[top : top + ROWS_AT_ONCE]
        within = some if limits is None else np.clip(some, *limits)
        gray[top : top + ROWS_AT_ONCE] = table[(within.view(pattern) >> shift) & mask]
    return gray
