"""A film made small: what the audit looks at, since most of what it asks shows in a fraction of the pixels."""

from __future__ import annotations

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
