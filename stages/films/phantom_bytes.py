"""A phantom's picture as the bytes of its file, whole or broken as its fault wants it."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from stages.films import codec
from stages.films.frame import Gray
from stages.films.phantom_faults import HUGE_SIDE, SLIVER_HEIGHT
from stages.films.phantom_plan import Fault, PhantomFilm

TINT = (1.0, 0.985, 0.965)  # of an RGB film: as faint as a scanner's
NEAR_QUALITY = 60  # of a copy that was compressed once more
START_OF_FRAME = (b"\xff\xc0", b"\xff\xc2")  # JPEG's markers of a sequential and a progressive frame
ORIENTATION = 0x0112  # EXIF's tag; 6 says: turn by 90 degrees clockwise to see it upright


def gray_bytes(image: Gray, film: PhantomFilm) -> bytes:
    """Return the file of a grey picture."""
    fault = film.fault
    if fault in _WRITERS:
        return _WRITERS[fault](image, film)
    quality = NEAR_QUALITY if fault == "near_recompressed" else film.quality
    if film.mode == "RGB":
        return colour_bytes(np.rint(image[..., None] * np.array(TINT, np.float32)).astype(np.uint8), quality)
    return codec.encode(image, encoding="jpeg", quality=quality)


def colour_bytes(image: Any, quality: int) -> bytes:
    """Return the JPEG of a picture in colours."""
    return _saved(Image.fromarray(image), "JPEG", quality=quality)


def _saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _truncated(image: Gray, film: PhantomFilm) -> bytes:
    data = codec.encode(image, encoding="jpeg", quality=film.quality)
    return data[: len(data) // 2]


def _page(_image: Gray, film: PhantomFilm) -> bytes:
    return f"<!DOCTYPE html><title>403 Forbidden</title><p>Log in to download {film.path}.\n".encode()


def _undecodable(image: Gray, _film: PhantomFilm) -> bytes:
    """Return a PNG in which the first bytes of the compressed grey levels are others."""
    data = bytearray(codec.encode(image, encoding="png"))
    start = data.index(b"IDAT") + 4
    data[start : start + 64] = bytes(64)
    return bytes(data)


def _sliver(image: Gray, film: PhantomFilm) -> bytes:
    return codec.encode(np.ascontiguousarray(image[:SLIVER_HEIGHT]), encoding="jpeg", quality=film.quality)


def _huge(image: Gray, film: PhantomFilm) -> bytes:
    """Return a JPEG whose header promises more pixels than there are, and than anyone wants."""
    data = codec.encode(image, encoding="jpeg", quality=film.quality)
    place = next(at for at in map(data.find, START_OF_FRAME) if at > 0) + 5  # marker, length, bits
    return data[:place] + struct.pack(">HH", HUGE_SIDE, HUGE_SIDE) + data[place + 4 :]


def _png(image: Gray, _film: PhantomFilm) -> bytes:
    return codec.encode(image, encoding="png")


def _turned_by_exif(image: Gray, film: PhantomFilm) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    return _saved(Image.fromarray(image), "JPEG", quality=film.quality, exif=exif)


def _with_profile(image: Gray, film: PhantomFilm) -> bytes:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    profile = profile[:24] + bytes(12) + profile[36:]  # when it was made, or the bytes would be others each time
    return _saved(Image.fromarray(image), "JPEG", quality=film.quality, icc_profile=profile)


def _cmyk(image: Gray, film: PhantomFilm) -> bytes:
    return _saved(Image.fromarray(image).convert("RGB").convert("CMYK"), "JPEG", quality=film.quality)


def _transparent(image: Gray, _film: PhantomFilm) -> bytes:
    picture = Image.fromarray(image)
    picture.putalpha(255)
    return _saved(picture, "PNG")


def _twice(image: Gray, _film: PhantomFilm) -> bytes:
    first = Image.fromarray(image)
    return _saved(first, "PNG", save_all=True, append_images=[Image.fromarray(255 - image)])


def _one_bit(image: Gray, _film: PhantomFilm) -> bytes:
    return _saved(Image.fromarray(image).convert("1"), "PNG")


_WRITERS: Mapping[Fault | None, Callable[[Gray, PhantomFilm], bytes]] = MappingProxyType(
    {
        "truncated": _truncated,
        "not_an_image": _page,
        "undecodable": _undecodable,
        "unsupported": _sliver,
        "too_large": _huge,
        "wrong_extension": _png,
        "exif_orientation": _turned_by_exif,
        "icc_profile": _with_profile,
        "cmyk": _cmyk,
        "transparency": _transparent,
        "several_frames": _twice,
        "one_bit": _one_bit,
    }
)
