"""How many pixels a compressed frame promises by its own words, before a decoder believes it."""

from __future__ import annotations

import struct
from typing import NamedTuple

JPEG, JPEG_2000 = b"\xff\xd8", b"\xff\x4f\xff\x51"
BOXES = b"\x00\x00\x00\x0cjP  "  # JPEG 2000 in a file of its own
# Start of frame: of JPEG (ITU-T T.81, table B.1: C4, C8 and CC are no frames) and of JPEG-LS (T.87, F7).
FRAMES = (*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0), 0xF7)
ALONE = (0x01, *range(0xD0, 0xDA))  # markers without a length


class Promise(NamedTuple):
    """What a frame says of itself."""

    width: int
    height: int
    components: int


def promise_of(frame: bytes) -> Promise | None:
    """Return the size of a JPEG, JPEG-LS or JPEG 2000, or None where it is none or does not say."""
    if frame.startswith(JPEG):
        return _of_jpeg(frame)
    if frame.startswith((JPEG_2000, BOXES)) and (start := frame.find(JPEG_2000)) >= 0:
        return _of_siz(frame[start : start + 42])
    return None


def _of_siz(head: bytes) -> Promise | None:
    """SIZ of a JPEG 2000 (ITU-T T.800, A.5.1): the corners of the image on its grid, then of tiles."""
    if len(head) < 42:
        return None
    right, bottom, left, top, components = struct.unpack(">8x4I16xH", head)
    return Promise(right - left, bottom - top, components)


def _of_jpeg(frame: bytes) -> Promise | None:
    place = 2
    while place + 10 <= len(frame):
        if frame[place] != 0xFF or frame[place + 1] in (0xFF, *ALONE):
            place += 1 if frame[place] != 0xFF or frame[place + 1] == 0xFF else 2
            continue
        if frame[place + 1] in FRAMES:
            height, width, components = struct.unpack_from(">HHB", frame, place + 5)
            return Promise(width, height, components)
        place += 2 + max(2, int.from_bytes(frame[place + 2 : place + 4]))
    return None
