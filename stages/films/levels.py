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


def looked_up(patterns: NDArray[np.integer], table: Gray, *, shift: int = 0) -> Gray:
    """Return each pattern's entry of a table of 2^bits, after its lowest bits are shifted out and others masked."""
    mask = len(table) - 1
    gray = np.empty(patterns.shape, np.uint8)
    for top in range(0, len(patterns), ROWS_AT_ONCE):
        some = slice(top, top + ROWS_AT_ONCE)
        gray[some] = table[(patterns[some] >> shift) & mask]
    return gray
