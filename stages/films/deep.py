"""Films of more than eight bits in a PNG, TIFF or PGM: by how many bits their levels are scaled, and why.

A file of 16 bits a sample holds what a detector of 10 to 16 bits measured, mostly unscaled: read as 16 bits, a film of
12 bits is nearly black. What the file states goes first; where it states nothing, the largest level decides between
the depths that detectors have (`levels.DEPTHS`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PpmImagePlugin, TiffImagePlugin

from stages.films import parts
from stages.films.frame import Gray
from stages.films.header import DecodeError, Header
from stages.films.levels import depth_of, gray_of

BITS_PER_SAMPLE, WHITE_IS, MAX_SAMPLE, S_MAX_SAMPLE = 258, 262, 281, 341  # tags of TIFF 6.0
SAMPLE_FORMAT, SIGNED = 339, 2
SIXTEEN = (1 << 16) - 1


@dataclass(frozen=True, slots=True)
class Depth:
    """What a film's levels are scaled by.

    Attributes:
        bits: of a sample.
        white: the level that becomes 255.
        stated: whether the file says so.
    """

    bits: int
    white: int
    stated: bool = False


@dataclass(frozen=True, slots=True)
class Scaled:
    """A PGM whose highest level is not its word's: Pillow scales it, and takes a microsecond for each pixel.

    Attributes:
        offset: of the first level in the file; None where they are written as text.
        maxval: the level that is white.
    """

    offset: int | None
    maxval: int


def is_deep(image: Image.Image) -> bool:
    """Return whether a film has one channel of more than eight bits that can be read: Pillow has many names for it."""
    if image.mode.startswith("I;16"):
        return True
    signed = image.format == "TIFF" and _tag(image, SAMPLE_FORMAT) == SIGNED and _tag(image, BITS_PER_SAMPLE) == 16
    return image.mode == "I" and (image.format == "PPM" or signed)


def sample_bits(image: Image.Image, data: bytes) -> int:
    """Return the bits a sample that a film is stored with, eight where a palette or a coder stands between."""
    if image.mode in ("1", "P", "PA"):
        return 1 if image.mode == "1" else 8
    stored = parts.sample_bits(data) if image.format == "PNG" else _tag(image, BITS_PER_SAMPLE)
    return stored or (16 if is_deep(image) else 8)


def gray(image: Image.Image, data: bytes, header: Header) -> tuple[Gray, Header]:
    """Return the grey levels of a film of more than eight bits, and its header with their bits and what is odd.

    Args:
        image: as Pillow opened it, not loaded.
        data: its file.
        header: what is known of it.

    Raises:
        DecodeError: where levels lie below 0.
    """
    scaled = _scaled(image)
    levels = np.asarray(image) if scaled is None or scaled.offset is None else _pgm_levels(image, data, scaled)
    largest = int(levels.max(initial=0))
    if levels.min(initial=0) < 0:
        raise DecodeError("unsupported", "found levels below 0, of which any may be black; expected 0 to 65535", header)
    depth = _of_pgm(scaled) if scaled is not None else _depth(image, data, largest)
    found = gray_of(levels, white=depth.white)
    header = replace(header, bits=depth.bits, oddities=_oddities(depth, largest))
    return 255 - found if _white_is_zero(image) else found, header


def _oddities(depth: Depth, largest: int) -> tuple[str, ...]:
    if largest > depth.white:
        return (f"levels above the white that the file states: it states {depth.white}, the largest is {largest}",)
    if not depth.stated and depth.bits < 16:
        return (f"levels use fewer bits than the file has: scaled by {depth.bits}, the largest is {largest}",)
    return ()


def _scaled(image: Image.Image) -> Scaled | None:
    """Return where the levels of a PGM lie and which is white, where Pillow would scale them."""
    if not isinstance(image, PpmImagePlugin.PpmImageFile) or not image.tile:
        return None
    coder, _, offset, options = image.tile[0]
    if not isinstance(options, tuple) or options[1] == SIXTEEN:
        return None
    return Scaled(offset if coder == "ppm" else None, int(options[1]))


def _pgm_levels(image: Image.Image, data: bytes, scaled: Scaled) -> NDArray[np.integer]:
    assert scaled.offset is not None
    width, height = image.size
    if len(data) < scaled.offset + 2 * width * height:
        raise OSError("image file is truncated")
    return np.frombuffer(data, ">u2", width * height, scaled.offset).reshape(height, width)


def _of_pgm(scaled: Scaled) -> Depth:
    """Return what a PGM states of its levels; those written as text were scaled to 16 bits by Pillow."""
    if scaled.offset is None:
        return Depth(16, SIXTEEN, stated=True)
    return Depth(scaled.maxval.bit_length(), scaled.maxval, stated=True)


def _depth(image: Image.Image, data: bytes, largest: int) -> Depth:
    """Return the depth that the file states, else the least of a detector's that holds the largest level.

    PNG's sBIT says how many of the highest bits were measured (PNG 11.3.2.7: samples fill their word). Who writes
    it beside levels that fill the lowest bits alone means those.
    """
    if image.format == "PNG" and (significant := parts.significant_bits(data)):
        return _of_bits(16 if largest >> significant else significant, stated=True)
    if image.format == "TIFF":
        if (stored := _tag(image, BITS_PER_SAMPLE) or 16) < 16:
            return _of_bits(stored, stated=True)
        stated = max(_tag(image, MAX_SAMPLE) or 0, _tag(image, S_MAX_SAMPLE) or 0)
        if largest <= stated <= SIXTEEN:
            return _of_bits(depth_of(stated), stated=True)
    return _of_bits(depth_of(largest))


def _of_bits(bits: int, *, stated: bool = False) -> Depth:
    return Depth(bits, (1 << bits) - 1, stated=stated)


def _white_is_zero(image: Image.Image) -> bool:
    """Return whether a TIFF's level 0 is white: Pillow inverts such films of eight bits, and not those of more."""
    return image.format == "TIFF" and _tag(image, WHITE_IS) == 0


def _tag(image: Image.Image, tag: int) -> int | None:
    """Return a whole number that a TIFF says, the first of several, or None where it says none."""
    found = image.tag_v2.get(tag) if isinstance(image, TiffImagePlugin.TiffImageFile) else None
    first = found[0] if isinstance(found, tuple) and found else found
    return int(first) if isinstance(first, (int, float)) and first == first // 1 else None
