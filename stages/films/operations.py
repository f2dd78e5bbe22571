"""The operations of augmentation, each a matrix or a table.

To add one: a class here, and its name in `Operation`.

An operation draws numbers, and they alone decide what it does: what was drawn becomes the columns of the
augmented manifest, by the fields of the class of drawn numbers. All work on the numbers of one copy and on those
of all of a film's copies at once: matrices and tables then have one more axis in front.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from manifests.fields import Column
from stages.films import geometry
from stages.films.frame import Frame, Matrix, Table
from stages.films.words import Words

Drawn: TypeAlias = Mapping[str, Any]  # by column, the number of one copy, or an array of those of many
LEVELS = np.arange(256)
_exponential = np.frompyfunc(math.exp, 1, 1)  # the C library's, as in geometry


class _Operation(BaseModel, ABC):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    drawn: ClassVar[type]  # the class whose fields are the columns that this operation fills

    @abstractmethod
    def draw(self, words: Words) -> dict[str, Any]:
        """Return what is drawn, by column."""


class Geometric(_Operation):
    """An operation that moves pixels."""

    @abstractmethod
    def matrix(self, drawn: Drawn, frame: Frame) -> Matrix:
        """Return the matrix that the drawn numbers stand for."""

    @abstractmethod
    def extremes(self) -> list[dict[str, float | bool]]:
        """Return draws among which is, for every corner of the frame, the one that takes it farthest out."""


class Photometric(_Operation):
    """An operation that changes grey levels."""

    @abstractmethod
    def table(self, drawn: Drawn) -> Table:
        """Return the look-up table that the drawn numbers stand for."""


@dataclass(frozen=True)
class Angle:
    """What `rotate` draws."""

    angle_deg: Annotated[float, Column("rotation about the centre, degrees, counter-clockwise", low=-180, high=180)]


class Rotate(Geometric):
    """Turn the film about its centre, as a patient who stands askew."""

    drawn = Angle
    op: Literal["rotate"] = "rotate"
    degrees: float = Field(15.0, ge=0, le=180)

    def draw(self, words: Words) -> dict[str, Any]:
        """Draw an angle, uniform in [-degrees, degrees)."""
        return {"angle_deg": words.uniform(-self.degrees, self.degrees)}

    def matrix(self, drawn: Drawn, frame: Frame) -> Matrix:
        """Return the rotation."""
        return geometry.rotation(drawn["angle_deg"], frame)

    def extremes(self) -> list[dict[str, float | bool]]:
        """Return angles a degree or less apart: past some 49 degrees the farthest is not the largest."""
        steps = 2 * math.ceil(self.degrees) + 1
        return [{"angle_deg": float(angle)} for angle in np.linspace(-self.degrees, self.degrees, steps)]


@dataclass(frozen=True)
class Mirrored:
    """What `flip` draws."""

    flipped: Annotated[bool, Column("whether the film is mirrored left to right")]


class Flip(Geometric):
    """Mirror the film left to right: the heart changes sides, and so does a burnt-in marker."""

    drawn = Mirrored
    op: Literal["flip"] = "flip"
    probability: float = Field(0.5, ge=0, le=1)

    def draw(self, words: Words) -> dict[str, Any]:
        """Draw whether to mirror."""
        return {"flipped": words.chance(self.probability)}

    def matrix(self, drawn: Drawn, frame: Frame) -> Matrix:
        """Return the mirror, or the identity."""
        return geometry.flip(frame, drawn["flipped"])

    def extremes(self) -> list[dict[str, float | bool]]:
        """Return both draws: a shift after a mirror goes the other way."""
        return [{"flipped": False}, {"flipped": True}]


@dataclass(frozen=True)
class Moved:
    """What `shift` draws."""

    shift_right: Annotated[float, Column("shift to the right, share of the frame's width", low=-1, high=1)]
    shift_down: Annotated[float, Column("shift down, share of the frame's height", low=-1, high=1)]


class Shift(Geometric):
    """Move the film, as a cassette placed too high or too far to the side."""

    drawn = Moved
    op: Literal["shift"] = "shift"
    share: float = Field(0.05, ge=0, le=0.45)

    def draw(self, words: Words) -> dict[str, Any]:
        """Draw both shifts, each uniform in [-share, share)."""
        return {
            "shift_right": words.uniform(-self.share, self.share),
            "shift_down": words.uniform(-self.share, self.share),
        }

    def matrix(self, drawn: Drawn, frame: Frame) -> Matrix:
        """Return the shift."""
        right, down = np.asarray(drawn["shift_right"]), np.asarray(drawn["shift_down"])
        return geometry.shift(right * frame.width, down * frame.height)

    def extremes(self) -> list[dict[str, float | bool]]:
        """Return the four corners of what can be drawn."""
        ends = (-self.share, self.share)
        return [{"shift_right": right, "shift_down": down} for right in ends for down in ends]


@dataclass(frozen=True)
class Gain:
    """What `brightness` draws."""

    brightness: Annotated[float, Column("factor on the grey levels", low=0)]


class Brightness(Photometric):
    """Scale the grey levels, as exposure does; what passes 255 saturates."""

    drawn = Gain
    op: Literal["brightness"] = "brightness"
    jitter: float = Field(0.2, ge=0, le=1)

    def draw(self, words: Words) -> dict[str, Any]:
        """Draw a factor, uniform in [1 - jitter, 1 + jitter)."""
        return {"brightness": words.uniform(1 - self.jitter, 1 + self.jitter)}

    def table(self, drawn: Drawn) -> Table:
        """Return Pillow's `ImageEnhance.Brightness`, so torchvision's: float32, cut off and not rounded."""
        scaled = _per_level(drawn["brightness"]).astype(np.float32) * LEVELS.astype(np.float32)
        return np.minimum(scaled, np.float32(255)).astype(np.uint8)


@dataclass(frozen=True)
class Slope:
    """What `contrast` draws."""

    contrast: Annotated[float, Column("factor on the distance from mid-grey (127.5)", low=0)]


class Contrast(Photometric):
    """Spread or gather the grey levels about mid-grey."""

    drawn = Slope
    op: Literal["contrast"] = "contrast"
    jitter: float = Field(0.2, ge=0, le=1)

    def draw(self, words: Words) -> dict[str, Any]:
        """Draw a factor, uniform in [1 - jitter, 1 + jitter)."""
        return {"contrast": words.uniform(1 - self.jitter, 1 + self.jitter)}

    def table(self, drawn: Drawn) -> Table:
        """Return 127.5 + factor x (level - 127.5), rounded."""
        return _rounded(127.5 + _per_level(drawn["contrast"]) * (LEVELS - 127.5))


@dataclass(frozen=True)
class Exponent:
    """What `gamma` draws."""

    gamma: Annotated[float, Column("exponent on the grey levels, scaled to 0..1; below 1 brightens", low=0)]


class Gamma(Photometric):
    """Bend the grey scale, as a film's characteristic curve does."""

    drawn = Exponent
    op: Literal["gamma"] = "gamma"
    jitter: float = Field(0.2, ge=0, lt=1)

    def draw(self, words: Words) -> dict[str, Any]:
        """Draw an exponent: its logarithm is uniform between those of 1 - jitter and 1 / (1 - jitter)."""
        largest = -math.log1p(-self.jitter)
        return {"gamma": np.asarray(_exponential(words.uniform(-largest, largest)), np.float64)}

    def table(self, drawn: Drawn) -> Table:
        """Return 255 x (level / 255) ^ gamma, rounded."""
        return _rounded(255 * (LEVELS / 255) ** _per_level(drawn["gamma"]))


def _per_level(numbers: Any) -> NDArray[np.float64]:
    """Return the numbers of copies with an axis for the 256 levels behind them."""
    return np.asarray(numbers, np.float64)[..., None]


def _rounded(levels: Any) -> Table:
    """Return grey levels as bytes, clipped and rounded: a cast alone would darken by half a level."""
    return np.asarray(np.clip(np.rint(levels), 0, 255), np.uint8)


Operation = Annotated[
    Brightness | Contrast | Gamma | Rotate | Flip | Shift,
    Field(discriminator="op"),
]
OPERATIONS: tuple[type[Geometric | Photometric], ...] = get_args(get_args(Operation)[0])


@dataclass(frozen=True)
class Covered:
    """What the `cover` policy of the margins draws."""

    zoom: Annotated[float, Column("enlargement that covers the margins", low=1)]


DRAWN = (*(operation.drawn for operation in OPERATIONS), Covered)
