"""Image files that somebody broke on purpose: whole ones made by Pillow, then spoilt by keyed random draws."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from PIL import Image

Words = np.random.Generator
HIGH, WIDE = 40, 56
EXTREMES = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)
PNG_START = b"\x89PNG\r\n\x1a\n"


def _noise(channels: int) -> bytes:
    return np.random.default_rng(channels).integers(0, 256, HIGH * WIDE * channels, np.uint8).tobytes()


def _saved(mode: str, format_: str, **options: Any) -> bytes:
    channels = {"1": 1, "L": 1, "P": 1, "LA": 2, "I;16": 2, "RGB": 3, "RGBA": 4, "CMYK": 4}[mode]
    plain = "L" if mode in ("1", "P") else mode
    picture = Image.frombytes(plain, (WIDE, HIGH), _noise(channels))
    file = io.BytesIO()
    (picture if mode == plain else picture.convert(mode)).save(file, format_, **options)
    return file.getvalue()


def _more_frames() -> dict[str, Any]:
    """Return Pillow's options for a second frame; a new image each time, since a format leaves its marks on it."""
    return {"save_all": True, "append_images": [Image.new("L", (WIDE, HIGH), 9)]}


def seeds() -> dict[str, bytes]:
    """Return whole files of every format and most of their kinds, by a name that ends as their format does."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return {
        "gray.jpeg": _saved("L", "JPEG"),
        "colour.jpeg": _saved("RGB", "JPEG", exif=exif, icc_profile=b"profile"),
        "cmyk.jpeg": _saved("CMYK", "JPEG"),
        "progressive.jpeg": _saved("RGB", "JPEG", progressive=True),
        "restarts.jpeg": _saved("L", "JPEG", restart_marker_rows=1),
        "two.mpo": _saved("L", "MPO", **_more_frames()),
        "gray.png": _saved("L", "PNG"),
        "deep.png": _saved("I;16", "PNG"),
        "palette.png": _saved("P", "PNG"),
        "bits.png": _saved("1", "PNG"),
        "alpha.png": _saved("RGBA", "PNG", exif=exif),
        "moving.png": _saved("L", "PNG", **_more_frames()),
        "plain.tiff": _saved("L", "TIFF"),
        "deep.tiff": _saved("I;16", "TIFF"),
        "lzw.tiff": _saved("RGB", "TIFF", compression="tiff_lzw"),
        "deflate.tiff": _saved("L", "TIFF", compression="tiff_adobe_deflate"),
        "jpeg.tiff": _saved("RGB", "TIFF", compression="jpeg"),
        "fax.tiff": _saved("1", "TIFF", compression="group4"),
        "pages.tiff": _saved("L", "TIFF", **_more_frames()),
        "big.tiff": _saved("L", "TIFF", big_tiff=True),
        "gray.bmp": _saved("L", "BMP"),
        "colour.bmp": _saved("RGB", "BMP"),
        "bits.bmp": _saved("1", "BMP"),
        "gray.pgm": _saved("L", "PPM"),
        "colour.ppm": _saved("RGB", "PPM"),
        "deep.pgm": _saved("I;16", "PPM"),
        "lossy.webp": _saved("RGB", "WEBP", exif=exif),
        "lossless.webp": _saved("RGBA", "WEBP", lossless=True),
        "moving.webp": _saved("RGB", "WEBP", **_more_frames()),
        **_dicoms(),
    }


def _dicoms() -> dict[str, bytes]:
    """Return DICOMs of most codings; none where the extra that reads them is not installed."""
    try:
        from pydicom import uid  # noqa: PLC0415 - an extra

        from tests.stages.films.made_dicom import dicom  # noqa: PLC0415 - as above
    except ImportError:
        return {}
    levels = np.frombuffer(_noise(2), np.uint16).reshape(HIGH, WIDE) >> 4
    window: dict[str, Any] = {
        "BitsStored": 12,
        "WindowCenter": 2000,
        "WindowWidth": 900,
        "RescaleSlope": 1,
        "RescaleIntercept": 0,
    }
    return {
        "plain.dcm": dicom(levels, **window),
        "implicit.dcm": dicom(levels, syntax=uid.ImplicitVRLittleEndian, **window),
        "bare.dcm": dicom(levels, bare=True, **window),
        "rle.dcm": dicom(levels, syntax=uid.RLELossless, **window),
        "jpeg.dcm": dicom(levels.astype(np.uint8), syntax=uid.JPEGBaseline8Bit),
        "extended.dcm": dicom(levels, syntax=uid.JPEGExtended12Bit, **window),
        "lossless.dcm": dicom(levels, syntax=uid.JPEGLosslessSV1, **window),
        "jpeg-ls.dcm": dicom(levels, syntax=uid.JPEGLSLossless, **window),
        "jpeg-2000.dcm": dicom(levels, syntax=uid.JPEG2000Lossless, **window),
        "high-throughput.dcm": dicom(levels, syntax=uid.HTJ2KLossless, **window),
    }


def flip(data: bytes, words: Words) -> bytes:
    """Return the bytes with some of them changed."""
    changed = bytearray(data)
    for _ in range(int(words.integers(1, 9))):
        changed[int(words.integers(len(changed)))] ^= 1 << int(words.integers(8))
    return bytes(changed)


def cut(data: bytes, words: Words) -> bytes:
    """Return the bytes up to somewhere."""
    return data[: int(words.integers(len(data)))]


def splice(data: bytes, words: Words) -> bytes:
    """Return the start of the file and the end of it from somewhere else: parts doubled, or left out."""
    return data[: int(words.integers(len(data)))] + data[int(words.integers(len(data))) :]


def lengths(data: bytes, words: Words) -> bytes:
    """Return the file with one to three fields of two or four bytes in its head set to an extreme number."""
    changed = bytearray(data)
    for _ in range(int(words.integers(1, 4))):
        size = int(words.choice([2, 4]))
        place = int(words.integers(min(len(changed), 400)))
        number = EXTREMES[int(words.integers(len(EXTREMES)))] & (256**size - 1)
        order: Any = words.choice(["little", "big"])
        changed[place : place + size] = number.to_bytes(size, order)
    return bytes(changed)


def drown(data: bytes, words: Words) -> bytes:
    """Return the file with a run of one byte value over a part of it."""
    start, size = int(words.integers(len(data))), int(words.integers(1, 200))
    return data[:start] + bytes([int(words.integers(256))]) * size + data[start + size :]


def mended(data: bytes) -> bytes:
    """Return a PNG with the checksums that its chunks should have, so that decoders look at what they hold."""
    if not data.startswith(PNG_START):
        return data
    parts, place = [PNG_START], len(PNG_START)
    while place + 12 <= len(data):
        size = int.from_bytes(data[place : place + 4])
        body = data[place + 4 : place + 8 + size]
        parts += [data[place : place + 4], body, zlib.crc32(body).to_bytes(4)]
        place += 12 + size
    return b"".join(parts)


WAYS: Mapping[str, Callable[[bytes, Words], bytes]] = {
    "flip": flip,
    "cut": cut,
    "splice": splice,
    "lengths": lengths,
    "drown": drown,
}


def mutations(number: int, *, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """Yield so many spoilt files with their names; the same number and seed give the same files."""
    words = np.random.Generator(np.random.Philox(key=seed))
    whole = list(seeds().items())
    ways = list(WAYS.items())
    for index in range(number):
        name, data = whole[index % len(whole)]
        way, spoil = ways[index // len(whole) % len(ways)]
        spoilt = spoil(data, words)
        yield f"{index:05d}-{way}-{name}", mended(spoilt) if index % 2 else spoilt
