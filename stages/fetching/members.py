"""What an archive holds, zip or tar, as its own words have it: read with care, since strangers wrote it."""

from __future__ import annotations

import errno
import gzip
import os
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO, cast

from stages.contract import StageError

MOST_MEMBERS = 1_000_000
MOST_BYTES_OF_NAMES = 256 * 2**20  # of a zip's directory, which is read at once
LARGEST_READ = 16 * 2**20  # that tarfile may ask for at once: it reads a header of any length
MOST_TIMES_LARGER = 50  # than the archive, unpacked: films are compressed already
SPARE_BYTES = 2**30  # that may come of a small archive all the same
FIT_FOR_ZIP = "expected a zip or tar(.gz) archive, whole and not encrypted"
DAMAGE = (
    *(zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, struct.error),
    *(EOFError, ValueError, OverflowError),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One entry of an archive.

    Attributes:
        name: as the archive spells it.
        size: in bytes, by the archive's own words.
        plain: whether it is a plain file: no link, no device.
        folder: whether it is a folder.
    """

    name: str
    size: int
    plain: bool
    folder: bool = False


Source = Callable[[int], IO[bytes]]  # opens a member by its place


@contextmanager
def opened(archive: Path) -> Iterator[tuple[list[Member], Source]]:
    """Yield an archive's members, in their order, and what opens one by its place.

    Raises:
        StageError: where it is none, is damaged or encrypted, or is a bomb; while it is used as well.
    """
    with _damage_named(archive), _opened(archive) as (members, source):
        if len(members) > MOST_MEMBERS:
            raise StageError(f"{archive}: holds {len(members):,} entries; expected {MOST_MEMBERS:,} at most")
        yield members, source


@contextmanager
def _opened(archive: Path) -> Iterator[tuple[list[Member], Source]]:
    with archive.open("rb") as file:
        start = file.read(4)
        if start[:2] == b"PK":
            _refuse_long_directory(file, archive)
            with zipfile.ZipFile(file) as zipped:
                infos = zipped.infolist()
                yield [_of_zip(info) for info in infos], lambda place: zipped.open(infos[place])
            return
        file.seek(0)
        plain = cast("BinaryIO", gzip.GzipFile(fileobj=file)) if start[:2] == b"\x1f\x8b" else file
        with tarfile.open(fileobj=cast("BinaryIO", _Sparing(plain)), mode="r:") as taped:
            headers = list(_headers(taped, archive))
            yield [_of_tar(header) for header in headers], lambda place: _of_tape(taped, headers[place])


def _of_zip(info: zipfile.ZipInfo) -> Member:
    kind = info.external_attr >> 16 & 0o170000  # st_mode, where the archive was made on Unix; else 0
    return Member(
        name=info.filename, size=info.file_size, plain=not info.is_dir() and kind in (0, 0o100000), folder=info.is_dir()
    )


def _of_tar(header: tarfile.TarInfo) -> Member:
    name = header.name.removeprefix("./")
    return Member(name=name or ".", size=header.size, plain=header.isreg(), folder=header.isdir())


def _of_tape(taped: tarfile.TarFile, header: tarfile.TarInfo) -> IO[bytes]:
    opened = taped.extractfile(header)
    assert opened is not None  # plain files alone are asked for
    return opened


def _headers(taped: tarfile.TarFile, archive: Path) -> Iterator[tarfile.TarInfo]:
    """Yield the headers of a tape as long as it is no bomb: passing over a member unpacks it."""
    packed, total = archive.stat().st_size, 0
    for number, header in enumerate(taped):
        total += header.size
        if number >= MOST_MEMBERS or total > packed * MOST_TIMES_LARGER + SPARE_BYTES:
            raise StageError(
                f"{archive}: {packed / 1e6:,.1f} MB hold more than {number:,} entries of {total / 1e6:,.0f} MB; "
                "expected films, which are compressed already; nothing was unpacked"
            )
        yield header


class _Sparing:
    """A file of which nobody reads much at once: tarfile takes a header's word for its length."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.tell, self.seek = file.tell, file.seek

    def read(self, size: int = -1) -> bytes:
        """Return so many bytes.

        Raises:
            ValueError: where they are too many for any header.
        """
        if not 0 <= size <= LARGEST_READ:
            raise ValueError(f"a header of {size:,} bytes")
        return self._file.read(size)


def _refuse_long_directory(file: BinaryIO, archive: Path) -> None:
    """Refuse a zip whose directory, which is read at once, is longer than that of a million films.

    APPNOTE.TXT 6.3.10, 4.3.14 to 4.3.16: the record at the end, after at most 65,535 bytes of comment after it.
    """
    length = file.seek(0, os.SEEK_END)
    start = file.seek(max(0, length - 65_557 - 20))
    end = file.read()
    at = end.rfind(b"PK\x05\x06")
    size = struct.unpack_from("<I", end, at + 12)[0] if 0 <= at <= len(end) - 22 else 0
    locator = at - 20
    if size == 0xFFFFFFFF and locator >= 0 and end[locator : locator + 4] == b"PK\x06\x07":
        file.seek(min(struct.unpack_from("<Q", end, locator + 8)[0], start + locator))
        record = file.read(48)
        size = struct.unpack_from("<Q", record, 40)[0]
    file.seek(0)
    if size > MOST_BYTES_OF_NAMES:
        raise StageError(
            f"{archive}: its directory has {size:,} bytes; expected {MOST_BYTES_OF_NAMES:,} at most; "
            "nothing was unpacked"
        )


@contextmanager
def _damage_named(archive: Path) -> Iterator[None]:
    """Let what libraries say of a broken archive be a StageError."""
    try:
        yield
    except RuntimeError as error:  # zipfile's word for an encrypted member, and for a compression that it lacks
        raise StageError(f"{archive}: cannot be unpacked ({error}); {FIT_FOR_ZIP}") from error
    except DAMAGE as error:
        raise StageError(f"{archive}: damaged ({error}); {FIT_FOR_ZIP}") from error
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise StageError(f"{archive}: damaged (a place before its beginning); {FIT_FOR_ZIP}") from error
