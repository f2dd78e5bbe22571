"""What the grey levels of a film say of it: its black border, its exposure, what is burnt in.

Everything is seen on a film made small (`look`): a border to the block, a share to the share of a block.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stages.films.frame import Gray

BLACK = 8  # grey level up to which a border is black; the noise of JPEG at quality 75 stays below
PURE = 1  # grey levels from black and from white within which a mean of pixels is clipped
BAR = 0.9  # share of a row or column that is black where it belongs to the border's depth
PERCENTILES = (0.01, 0.05, 0.5, 0.95, 0.99)
SHORTEST_TO_READ = 128  # pixels; on the shorter side of a smaller film a letter has no strokes left

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Border:
    """The pixels that are black and connected to a film's edge, and how deep they lie there.

    Attributes:
        share: of the film.
        left, top, right, bottom: columns and rows of which BAR or more is border, counted from each edge.
    """

    share: float = 0.0
    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0


@dataclass(frozen=True, slots=True)
class Quality:
    """What the audit's row says of a film's grey levels, by the names of its columns."""

    level_1: int
    level_5: int
    level_50: int
    level_95: int
    level_99: int
    clipped: float
    border: float
    border_left: int
    border_top: int
    border_right: int
    border_bottom: int
    marks: int | None


def measured(small: Image.Image, *, width: int, height: int, marks: int | None) -> Quality:
    """Return what the levels of a film made small say of the film.

    Args:
        small: the film, its blocks made pixels.
        width, height: of the film itself.
        marks: that were found on it.
    """
    mask = border_mask(np.asarray(small))
    border = Border() if mask is None else border_of(mask)
    counts = np.array(small.histogram(), np.int64)
    if mask is not None and not mask.all():
        counts -= np.bincount(np.asarray(small)[mask], minlength=256)
    levels = np.searchsorted(np.cumsum(counts), np.array(PERCENTILES) * counts.sum(), side="left")
    across, down = width / small.width, height / small.height
    return Quality(
        *(int(level) for level in levels),
        clipped=float((counts[: PURE + 1].sum() + counts[-PURE - 1 :].sum()) / counts.sum()),
        border=border.share,
        border_left=min(width, round(border.left * across)),
        border_top=min(height, round(border.top * down)),
        border_right=min(width, round(border.right * across)),
        border_bottom=min(height, round(border.bottom * down)),
        marks=marks,
    )


def border_mask(levels: Gray) -> Mask | None:
    """Return where a film is black and connected to its edge; None where no pixel of the edge is black."""
    edges = (levels[0], levels[-1], levels[:, 0], levels[:, -1])
    if min(int(edge.min()) for edge in edges) > BLACK:
        return None
    black = np.ones((levels.shape[0] + 2, levels.shape[1] + 2), np.uint8)  # a frame that joins what lies at the edge
    np.less_equal(levels, BLACK, out=black[1:-1, 1:-1].view(np.bool_))
    cv2.floodFill(black, None, (0, 0), 2)
    return np.asarray(black[1:-1, 1:-1] == 2)


def border_of(mask: Mask) -> Border:
    """Return how much of a film its border is, and how deep at each side."""
    rows, columns = mask.mean(axis=1) >= BAR, mask.mean(axis=0) >= BAR
    return Border(
        share=float(mask.mean()),
        left=_run(columns),
        top=_run(rows),
        right=_run(columns[::-1]),
        bottom=_run(rows[::-1]),
    )


def _run(held: NDArray[np.bool_]) -> int:
    """Return how many of the first ones hold."""
    return len(held) if held.all() else int(held.argmin())
