"""A file's seal: a digest of all its bytes that stands within the file itself, so that every change shows.

Parquet keeps no checksum of its headers and footers. A sealed file holds, in its footer's metadata, the sha256 of
the whole file with the digest's own 64 digits taken for zeros: a change of any byte, the seal's included, makes
the two differ, and no second file has to be kept beside the first.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from manifests.objects import ObjectPath
from manifests.places import AnyPath, at_hand

SEAL_KEY = b"cxr_pipeline_seal"
MARK = b"seal-sha256:"
DIGITS = 64
BLANK = b"0" * DIGITS
UNSEALED: Mapping[bytes, bytes] = {SEAL_KEY: MARK + BLANK}  # metadata of a file that `seal` will seal
CHUNK = 1 << 20
MAGIC = b"PAR1"
TAIL_BYTES = 1 << 16  # of an object, asked for first: a footer that is longer takes another request


@dataclass(frozen=True, slots=True)
class Seal:
    """What a file's bytes say of themselves.

    Attributes:
        claimed: the digest that the file holds; None where it holds none, or its last bytes are spoilt.
        found: the digest of the bytes that are there.
        sha256: of the file as it lies there, hex.
        size: of the file, bytes.
    """

    claimed: str | None
    found: str
    sha256: str
    size: int

    @property
    def whole(self) -> bool:
        """Whether the bytes are those that were sealed."""
        return self.claimed == self.found


def seal(path: Path) -> str:
    """Put the seal into a Parquet file that was written with the metadata `UNSEALED`, and return its digest."""
    with path.open("r+b") as file:
        position = _position(file)
        assert position is not None, f"{path} was written without room for a seal"
        found = _digests(file, position)[0]
        file.seek(position)
        file.write(found.encode())
    return found


def examine(path: AnyPath) -> Seal:
    """Read all of a file once and return its seal.

    Raises:
        OSError: where the file cannot be read.
    """
    with at_hand(path).open("rb") as file:
        position = _position(file)
        claimed = None if position is None else _claimed(file, position)
        found, sha256 = _digests(file, position)
        return Seal(claimed, found, sha256, file.tell())


def claimed_by(path: AnyPath) -> str | None:
    """Return the digest that a file holds, reading its footer alone."""
    with BytesIO(_tail(path)) if isinstance(path, ObjectPath) else path.open("rb") as file:
        position = _position(file)
        return None if position is None else _claimed(file, position)


def _tail(path: ObjectPath) -> bytes:
    """Return an object's last bytes, its footer among them."""
    tail = path.last_bytes(TAIL_BYTES)
    needed = int.from_bytes(tail[-8:-4], "little") + 8 + len(MAGIC)
    return tail if needed <= len(tail) or tail[-4:] != MAGIC else path.last_bytes(needed)


def is_whole(path: AnyPath) -> bool:
    """Return whether a file can be read and its bytes are those that were sealed."""
    try:
        return examine(path).whole
    except OSError:
        return False


def _claimed(file: BinaryIO, position: int) -> str:
    file.seek(position)
    return file.read(DIGITS).decode("ascii", "replace")


def _position(file: BinaryIO) -> int | None:
    """Return where the seal's digits begin: within the footer, whose length the file's last bytes tell."""
    size = file.seek(0, os.SEEK_END)
    if size < len(MAGIC) + 8:
        return None
    file.seek(size - 8)
    length, magic = int.from_bytes(file.read(4), "little"), file.read(4)
    if magic != MAGIC or length > size - 8:
        return None
    start = size - 8 - length
    file.seek(start)
    at = file.read(length).rfind(MARK)
    if at < 0 or at + len(MARK) + DIGITS > length:
        return None
    return start + at + len(MARK)


def _digests(file: BinaryIO, position: int | None) -> tuple[str, str]:
    """Return the sha256 of the file with its seal blank, and that of the file as it is, by one reading."""
    file.seek(0)
    digest = hashlib.sha256()
    if position is None:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
        return digest.hexdigest(), digest.hexdigest()
    left = position
    while left and (chunk := file.read(min(CHUNK, left))):  # a file that was cut meanwhile ends early
        digest.update(chunk)
        left -= len(chunk)
    as_it_is = digest.copy()
    tail = file.read()
    as_it_is.update(tail)
    digest.update(BLANK)
    digest.update(tail[DIGITS:])
    return digest.hexdigest(), as_it_is.hexdigest()
