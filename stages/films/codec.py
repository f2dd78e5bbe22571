"""Our own images as bytes: JPEG, PNG or PGM, and back."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from stages.films.frame import Frame, Gray, frame_of

Encoding = Literal["jpeg", "png", "pgm"]
SUFFIXES: Mapping[Encoding, str] = {"jpeg": ".jpeg", "png": ".png", "pgm": ".pgm"}
PGM_HEADER = re.compile(rb"P5\n([1-9][0-9]{0,8}) ([1-9][0-9]{0,8})\n255\n")  # width, height, the level of white
PNG_LEVEL = 1  # noise does not compress: level 6 costs 4 times the time for 2 % of the size


def _encode_jpeg(image: Gray, quality: int) -> bytes:
    return _encode_with_opencv(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])


def _encode_png(image: Gray, _quality: int) -> bytes:
    return _encode_with_opencv(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, PNG_LEVEL])


def _encode_pgm(image: Gray, _quality: int) -> bytes:
    return b"P5\n%d %d\n255\n" % (image.shape[1], image.shape[0]) + image.tobytes()


def _encode_with_opencv(suffix: str, image: Gray, options: list[int]) -> bytes:
    encoded, data = cv2.imencode(suffix, image, options)
    assert encoded, "OpenCV encodes any 8-bit grey image"
    return data.tobytes()


_ENCODERS: Mapping[Encoding, Callable[[Gray, int], bytes]] = {
    "jpeg": _encode_jpeg,
    "png": _encode_png,
    "pgm": _encode_pgm,
}


def encode(image: Gray, *, encoding: Encoding, quality: int = 95) -> bytes:
    """Return the image as bytes of an encoding; `quality` (1 to 100) matters to JPEG alone."""
    assert image.dtype == np.uint8
    assert image.ndim == 2
    return _ENCODERS[encoding](image, quality)


def decode(data: bytes) -> Gray:
    """Return the grey levels of an image that `encode` made, read-only for PGM.

    Raises:
        ValueError: where the bytes are no such image, or not all of it.
    """
    if data.startswith(b"P5\n"):
        return _decode_pgm(data)
    flat: NDArray[np.uint8] = np.frombuffer(data, np.uint8)
    try:
        image = cv2.imdecode(flat, cv2.IMREAD_UNCHANGED) if data else None
    except cv2.error:  # a broken header can promise more pixels than OpenCV allows
        image = None
    if image is None or image.ndim != 2 or image.dtype != np.uint8:
        raise ValueError(f"{len(data)} bytes starting {data[:4]!r} are no 8-bit grey JPEG, PNG or PGM")
    return np.asarray(image, np.uint8)


def _decode_pgm(data: bytes) -> Gray:
    header = PGM_HEADER.match(data)
    if header is None:
        raise ValueError(
            f"{len(data)} bytes starting {data[:16]!r} are no PGM; expected the lines P5, width height, 255"
        )
    width, height = map(int, header.groups())
    if (found := len(data) - header.end()) != width * height:
        raise ValueError(f"a PGM of {width} x {height} holds {found} bytes of pixels; expected {width * height}")
    return np.frombuffer(data, np.uint8, offset=header.end()).reshape(height, width)


def frame_of_bytes(data: bytes, *, pixels: bool = False) -> Frame:
    """Return the frame of an image that `encode` made.

    Args:
        data: the image.
        pixels: whether all of it is decoded, so that pixels which are not whole are an error; else its header is read.

    Raises:
        ValueError: where the bytes are no such image.
    """
    if pixels:
        return frame_of(decode(data))
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG", "PNG", "PPM")) as image:
            width, height = image.size
            mode = image.mode
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError, SyntaxError) as error:
        raise ValueError(f"{len(data)} bytes starting {data[:4]!r} are no JPEG, PNG or PGM") from error
    if mode != "L":
        raise ValueError(f"an image of mode {mode}; expected 8-bit grey levels")
    return Frame(height=height, width=width)
