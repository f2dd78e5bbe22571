"""Polygons of a phantom's anatomy as soft layers of pixels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.films.frame import Frame, Gray, Matrix
from stages.films.phantom_anatomy import Points

Layer: TypeAlias = NDArray[np.float32]  # (height, width), how much of something each pixel shows

SUBPIXEL_BITS = 4


@dataclass(frozen=True, slots=True)
class Canvas:
    """Where a chest lies on a drawing.

    Attributes:
        frame: size of the drawing.
        matrix: from the units of the anatomy to pixels.
        unit_px: half a thorax in pixels.
    """

    frame: Frame
    matrix: Matrix
    unit_px: float

    def filled(self, outlines: Iterable[Points], *, soft: float = 0.008) -> Layer:
        """Return 1 within any of the outlines and 0 without, the edges as soft as said, in half thoraxes."""
        mask = np.zeros((self.frame.height, self.frame.width), np.uint8)
        for outline in outlines:
            cv2.fillPoly(mask, [self._pixels(outline)], 255, cv2.LINE_AA, SUBPIXEL_BITS)
        return blurred(_share(mask), soft * self.unit_px)

    def edges(self, outlines: Iterable[Points]) -> Layer:
        """Return 1 on the outlines and 0 elsewhere, a pixel wide."""
        mask = np.zeros((self.frame.height, self.frame.width), np.uint8)
        pixels = [self._pixels(outline) for outline in outlines]
        cv2.polylines(mask, pixels, True, 255, 1, cv2.LINE_AA, SUBPIXEL_BITS)
        return blurred(_share(mask), 0.7)

    def _pixels(self, outline: Points) -> NDArray[np.int32]:
        pixels = outline @ self.matrix[:, :2].T + self.matrix[:, 2]
        return np.asarray(np.rint(pixels * 2**SUBPIXEL_BITS), np.int32)


def blurred(layer: Layer, sigma_px: float) -> Layer:
    """Return a layer out of focus; wide blurs are done at a quarter of the size, where none can tell."""
    if sigma_px < 0.3:
        return layer
    height, width = layer.shape
    if sigma_px < 6 or min(height, width) < 64:
        return np.asarray(cv2.GaussianBlur(layer, (0, 0), sigma_px, borderType=cv2.BORDER_REPLICATE), np.float32)
    small = cv2.resize(layer, (width // 4, height // 4), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), sigma_px / 4, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def as_bytes(levels: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Return grey levels or colours as bytes, rounded, and cut off below 0 and above 255."""
    return np.asarray(np.clip(np.rint(levels), 0, 255), np.uint8)


def _share(mask: Gray) -> Layer:
    """Return a mask of 0 to 255 as shares, 0 to 1."""
    return mask.astype(np.float32) / np.float32(255)
