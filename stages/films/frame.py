"""Sizes and the arrays that have them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Gray: TypeAlias = NDArray[np.uint8]  # (height, width), 0 black to 255 white
Matrix: TypeAlias = NDArray[np.float64]  # (2, 3), from output pixel centres to input pixel centres
Table: TypeAlias = NDArray[np.uint8]  # (256,), the new grey level of each grey level


@dataclass(frozen=True, slots=True)
class Frame:
    """Height and width in pixels; never a bare tuple, since NumPy and Pillow disagree on the order."""

    height: int
    width: int

    @property
    def pixels(self) -> int:
        """Height x width."""
        return self.height * self.width


def frame_of(image: Gray) -> Frame:
    """Return the frame of an image."""
    return Frame(height=int(image.shape[0]), width=int(image.shape[1]))
