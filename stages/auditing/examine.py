"""One film's way through the audit: from the bytes of a file to what they say, in whatever process that is done."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from PIL import Image

from manifests import source
from manifests.places import AnyPath
from stages.ahead import Ahead
from stages.auditing.files import readable
from stages.auditing.rows import Examined
from stages.contract import Failure, begin
from stages.films import decode, look, quality
from stages.films.frame import Gray
from stages.films.placement import Placement
from stages.films.specimen import Aim, specimen
from stages.statistics.alignment import SIDE


@dataclass(frozen=True, slots=True)
class AuditJob:
    """One file; with what is known of it, if it ended the process that examined it."""

    path: str
    failure: Failure | None = None
    sampled: bool = False  # whether it is searched for shortcuts, as a network would see it


def audit_job(
    job: AuditJob, *, raw: AnyPath, ahead: Ahead | None = None, key: bytes = b"", aim: Aim | None = None
) -> Examined:
    """Return what the bytes of a job's file say; one that is known to have failed is hashed, and not looked into."""
    if job.failure is None:
        return audit_one(job.path, raw=raw, ahead=ahead, key=key, aim=aim if job.sampled else None)
    try:
        data = source.read(raw / job.path)
    except source.SourceError:
        return Examined(job.failure.status, job.failure.reason)
    return Examined(job.failure.status, job.failure.reason, hashlib.sha256(data).hexdigest(), len(data))


def without(job: AuditJob, failures: Mapping[str, Failure]) -> AuditJob:
    """Return a file's job with what is known of it."""
    return replace(job, failure=failures[job.path])


def audit_one(
    path: str, *, raw: AnyPath, ahead: Ahead | None = None, key: bytes = b"", aim: Aim | None = None
) -> Examined:
    """Return what the bytes of one file say; a file that cannot be used says why.

    Args:
        path: of the file, under the raw folder.
        raw: the folder.
        ahead: what keeps the pixels for the next stage.
        key: of the hash that stands for a patient whom the file names.
        aim: the frame in which the film is searched for shortcuts, where it is its turn.
    """
    begin(path)
    if readable(path) != path:
        return Examined("unreadable", "the name is no UTF-8, so no manifest can hold it; rename the file")
    try:
        data = source.read(raw / path)
    except source.SourceError as error:
        return Examined(error.status, str(error), file_bytes=error.file_bytes)
    film_id = hashlib.sha256(data).hexdigest()
    try:
        header, image = decode.decode(data, key=key)
    except decode.DecodeError as error:
        return Examined(error.status, str(error), film_id, len(data), error.header)
    framed = ahead.keep(film_id, image) if ahead is not None else None
    fine = look.reduced(image, side=look.FINE_SIDE)
    small = look.reduced(fine, side=look.SMALL_SIDE)
    return Examined(
        "ok",
        None,
        film_id,
        len(data),
        header,
        look.thumbnail(small, side=SIDE),
        levels_sum(image),
        specimen=_specimen(image, aim, framed if ahead is not None and aim == Aim(ahead.frame, ahead.policy) else None),
        quality=quality.measured(image, small, fine=fine),
    )


def _specimen(image: Image.Image, aim: Aim | None, framed: tuple[Gray, Placement] | None) -> bytes:
    """Return what is kept of a film that is searched for shortcuts, if it is.

    Args:
        image: the decoded film.
        aim: the frame in which it is searched; None where it is not its turn.
        framed: the film in that frame, where it was laid down there for normalize.
    """
    if aim is None:
        return b""
    return specimen(*framed) if framed is not None else aim.specimen(image)


def levels_sum(image: Image.Image) -> int:
    """Return the sum of a film's grey levels, taken eight at a time as numbers of 64 bits, modulo 2^64.

    One level that differs changes it, at a twentieth of what a hash of so many pixels costs. Films of one size and one
    thumbnail have the same sum where all their levels are the same, and by no accident otherwise.
    """
    try:
        levels = np.frombuffer(pa.array(image).buffers()[1], np.uint8, count=image.width * image.height)
    except ValueError:  # a film in several blocks of memory
        levels = np.asarray(image).ravel()
    whole = len(levels) // 8 * 8
    return (int(levels[:whole].view(np.uint64).sum(dtype=np.uint64)) + int(levels[whole:].sum())) % 2**64
