"""A film made small: what the audit looks at, since most of what it asks shows in a fraction of the pixels."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from PIL import Image

FINE_SIDE = 256  # pixels; strokes of burnt-in letters are two of them wide
SMALL_SIDE = 128  # pixels


def reduced(image: Image.Image, *, side: int = SMALL_SIDE) -> Image.Image:
    """Return the means of whole blocks of a film of mode L, `side` to twice as many pixels on its shorter side.

    A film that is smaller comes back as it is. Smoothing a film of a million pixels straight to 32 x 32 takes three
    times as long.
    """
    block = max(1, min(image.size) // side)
    return image.reduce(block) if block > 1 else image


def thumbnail(small: Image.Image, *, side: int) -> bytes:
    """Return the grey levels by which near duplicates are found, side x side of them, of a film made small."""
    return small.resize((side, side), Image.Resampling.BILINEAR).tobytes()


def levels_sum(image: Image.Image) -> int:
    """Return the sum of a film's grey levels, taken eight at a time as numbers of 64 bits, modulo 2^64.

    One level that differs changes it, at a twentieth of what a hash of so many pixels costs. Films of one size and one
    thumbnail have the same sum where all their levels are the same, and by no accident otherwise.
    """
    try:
        levels = np.frombuffer(pa.array(image).buffers()[1], np.uint8, count=image.width * image.height)
    except ValueError:  # a film in several blocks of memory
        levels = np.asarray(image).ravel()
    whole = len(levels) // 8 * 8
    return (int(levels[:whole].view(np.uint64).sum(dtype=np.uint64)) + int(levels[whole:].sum())) % 2**64
