"""Films made small enough for a page or a contact sheet: JPEG bytes of a few kB, and never a part of the figures.

`reports/*.json` are made to be committed, and films are not.
"""

from __future__ import annotations

import base64
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from manifests import source
from manifests.places import AnyPath
from stages.contract import Failure, Machine, Retry, begin

if TYPE_CHECKING:
    from PIL import Image

QUALITY = 80


@dataclass(frozen=True, slots=True)
class PictureJob:
    """A raw film that is to be shown; with what is known of it, if it ended the process that made it small."""

    path: str
    failure: Failure | None = None


def picture(image: Image.Image, *, side: int) -> bytes:
    """Return a film of mode L as a JPEG whose longer side is at most `side` pixels, its aspect kept."""
    import numpy as np  # noqa: PLC0415 - as the codec, slow to load
    from PIL import Image  # noqa: PLC0415

    from stages.films import codec  # noqa: PLC0415 - cv2

    scale = min(1.0, side / max(image.size))
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    small = image if scale == 1 else image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
    return codec.encode(np.asarray(small), encoding="jpeg", quality=QUALITY)


def picture_of(data: bytes, *, side: int) -> bytes:
    """Return the picture of an image that a stage encoded.

    Raises:
        ValueError: where the bytes are no such image.
    """
    from PIL import Image  # noqa: PLC0415 - as above

    from stages.films import codec  # noqa: PLC0415 - as above

    return picture(Image.fromarray(codec.decode(data)), side=side)


def raw_pictures(paths: Collection[str], raw: AnyPath, machine: Machine, *, side: int) -> dict[str, bytes]:
    """Return the pictures of raw films by their paths; a film that cannot be read has none."""
    jobs = [PictureJob(path) for path in dict.fromkeys(paths)]
    retry = Retry(alone=lambda job, _path: job, without=lambda job, failed: PictureJob(job.path, failed[job.path]))
    made: Iterable[bytes | None] = machine.fan_out(
        partial(_raw_picture, raw=raw, side=side), jobs, unit="pictures", retry=retry
    )
    return {job.path: found for job, found in zip(jobs, made, strict=True) if found is not None}


def _raw_picture(job: PictureJob, *, raw: AnyPath, side: int) -> bytes | None:
    from stages.films import decode  # noqa: PLC0415 - as above

    if job.failure is not None:
        return None
    begin(job.path)
    try:
        _, image = decode.decode(source.read(raw / job.path))
    except (source.SourceError, decode.DecodeError):
        return None
    return picture(image, side=side)


def addresses(pictures: Mapping[str, bytes]) -> dict[str, str]:
    """Return pictures as data: addresses, which a page holds in itself."""
    return {name: f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}" for name, jpeg in pictures.items()}
