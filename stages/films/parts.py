"""The parts a file is made of, counted before a decoder sees them: time and memory go by parts, not by bytes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

MOST_PARTS = 100_000  # a PNG of 300 MB has 37,000 of zlib's usual 8 kB; each part costs a decoder some microseconds
MOST_SCANS = 100  # progressive JPEGs have about ten; each of 14 bytes costs a pass over all pixels
JPEG, PNG = b"\xff\xd8", b"\x89PNG"  # how they begin
PNG_BITS = (b"\x01", b"\x02", b"\x04", b"\x08", b"\x10")  # a sample
START_OF_SCAN = b"\xff\xda"
# Markers that start a frame (ITU-T T.81, table B.1: C4, C8 and CC start none), and those of them whose frame is coded
# by Huffman, block by block.
JPEG_FRAMES = (*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0))
SEQUENTIAL = (0xC0, 0xC1)

DICM, DICM_AT = b"DICM", 128  # after a preamble that may hold anything (DICOM PS3.10, 7.1)
# Without it a file begins with its first tag, of group 2 or 8, little-endian: (0002,0000), (0008,0005), (0008,0016) ...
BARE_DICOM = re.compile(
    rb"(?:\x02\x00[\x00-\x03\x10-\x18]|\x08\x00[\x00-\x90])\x00(?:[A-Z]{2}|.{2}\x00\x00)", re.DOTALL
)


def is_dicom(data: bytes) -> bool:
    """Return whether a file says that it is a DICOM, or begins as one without its preamble."""
    return data[DICM_AT : DICM_AT + 4] == DICM or BARE_DICOM.match(data) is not None


def too_many(data: bytes) -> str | None:
    """Return what was found and expected where a JPEG or PNG has more parts than any film, else None."""
    for start, (name, walk) in _WALKS.items():
        if data.startswith(start):
            for number, _ in enumerate(walk(data)):
                if number >= MOST_PARTS:
                    return f"found more than {MOST_PARTS} {name}; expected fewer"
    of_many = data.startswith(JPEG) and not _first_scan_is_all(data)
    if of_many and (scans := data.count(START_OF_SCAN)) > MOST_SCANS:
        return f"found {scans} scans; expected at most {MOST_SCANS}"
    return None


def _first_scan_is_all(data: bytes) -> bool:
    """Return whether a JPEG is sequential and of one component, as most films are: no decoder reads a second scan."""
    first = next((place for place in jpeg_segments(data) if data[place + 1] in JPEG_FRAMES), None)
    return first is not None and data[first + 1] in SEQUENTIAL and data[first + 9 : first + 10] == b"\x01"


def jpeg_segments(data: bytes) -> Iterator[int]:
    """Yield where each segment of a JPEG's head starts, up to its first scan.

    As libjpeg finds them (jdmarker.c, `next_marker`): what is no FF between two segments is skipped, and so are FF FF,
    FF 00 and the markers that have no length.
    """
    place = 2
    while 0 <= (place := data.find(b"\xff", place)) < len(data) - 4:
        yield place
        marker = data[place + 1]
        if marker == START_OF_SCAN[1]:
            return
        alone = marker in (0x00, 0x01, 0xFF) or 0xD0 <= marker <= 0xD9
        place += 1 if alone else 2 + max(2, int.from_bytes(data[place + 2 : place + 4]))


def sample_bits(png: bytes) -> int | None:
    """Return the bits a sample that a PNG's header states (IHDR), of several the last, None where they are no PNG's.

    The standard wants the header to come first; phones write a chunk before it, and decoders read on.
    """
    found = None
    for place in _chunks(png):
        if (kind := png[place + 4 : place + 8]) == b"IDAT":
            break
        if kind == b"IHDR" and png[place + 16 : place + 17] in PNG_BITS:
            found = png[place + 16]
    return found


def significant_bits(png: bytes) -> int | None:
    """Return how many bits of a grey PNG's samples were measured (sBIT), or None where it does not say."""
    for place in _chunks(png):
        kind, length = png[place + 4 : place + 8], int.from_bytes(png[place : place + 4])
        if kind == b"IDAT":
            return None
        if kind == b"sBIT" and length == 1:
            return png[place + 8] if png[place + 8 : place + 9] and 1 <= png[place + 8] <= 16 else None
    return None


def _chunks(data: bytes) -> Iterator[int]:
    """Yield where each chunk of a PNG starts."""
    place = 8
    while place + 8 <= len(data):
        yield place
        place += 12 + int.from_bytes(data[place : place + 4])


_WALKS: Mapping[bytes, tuple[str, Callable[[bytes], Iterator[int]]]] = {
    JPEG: ("segments", jpeg_segments),
    PNG: ("chunks", _chunks),
}
