"""What the grey levels of a film say of it: its black border, its exposure, what is burnt in.

Everything is seen on a film made small (`look`): a border to the block, a share to the share of a block.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stages.films.frame import Gray

BLACK = 8  # grey level up to which a border is black; the noise of JPEG at quality 75 stays below
PURE = 1  # grey levels from black and from white within which a mean of pixels is clipped
BLANK = 2  # grey levels between the 1st and the 99th percentile of a film that shows nothing
BAR = 0.9  # share of a row or column that is black where it belongs to the border's depth
PERCENTILES = (0.01, 0.05, 0.5, 0.95, 0.99)
SHORTEST_TO_READ = 128  # pixels; on the shorter side of a smaller film a letter has no strokes left
STROKE = 5  # pixels of a film of 256 to 512 on its shorter side: what is narrower may be a letter's stroke
RISE = 60  # grey levels by which a letter's strokes stand out of what lies around them
LARGEST, SMALLEST = 0.11, 0.015  # height of letters, of the film's shorter side
FEWEST_PIXELS = 8  # of a letter
FEWEST_ROWS, FEWEST_COLUMNS = 5, 4  # of a letter, however small the film: less may lie between a bone and a border
MOST_MARKS = 2**15 - 1  # that the manifest's column holds; a screened print has more dots
INKED = (0.2, 0.9)  # share of a letter's box that its strokes fill: a wire fills less, a coin more

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

    @property
    def is_blank(self) -> bool:
        """Whether the film shows nothing: one grey level, but for the noise of compression."""
        return self.level_99 - self.level_1 <= BLANK


def measured(image: Image.Image, small: Image.Image, *, fine: Image.Image) -> Quality:
    """Return what a film's levels say.

    Args:
        image: the film, of mode L; nothing but its size is looked at.
        small: the film made small (`look.SMALL_SIDE`), on which levels and border are measured.
        fine: the film made small, but larger (`look.FINE_SIDE`), on which letters are looked for.
    """
    gray = np.asarray(small)
    mask = border_mask(gray)
    border = Border() if mask is None else border_of(mask)
    counts = np.array(small.histogram(), np.int64)
    if mask is not None and not mask.all():
        counts -= np.bincount(gray[mask], minlength=256)
    levels = np.searchsorted(np.cumsum(counts), np.array(PERCENTILES) * counts.sum(), side="left").tolist()
    across, down = image.width / small.width, image.height / small.height
    return Quality(
        level_1=levels[0],
        level_5=levels[1],
        level_50=levels[2],
        level_95=levels[3],
        level_99=levels[4],
        clipped=float((counts[: PURE + 1].sum() + counts[-PURE - 1 :].sum()) / counts.sum()),
        border=border.share,
        border_left=round(border.left * across),
        border_top=round(border.top * down),
        border_right=round(border.right * across),
        border_bottom=round(border.bottom * down),
        marks=marks(np.asarray(fine)) if min(image.size) >= SHORTEST_TO_READ else None,
    )


def marks(fine: Gray) -> int:
    """Return how many things on a film look like burnt-in letters, MOST_MARKS at most: bright strokes in a small box.

    Strokes are what a white top-hat leaves (Serra, Image Analysis and Mathematical Morphology, 1982).
    """
    strokes = cv2.morphologyEx(fine, cv2.MORPH_TOPHAT, np.ones((STROKE, STROKE), np.uint8))
    ink = np.asarray(cv2.threshold(strokes, RISE, 255, cv2.THRESH_BINARY)[1], np.uint8)
    outlines, _ = cv2.findContours(ink, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return min(MOST_MARKS, sum(_letter(ink, cv2.boundingRect(outline)) for outline in outlines))


def _letter(ink: Gray, box: Sequence[int]) -> bool:
    """Return whether what lies in a box is as large as a letter, and as full."""
    left, top, width, height = box
    side = min(ink.shape)
    if not max(FEWEST_ROWS, SMALLEST * side) <= height <= LARGEST * side:
        return False
    if not FEWEST_COLUMNS <= width <= LARGEST * side:
        return False
    pixels = cv2.countNonZero(ink[top : top + height, left : left + width])
    return pixels >= FEWEST_PIXELS and INKED[0] <= pixels / (width * height) <= INKED[1]


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
    height, width = mask.shape
    counts = [cv2.reduce(mask.view(np.uint8), axis, cv2.REDUCE_SUM, dtype=cv2.CV_32S).ravel() for axis in (0, 1)]
    columns, rows = counts[0] >= BAR * height, counts[1] >= BAR * width
    return Border(
        share=float(counts[0].sum() / mask.size),
        left=_run(columns),
        top=_run(rows),
        right=_run(columns[::-1]),
        bottom=_run(rows[::-1]),
    )


def _run(held: NDArray[np.bool_]) -> int:
    """Return how many are true before the first that is not."""
    return len(held) if held.all() else int(held.argmin())
