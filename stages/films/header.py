"""What a file says of itself, and how it is told that it is no film."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from manifests.rows import Status
from stages.films.frame import Frame

MAX_PIXELS = 100_000_000  # a film of 35 x 43 cm at 50 um has 60 million
SMALLEST_SIDE = 8  # below, there is nothing to see, and a crop to 256 would magnify 32 times
LONGEST_ASPECT = 16  # beyond, a few kB of strip (8 x 400,000) would grow to gigabytes: a crop scales the shorter side
# What readers raise on bytes that break their format, collected by fuzzing and from their test suites.
BROKEN = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, OverflowError,
          MemoryError, struct.error, zlib.error)  # fmt: skip


class DecodeError(Exception):
    """A file is no film that can be used; `status`, the text and what is known of the file go into its row."""

    def __init__(self, status: Status, reason: str, header: Header | None = None) -> None:
        super().__init__(reason)
        self.status: Status = status
        self.header = header


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says of itself.

    Attributes:
        width, height: pixels.
        mode: Pillow's name of the pixel layout.
        format: what the bytes are, whatever the file's extension says.
        jpeg_quality: the IJG quality nearest the luma quantization table; None where the file is no JPEG.
        oddities: what a person should know of how the file was read, a kind before its colon.
        bits: of a sample, by which its levels were scaled to 0..255; None where they were not read.
        jpeg_subsampling: of the colours, as 4:2:0; `grey` where there are none.
        progressive: whether a JPEG is coded in scans from coarse to fine.
        exif_tags: how many there are.
        transfer_syntax, photometric, windowing: how a DICOM's pixels are coded, what its highest level means,
            and what made grey levels of them.
        colour: how far its colours spread (`colour.spread`); None where it is grey.
        group: the patient, as a hash of what the file calls them; None where it names nobody, or was not asked.
    """

    width: int
    height: int
    mode: str
    format: str
    jpeg_quality: int | None = None
    oddities: tuple[str, ...] = ()
    bits: int | None = None
    jpeg_subsampling: str | None = None
    progressive: bool | None = None
    exif_tags: int | None = None
    transfer_syntax: str | None = None
    photometric: str | None = None
    windowing: str | None = None
    colour: float | None = None
    group: str | None = None

    @property
    def frame(self) -> Frame:
        """Height and width."""
        return Frame(height=self.height, width=self.width)


def refuse_size(header: Header) -> None:
    """Let a film of usable size pass, before its pixels are read.

    Raises:
        DecodeError: where it has too many pixels, or is a speck or a strip.
    """
    width, height = header.width, header.height
    found = f"found {width} x {height} pixels"
    if width * height > MAX_PIXELS:
        raise DecodeError("too_large", f"{found}; expected at most {MAX_PIXELS}", header)
    if min(width, height) < SMALLEST_SIDE:
        raise DecodeError("unsupported", f"{found}; expected at least {SMALLEST_SIDE} a side", header)
    if max(width, height) > LONGEST_ASPECT * min(width, height):
        raise DecodeError("unsupported", f"{found}; expected at most {LONGEST_ASPECT} times as long as wide", header)
