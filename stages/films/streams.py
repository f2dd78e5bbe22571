"""How many pixels a compressed frame promises by its own words, before a decoder believes it.

It is read as decoders read it, skipping what they skip: a promise that only a reader finds protects nobody.
"""

from __future__ import annotations

import struct
from itertools import islice
from typing import NamedTuple

from stages.films.parts import JPEG, JPEG_FRAMES, MOST_PARTS, jpeg_segments

JPEG_2000 = b"\xff\x4f\xff\x51"
BOXES = b"\x00\x00\x00\x0cjP  "  # JPEG 2000 in a file of its own
FRAMES = (*JPEG_FRAMES, 0xF7)  # the last is JPEG-LS's (ITU-T T.87)


class Promise(NamedTuple):
    """What a frame says of itself."""

    width: int
    height: int
    components: int


def promise_of(frame: bytes) -> Promise | None:
    """Return the size of a JPEG, JPEG-LS or JPEG 2000, or None where it is none or does not say among MOST_PARTS."""
    if frame.startswith(JPEG):
        return _of_jpeg(frame)
    start = _codestream(frame) if frame.startswith(BOXES) else 0
    return None if start is None else _of_jpeg_2000(frame[start : start + 42])


def _of_jpeg(frame: bytes) -> Promise | None:
    segments = islice(jpeg_segments(frame), MOST_PARTS)
    place = next((place for place in segments if frame[place + 1] in FRAMES), None)
    if place is None or len(frame) < place + 10:
        return None
    height, width, components = struct.unpack_from(">HHB", frame, place + 5)
    return Promise(width, height, components)


def _codestream(frame: bytes) -> int | None:
    """Return where the first codestream among the boxes of a JPEG 2000 begins (ITU-T T.800, I.4), if there is one."""
    place = 0
    for _ in range(MOST_PARTS):
        if place + 16 > len(frame):
            return None
        length, kind, longer = struct.unpack_from(">I4sQ", frame, place)
        if kind == b"jp2c":
            return place + (16 if length == 1 else 8)
        length = longer if length == 1 else length
        if length < 8:  # the last box, which reaches to the end
            return None
        place += length
    return None


def _of_jpeg_2000(head: bytes) -> Promise | None:
    """Return what SIZ says (ITU-T T.800, A.5.1): the corners of the image on its grid, then of tiles."""
    if not head.startswith(JPEG_2000) or len(head) < 42:
        return None
    right, bottom, left, top, components = struct.unpack(">8x4I16xH", head)
    return Promise(right - left, bottom - top, components)
