"""Where many films come to lie in the frame, as columns: `place` for a hundred thousand films at once.

Every number is the one that `place` gives for the film alone, to the last bit: the same divisions in the same order,
and what is rounded is rounded alike (`tests/stages/films/test_placements.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.films.frame import Frame
from stages.films.placement import Policy

Sizes = NDArray[np.int64]  # (films,), pixels
Shares = NDArray[np.float64]  # (films,)


@dataclass(frozen=True, slots=True)
class Placements:
    """Films' sizes before and after the resize, and the frame they come into."""

    width: Sizes
    height: Sizes
    resized_width: Sizes
    resized_height: Sizes
    frame: Frame

    @property
    def scale_x(self) -> Shares:
        """Pixels of the frame per pixel of the film, across."""
        return self.resized_width / self.width

    @property
    def scale_y(self) -> Shares:
        """Pixels of the frame per pixel of the film, down."""
        return self.resized_height / self.height

    @property
    def stretch(self) -> Shares:
        """How much wider the film has become than it was for its height: 1 where its aspect is kept."""
        return self.scale_x / self.scale_y

    @property
    def lost_width(self) -> Shares:
        """Share of the film's width that is cut away."""
        return 1 - np.minimum(self.resized_width, self.frame.width) / self.resized_width

    @property
    def lost_height(self) -> Shares:
        """Share of the film's height that is cut away."""
        return 1 - np.minimum(self.resized_height, self.frame.height) / self.resized_height

    @property
    def lost(self) -> Shares:
        """Share of the film's area that is cut away."""
        return 1 - self._shown_pixels / (self.resized_width * self.resized_height)

    @property
    def padded(self) -> Shares:
        """Share of the frame that shows no film."""
        return 1 - self._shown_pixels / self.frame.pixels

    @property
    def _shown_pixels(self) -> Sizes:
        # wherever the film lies, it shows as much of itself as there is room for
        return np.minimum(self.resized_width, self.frame.width) * np.minimum(self.resized_height, self.frame.height)


def _shorter_side(width: Sizes, height: Sizes, frame: Frame) -> tuple[Sizes, Sizes]:
    target = min(frame.height, frame.width)
    upright = width <= height
    return (
        np.where(upright, target, (target * width / height).astype(np.int64)),
        np.where(upright, (target * height / width).astype(np.int64), target),
    )


def _covering(width: Sizes, height: Sizes, frame: Frame) -> tuple[Sizes, Sizes]:
    scale = np.maximum(frame.height / height, frame.width / width)
    return np.maximum(_rounded(width * scale), frame.width), np.maximum(_rounded(height * scale), frame.height)


def _fitting(width: Sizes, height: Sizes, frame: Frame) -> tuple[Sizes, Sizes]:
    scale = np.minimum(frame.height / height, frame.width / width)
    return np.clip(_rounded(width * scale), 1, frame.width), np.clip(_rounded(height * scale), 1, frame.height)


def _squeezed(width: Sizes, height: Sizes, frame: Frame) -> tuple[Sizes, Sizes]:
    return np.full_like(width, frame.width), np.full_like(height, frame.height)


def _rounded(sizes: NDArray[Any]) -> Sizes:
    return np.asarray(np.rint(sizes), np.int64)  # half to even, as Python rounds


RESIZES: Mapping[Policy, Callable[[Sizes, Sizes, Frame], tuple[Sizes, Sizes]]] = {
    "crop": _shorter_side,
    "cover": _covering,
    "letterbox": _fitting,
    "squeeze": _squeezed,
}


def place_all(width: Sizes, height: Sizes, *, frame: Frame, policy: Policy) -> Placements:
    """Return where films of these widths and heights come to lie under a policy."""
    width, height = np.asarray(width, np.int64), np.asarray(height, np.int64)
    return Placements(width, height, *RESIZES[policy](width, height, frame), frame)
