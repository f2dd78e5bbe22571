"""Codecs: whether films and images of each format come back as they went in, by libraries that are fast at it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import get_args

import cv2
import numpy as np
from PIL import Image, features

from stages.checkup.finding import Finding
from stages.films import codec, decode
from stages.films.frame import Gray

OURS: tuple[codec.Encoding, ...] = get_args(codec.Encoding)
LARGEST_LOSS = 4  # grey levels, of a smooth image by JPEG of quality 95
TURBO = "libjpeg-turbo"


def codecs() -> Iterator[Finding]:
    """Yield what can be read and written, what cannot, and which library reads JPEG."""
    image = ramp()
    read = [(name, _readable(image, name)) for name in decode.FORMATS]
    written = [(str(name), _written(image, name)) for name in OURS]
    good = [[name for name, why in found if not why] for found in (read, written)]
    yield Finding("codecs", f"{', '.join(good[0])} read; {', '.join(good[1])} written and read again")
    for name, why in [*read, *written]:
        if why:
            yield Finding(f"codec {name}", why, "wrong", "pip install --force-reinstall pillow opencv-python-headless")
    yield jpeg_library()


def ramp(height: int = 48, width: int = 64) -> Gray:
    """Return a smooth image that any codec keeps, or nearly."""
    down, across = np.mgrid[0:height, 0:width]
    return np.asarray(40 + 100 * across / width + 80 * down / height, np.uint8)


def _readable(image: Gray, name: str) -> str:
    """Return why a film of a format is not read; empty where it is."""
    buffer = io.BytesIO()
    try:
        Image.fromarray(image).save(buffer, format=name, **({"lossless": True} if name == "WEBP" else {}))
        _, film = decode.decode(buffer.getvalue())
    except (OSError, KeyError, ValueError, decode.DecodeError) as error:
        return f"cannot be read: {error}"
    return _loss(image, np.asarray(film))


def _written(image: Gray, name: codec.Encoding) -> str:
    """Return why an image is not written, or not as it was; empty where it is."""
    try:
        return _loss(image, codec.decode(codec.encode(image, encoding=name, quality=95)))
    except (cv2.error, ValueError) as error:
        return f"cannot be written: {error}"


def _loss(image: Gray, found: Gray) -> str:
    """Return how far an image that came back is another one; empty where a lossy codec may change it so much."""
    if found.shape != image.shape:
        return f"comes back as {found.shape[0]} x {found.shape[1]}; expected {image.shape[0]} x {image.shape[1]}"
    off = int(np.abs(found.astype(int) - image).max())
    return "" if off <= LARGEST_LOSS else f"comes back {off} grey levels off; expected {LARGEST_LOSS} at most"


def jpeg_library() -> Finding:
    """Return which library reads and writes JPEG: the plain one takes three times as long as libjpeg-turbo."""
    slow = []
    if not features.check_feature("libjpeg_turbo"):
        slow.append("Pillow")
    if TURBO not in cv2.getBuildInformation():
        slow.append("OpenCV")
    if slow:
        advice = f"install the wheels of {' and '.join(slow)} in place of a system's build"
        return Finding("JPEG", f"{' and '.join(slow)} without {TURBO}", "slow", advice)
    told = features.version_feature("libjpeg_turbo")
    return Finding("JPEG", f"{TURBO} {told} (Pillow), {TURBO} (OpenCV)")
