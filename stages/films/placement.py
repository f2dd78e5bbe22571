"""How a film of any size comes into the frame: four policies, one resize each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

from stages.films.frame import Frame, Gray
from stages.films.geometry import Box

Policy = Literal["crop", "cover", "letterbox", "squeeze"]


@dataclass(frozen=True, slots=True)
class Placement:
    """A film's size after the resize, and its upper left corner in the frame (negative: cut off)."""

    film: Frame
    resized: Frame
    left: int
    top: int
    frame: Frame

    @property
    def shown(self) -> Box:
        """The part of the frame that shows film."""
        return Box(
            max(0, self.left),
            max(0, self.top),
            min(self.frame.width, self.left + self.resized.width),
            min(self.frame.height, self.top + self.resized.height),
        )

    @property
    def scale_x(self) -> float:
        """Pixels of the frame per pixel of the film, across."""
        return self.resized.width / self.film.width

    @property
    def scale_y(self) -> float:
        """Pixels of the frame per pixel of the film, down."""
        return self.resized.height / self.film.height

    @property
    def shown_pixels(self) -> int:
        """Pixels of the frame that show film."""
        shown = self.shown
        return (shown.right - shown.left) * (shown.bottom - shown.top)

    @property
    def lost(self) -> float:
        """Share of the film's area that is cut away."""
        return 1 - self.shown_pixels / self.resized.pixels

    @property
    def padded(self) -> float:
        """Share of the frame that shows no film."""
        return 1 - self.shown_pixels / self.frame.pixels


def _shorter_side(film: Frame, frame: Frame) -> Frame:
    """Scale the shorter side to the frame's, the longer one cut off: torchvision's `Resize(int)`."""
    target = min(frame.height, frame.width)
    if film.width <= film.height:
        return Frame(height=int(target * film.height / film.width), width=target)
    return Frame(height=target, width=int(target * film.width / film.height))


def _covering(film: Frame, frame: Frame) -> Frame:
    """Scale until the film fills the frame: the smaller overlap is exact, the other is cut."""
    scale = max(frame.height / film.height, frame.width / film.width)
    return _scaled(film, scale, at_least=frame)


def _fitting(film: Frame, frame: Frame) -> Frame:
    """Scale until the whole film lies within the frame."""
    scale = min(frame.height / film.height, frame.width / film.width)
    scaled = _scaled(film, scale, at_least=Frame(height=1, width=1))
    return Frame(height=min(scaled.height, frame.height), width=min(scaled.width, frame.width))


def _squeezed(_film: Frame, frame: Frame) -> Frame:
    """Scale both sides to the frame's, whatever becomes of the aspect."""
    return frame


def _scaled(film: Frame, scale: float, *, at_least: Frame) -> Frame:
    return Frame(
        height=max(round(film.height * scale), at_least.height),
        width=max(round(film.width * scale), at_least.width),
    )


RESIZES: Mapping[Policy, Callable[[Frame, Frame], Frame]] = {
    "crop": _shorter_side,
    "cover": _covering,
    "letterbox": _fitting,
    "squeeze": _squeezed,
}


def place(film: Frame, *, frame: Frame, policy: Policy) -> Placement:
    """Return where a film comes to lie under a policy.

    The offsets are torchvision's `CenterCrop`: half the difference, rounded half to even where the film is
    cut, rounded down where it is padded.
    """
    resized = RESIZES[policy](film, frame)
    return Placement(
        film,
        resized,
        left=_offset(resized.width, frame.width),
        top=_offset(resized.height, frame.height),
        frame=frame,
    )


def _offset(size: int, target: int) -> int:
    return (target - size) // 2 if size <= target else -round((size - target) / 2)


def fit(image: Image.Image, placement: Placement) -> Gray:
    """Return a film of mode L in its frame, black where there is none.

    The resize is Pillow's antialiased bilinear filter, as torchvision's `Resize` on Pillow images.
    """
    size = (placement.resized.width, placement.resized.height)
    resized = np.asarray(image.resize(size, Image.Resampling.BILINEAR))
    shown = placement.shown
    frame = np.zeros((placement.frame.height, placement.frame.width), np.uint8)
    frame[shown.top : shown.bottom, shown.left : shown.right] = resized[
        shown.top - placement.top : shown.bottom - placement.top,
        shown.left - placement.left : shown.right - placement.left,
    ]
    return frame
