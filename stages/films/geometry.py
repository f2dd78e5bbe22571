"""Matrices that move a film about, and where the film then lies.

A matrix takes the centre of an output pixel, as (column, row), to the place in the input that is shown there:
the direction in which a warp reads. Applying P first and Q second is therefore `combine(P, Q)` = P @ Q.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.films.frame import Frame, Gray, Matrix

Rows: TypeAlias = Sequence[Sequence[float]]  # a matrix as plain numbers
IDENTITY: Rows = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
DECIMALS = 12  # libraries' sines differ in the last bit; rounding lets all machines read the same pixel
BORDERS = {
    "black": cv2.BORDER_CONSTANT,
    "cover": cv2.BORDER_CONSTANT,
    "reflect": cv2.BORDER_REFLECT_101,
    "replicate": cv2.BORDER_REPLICATE,
}
INTERPOLATIONS = {"nearest": cv2.INTER_NEAREST, "bilinear": cv2.INTER_LINEAR}


@dataclass(frozen=True, slots=True)
class Box:
    """A part of a frame in pixels; right and bottom are one past the last."""

    left: int
    top: int
    right: int
    bottom: int


def whole(frame: Frame) -> Box:
    """Return the box that is all of a frame."""
    return Box(0, 0, frame.width, frame.height)


def identity() -> Matrix:
    """Return the matrix that leaves every pixel where it is."""
    return np.array(IDENTITY)


def about_centre(linear: NDArray[np.float64], frame: Frame) -> Matrix:
    """Return the matrix of a linear map that leaves the centre of the frame where it is.

    Args:
        linear: shape (2, 2), output offset from the centre to input offset.
        frame: the frame, of input and output alike.
    """
    (a, b), (c, d) = linear.tolist()
    x, y = (frame.width - 1) / 2, (frame.height - 1) / 2
    return np.array([[a, b, x - (a * x + b * y)], [c, d, y - (c * x + d * y)]])


def rotation(angle_deg: float, frame: Frame) -> Matrix:
    """Return the matrix that turns a film about its centre, counter-clockwise for a positive angle."""
    angle = math.radians(angle_deg)
    cosine, sine = math.cos(angle), math.sin(angle)
    return about_centre(np.array([[cosine, -sine], [sine, cosine]]), frame)


def flip(frame: Frame) -> Matrix:
    """Return the matrix that mirrors a film left to right."""
    return about_centre(np.array([[-1.0, 0.0], [0.0, 1.0]]), frame)


def zoom(factor: float, frame: Frame) -> Matrix:
    """Return the matrix that enlarges a film about its centre."""
    return about_centre(np.eye(2) / factor, frame)


def shift(right_px: float, down_px: float) -> Matrix:
    """Return the matrix that moves a film to the right and down."""
    return np.array([[1.0, 0.0, -right_px], [0.0, 1.0, -down_px]])


def combine(matrices: Iterable[Matrix]) -> Matrix:
    """Return the one matrix that does what the matrices do one after the other, rounded to 12 decimals."""
    start: Rows = IDENTITY
    rows = reduce(_product, (matrix.tolist() for matrix in matrices), start)
    return np.array([[round(number, DECIMALS) + 0.0 for number in row] for row in rows])  # + 0.0 turns -0.0 into 0.0


def _product(first: Rows, second: Rows) -> Rows:
    """Return two matrices' product, the row (0, 0, 1) implied: for six numbers, plain Python beats NumPy."""
    (a, b, e), (c, d, f) = second
    return [[x * a + y * c, x * b + y * d, x * e + y * f + z] for x, y, z in first]


def covering_zoom(matrix: Matrix, frame: Frame) -> float:
    """Return the smallest zoom that lets no output pixel read beyond the centres of the frame's outer pixels.

    The zoom comes last in the chain: it scales the output offsets d that the matrix sees, A d / z + t, and
    every corner offset d must end within half a frame: z >= |A d| / (half - |t|), for columns and for rows.

    Raises:
        ValueError: where the film is shifted out of sight, so that no zoom can cover the frame.
    """
    half = np.array([(frame.width - 1) / 2, (frame.height - 1) / 2])
    offset = matrix[:, :2] @ half + matrix[:, 2] - half
    room = half - np.abs(offset)
    if np.any(room <= 0):
        raise ValueError(f"a shift of {np.abs(offset).round(1).tolist()} px leaves no film in the frame's middle")
    corners = matrix[:, :2] @ np.array([half, half * [1, -1]]).T
    return float(max(1.0, np.max(np.abs(corners) / room[:, None])))


def outside_share(matrix: Matrix, film: Box, frame: Frame) -> float:
    """Return the share of a frame's pixels whose centre is read from outside the film's box.

    Along an output row the place that is read moves on a straight line, so the pixels that lie inside form
    one run whose ends follow from four inequalities: all rows are counted at once, no pixel is touched. Where
    the frame's corners lie inside, all of it does, the box being convex: so it is for all films under `cover`.
    """
    if _corners_inside(matrix, film, frame):
        return 0.0
    rows = np.arange(frame.height)
    first = np.zeros(frame.height)
    last = np.full(frame.height, frame.width - 1.0)
    bounds = ((film.left - 0.5, film.right - 0.5), (film.top - 0.5, film.bottom - 0.5))
    for (along, down, start), (low, high) in zip(matrix.tolist(), bounds, strict=True):
        at_zero = down * rows + start
        if abs(along) < 1e-9:
            inside = (at_zero >= low) & (at_zero < high)
            last = np.where(inside, last, -1.0)
            continue
        ends = np.array([(low - at_zero) / along, (high - at_zero) / along])
        first = np.maximum(first, np.ceil(ends.min(axis=0) - 1e-9))
        last = np.minimum(last, np.floor(ends.max(axis=0) + 1e-9))
    inside_count = np.maximum(last - first + 1, 0).sum()
    return float(1 - inside_count / frame.pixels)


def _corners_inside(matrix: Matrix, film: Box, frame: Frame) -> bool:
    (a, b, e), (c, d, f) = matrix.tolist()
    corners = [(x, y) for x in (0, frame.width - 1) for y in (0, frame.height - 1)]
    return all(
        film.left - 0.5 <= a * x + b * y + e < film.right - 0.5
        and film.top - 0.5 <= c * x + d * y + f < film.bottom - 0.5
        for x, y in corners
    )


def warp(image: Gray, matrix: Matrix, *, interpolation: str, margins: str) -> Gray:
    """Return the image as the matrix reads it, in the same frame, margins filled by their policy."""
    warped = cv2.warpAffine(
        image,
        matrix,
        (image.shape[1], image.shape[0]),
        flags=INTERPOLATIONS[interpolation] | cv2.WARP_INVERSE_MAP,
        borderMode=BORDERS[margins],
        borderValue=0,
    )
    return np.asarray(warped, np.uint8)
