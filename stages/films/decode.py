"""Raw films: bytes of any image file people have, to grey levels, and what the file says of itself."""

from __future__ import annotations

import ctypes
import io
import logging
import warnings
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, JpegImagePlugin, UnidentifiedImageError, _imaging

from stages.films import colour, deep, parts
from stages.films.header import BROKEN, LONGEST_ASPECT, MAX_PIXELS, SMALLEST_SIDE, DecodeError, Header, refuse_size

__all__ = ("EXTENSIONS", "FORMATS", "LONGEST_ASPECT", "MAX_PIXELS", "SMALLEST_SIDE", "DecodeError", "Header", "decode")

# Named, since Pillow would also open formats that start other programs (EPS) or hold no film (ICO, GIF).
FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "PPM", "WEBP")
# By the columns and rows of luma that share a colour sample.
SUBSAMPLINGS = {(1, 1): "4:4:4", (2, 1): "4:2:2", (1, 2): "4:4:0", (2, 2): "4:2:0", (4, 1): "4:1:1", (4, 2): "4:1:0"}
# Luma quantization table of the JPEG standard, annex K.1, at quality 50, sorted: Pillow's versions differ in
# the order they report, the values do not.
STANDARD_LUMA = np.sort([
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56,
    14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
])  # fmt: skip


def decode(data: bytes, *, key: bytes | None = None) -> tuple[Header, Image.Image]:
    """Return what the file says of itself, and its grey levels as a Pillow image of mode L.

    A Pillow image and not an array, since Pillow resizes it next: each way between them is a copy of the film.

    Colour becomes grey by ITU-R 601-2 luma (Pillow's `convert("L")`, and so torchvision's `Grayscale`);
    levels of more than eight bits become `round(255 x level / white)`, white being what the file states or what
    `films.deep` takes it for: of 16 bits, `round(level / 257)`. A DICOM's become what it says (`films.dicom`). EXIF
    orientation is not applied, as in the 2020 recipe, nor is an ICC profile, and of several frames the first is taken:
    the header's `oddities` say so. (A TIFF's own orientation tag is applied, by Pillow, and so in the 2020 recipe.)

    Args:
        data: the file.
        key: of the hash that stands for a DICOM's patient (`films.identity`); None: no patient is read.

    Raises:
        DecodeError: where the bytes are no image, not a whole one, or not one that can be used.
    """
    if not data:
        raise DecodeError("empty", "found 0 bytes; expected an image")
    if (found := parts.too_many(data)) is not None:
        raise DecodeError("unsupported", found)
    if parts.is_dicom(data):
        return _dicom(data, key)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of odd metadata; what matters raises
        with _opened(data) as image:
            header = _header(image, data)
            gray, header = _gray(image, header, data)
            return replace(_with_exif(image, header), colour=colour.spread(image)), gray


def _dicom(data: bytes, key: bytes | None) -> tuple[Header, Image.Image]:
    try:
        from stages.films import dicom  # noqa: PLC0415 - an extra, and no other film needs it
    except ImportError as error:
        told = "found a DICOM, and no package that reads it; expected: pip install 'cxr-pipeline[dicom]'"
        raise DecodeError("unsupported", told) from error
    return dicom.decode(data, key=key)


def _opened(data: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError as error:
        found = f"found {len(data)} bytes starting {data[:4].hex(' ')}"
        raise DecodeError("not_an_image", f"{found}; expected JPEG, PNG, TIFF, BMP, PGM, WebP or DICOM") from error
    except Image.DecompressionBombError as error:
        raise DecodeError("too_large", f"{error}; expected at most {MAX_PIXELS} pixels") from error
    except BROKEN as error:
        raise _broken(error) from error


def _header(image: Image.Image, data: bytes) -> Header:
    width, height = image.size
    if min(width, height) < 1:
        raise DecodeError("undecodable", f"found {width} x {height} pixels; expected at least {SMALLEST_SIDE} a side")
    header = Header(width, height, image.mode, str(image.format), bits=deep.sample_bits(image, data))
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        header = replace(
            header,
            jpeg_quality=jpeg_quality(image),
            jpeg_subsampling=_subsampling(image),
            progressive="progressive" in image.info,
        )
    refuse_size(header)
    return header


def _gray(image: Image.Image, header: Header, data: bytes) -> tuple[Image.Image, Header]:
    """Return the grey levels, and the header with what was found out on the way to them."""
    try:
        if deep.is_deep(image):
            levels, header = deep.gray(image, data, header)
            return Image.fromarray(levels), header
        if image.mode in ("I", "F"):
            raise DecodeError("unsupported", f"found mode {image.mode} (32 bit); expected 8 or 16 bits", header)
        image.load()
        return image if image.mode == "L" else image.convert("L"), header
    except BROKEN as error:
        raise _broken(error, header) from error


def _with_exif(image: Image.Image, header: Header) -> Header:
    """Return the header with what EXIF says of the film, which a TIFF says in tags of its own, and what is odd."""
    try:
        exif = image.getexif()
        orientation, tags = exif.get(ExifTags.Base.Orientation), len(exif)
    except BROKEN:
        orientation, tags = None, 0
    odd = (*_oddities(image, header, orientation), *header.oddities)
    return replace(header, exif_tags=None if header.format == "TIFF" else tags, oddities=odd)


def _oddities(image: Image.Image, header: Header, orientation: object) -> tuple[str, ...]:
    """Return what a person should know of how a file was read, a kind before its colon."""
    found = {
        f"EXIF orientation is ignored: the file says {orientation}": orientation in range(2, 9),
        "only the first frame is used: the file holds several": getattr(image, "is_animated", False),
        "ICC profile is ignored": "icc_profile" in image.info,
        "CMYK is read as Pillow reads it: no profile is applied": header.mode == "CMYK",
        "black and white alone: 1 bit a pixel": header.mode == "1",
        "transparency is ignored": header.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info,
    }
    return tuple(text for text, holds in found.items() if holds)


def _broken(error: BaseException, header: Header | None = None) -> DecodeError:
    """Return what is wrong with a film that Pillow could not read: cut off, as far as its words tell, or spoilt."""
    return DecodeError("truncated" if "truncated" in str(error).lower() else "undecodable", _text(error), header)


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


def _subsampling(image: JpegImagePlugin.JpegImageFile) -> str:
    """Return how the colours of a JPEG are sampled: 4:4:4 where every pixel has its own, `grey` where there are none.

    Factors that have no such name are told as they are, of each component, across x down.
    """
    factors = tuple((across, down) for _, across, down, _ in image.layer)
    if len(factors) == 1:
        return "grey"
    named = SUBSAMPLINGS.get(factors[0]) if factors[1:3] == ((1, 1), (1, 1)) else None
    return named or " ".join(f"{across}x{down}" for across, down in factors)


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
