"""Raw films: bytes of any image file people have, to grey levels, and what the file says of itself."""

from __future__ import annotations

import ctypes
import io
import logging
import struct
import warnings
import zlib
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, JpegImagePlugin, UnidentifiedImageError, _imaging

from manifests.rows import Status
from stages.films import colour, parts
from stages.films.frame import Frame, Gray

# Named, since Pillow would also open formats that start other programs (EPS) or hold no film (ICO, GIF).
FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "PPM", "WEBP")
MAX_PIXELS = 100_000_000  # a film of 35 x 43 cm at 50 um has 60 million
SMALLEST_SIDE = 8  # below, there is nothing to see, and a crop to 256 would magnify 32 times
ROWS_AT_ONCE = 256  # of a 16-bit film: its levels take four bytes each on their way to one
LONGEST_ASPECT = 16  # beyond, a few kB of strip (8 x 400,000) would grow to gigabytes: a crop scales the shorter side
# What Pillow's readers raise on bytes that break their format, collected by fuzzing and from its test suite.
BROKEN = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, OverflowError,
          MemoryError, struct.error, zlib.error)  # fmt: skip

# Luma quantization table of the JPEG standard, annex K.1, at quality 50, sorted: Pillow's versions differ in
# the order they report, the values do not.
STANDARD_LUMA = np.sort([
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56,
    14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
])  # fmt: skip


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
        colour: how far its colours spread (`colour.spread`); None where it is grey.
    """

    width: int
    height: int
    mode: str
    format: str
    jpeg_quality: int | None
    oddities: tuple[str, ...] = ()
    colour: float | None = None

    @property
    def frame(self) -> Frame:
        """Height and width."""
        return Frame(height=self.height, width=self.width)


def decode(data: bytes) -> tuple[Header, Image.Image]:
    """Return what the file says of itself, and its grey levels as a Pillow image of mode L.

    A Pillow image and not an array, since Pillow resizes it next: each way between them is a copy of the film.

    Colour becomes grey by ITU-R 601-2 luma (Pillow's `convert("L")`, and so torchvision's `Grayscale`);
    16-bit levels become `round(level / 257)`, which takes 0..65535 to 0..255. EXIF orientation is not
    applied, as in the 2020 recipe, nor is an ICC profile, and of several frames the first is taken: the header's
    `oddities` say so. (A TIFF's own orientation tag is applied, by Pillow, and so in the 2020 recipe.)

    Args:
        data: the file.

    Raises:
        DecodeError: where the bytes are no image, not a whole one, or not one that can be used.
    """
    if not data:
        raise DecodeError("empty", "found 0 bytes; expected an image")
    if (found := parts.too_many(data)) is not None:
        raise DecodeError("unsupported", found)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of odd metadata; what matters raises
        with _opened(data) as image:
            header = _header(image)
            gray = _gray(image, header)
            return replace(header, oddities=_oddities(image, header), colour=colour.spread(image)), gray


def _opened(data: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError as error:
        found = f"found {len(data)} bytes starting {data[:4].hex(' ')}"
        raise DecodeError("not_an_image", f"{found}; expected JPEG, PNG, TIFF, BMP, PGM or WebP") from error
    except Image.DecompressionBombError as error:
        raise DecodeError("too_large", f"{error}; expected at most {MAX_PIXELS} pixels") from error
    except BROKEN as error:
        raise _broken(error) from error


def _header(image: Image.Image) -> Header:
    width, height = image.size
    if min(width, height) < 1:
        raise DecodeError("undecodable", f"found {width} x {height} pixels; expected at least {SMALLEST_SIDE} a side")
    quality = jpeg_quality(image) if isinstance(image, JpegImagePlugin.JpegImageFile) else None
    header = Header(width, height, image.mode, str(image.format), quality)
    found = f"found {width} x {height} pixels"
    if width * height > MAX_PIXELS:
        raise DecodeError("too_large", f"{found}; expected at most {MAX_PIXELS}", header)
    if min(width, height) < SMALLEST_SIDE:
        raise DecodeError("unsupported", f"{found}; expected at least {SMALLEST_SIDE} a side", header)
    if max(width, height) > LONGEST_ASPECT * min(width, height):
        raise DecodeError("unsupported", f"{found}; expected at most {LONGEST_ASPECT} times as long as wide", header)
    return header


def _gray(image: Image.Image, header: Header) -> Image.Image:
    try:
        image.load()
        if image.mode.startswith("I;16") or (image.mode, image.format) == ("I", "PPM"):  # Pillow's 16-bit PGM
            return Image.fromarray(_from_16_bit(np.asarray(image)))
        if image.mode in ("I", "F"):
            raise DecodeError(
                "unsupported", f"found mode {image.mode} (32 bit); expected 8 or 16 bits a channel", header
            )
        return image if image.mode == "L" else image.convert("L")
    except BROKEN as error:
        raise _broken(error, header) from error


def _oddities(image: Image.Image, header: Header) -> tuple[str, ...]:
    """Return what a person should know of how a file was read, a kind before its colon."""
    orientation = _orientation(image)
    found = {
        f"EXIF orientation is ignored: the file says {orientation}": orientation in range(2, 9),
        "only the first frame is used: the file holds several": getattr(image, "is_animated", False),
        "ICC profile is ignored": "icc_profile" in image.info,
        "CMYK is read as Pillow reads it: no profile is applied": header.mode == "CMYK",
        "black and white alone: 1 bit a pixel": header.mode == "1",
        "transparency is ignored": header.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info,
    }
    return tuple(text for text, holds in found.items() if holds)


def _orientation(image: Image.Image) -> object:
    """Return what EXIF says of the orientation, or None where it cannot be read."""
    try:
        return image.getexif().get(ExifTags.Base.Orientation)
    except BROKEN:
        return None


def _broken(error: BaseException, header: Header | None = None) -> DecodeError:
    """Return what is wrong with a film that Pillow could not read: cut off, as far as its words tell, or spoilt."""
    return DecodeError("truncated" if "truncated" in str(error).lower() else "undecodable", _text(error), header)


def _from_16_bit(levels: NDArray[np.integer]) -> Gray:
    """Return round(level / 257); 255 x 257 = 65535, so black stays black and white stays white."""
    gray = np.empty(levels.shape, np.uint8)
    for top in range(0, len(levels), ROWS_AT_ONCE):
        some = slice(top, top + ROWS_AT_ONCE)
        gray[some] = (levels[some].astype(np.uint32) + 128) // 257
    return gray


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def jpeg_quality(image: JpegImagePlugin.JpegImageFile) -> int | None:
    """Return the IJG quality whose luma table is nearest the file's, in sum of absolute differences.

    libjpeg scales the standard's table by 5000 / q percent below quality 50 and by 200 - 2 q from there
    (jcparam.c, `jpeg_quality_scaling`). Tables of other makers get the nearest quality.
    """
    tables: dict[int, list[int]] = getattr(image, "quantization", {})
    if 0 not in tables:
        return None
    found = np.sort(tables[0])
    return int(np.argmin(np.abs(_LUMA_TABLES - found).sum(axis=1))) + 1


def _luma_tables() -> NDArray[np.int64]:
    quality = np.arange(1, 101)[:, None]
    scale = np.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    return np.asarray(np.clip((STANDARD_LUMA * scale + 50) // 100, 1, 255), np.int64)


def _silence_decoders() -> None:
    """Keep decoders from writing what they think of broken files to standard error: their rows say it.

    Pillow turns off libtiff's warnings and not its errors. Its extension module is linked with libtiff, and so
    the handler is found by its name; where it is not, the lines appear and nothing else changes.
    """
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    try:
        ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler(None)
    except (AttributeError, OSError):
        return


_silence_decoders()
_LUMA_TABLES = _luma_tables()
EXTENSIONS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "MPO": (".jpg", ".jpeg", ".mpo"),
    "PNG": (".png",),
    "TIFF": (".tif", ".tiff"),
    "BMP": (".bmp", ".dib"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "WEBP": (".webp",),
}
