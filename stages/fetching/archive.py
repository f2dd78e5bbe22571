"""Archives of strangers: what they hold, and where it may lie. Nothing is written before all of it was looked at."""

from __future__ import annotations

import errno
import gzip
import os
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import disk_usage
from typing import IO, BinaryIO, cast

from manifests.source import MAX_FILE_BYTES
from stages.contract import StageError
from stages.fetching.placing import Placed, placed

BLOCK = 2**20
KB = 1000  # progress is told in whole ones
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpacked:
    """What came of an archive.

    Attributes:
        files: that were written, by their paths under the folder, sorted.
        twice: how many were in the archive twice, byte for byte.
        left_out: names of those that are no pictures.
    """

    files: Sequence[str]
    twice: int
    left_out: Sequence[str]


def unpack(archive: Path, folder: Path, *, advance: Callable[[int], None]) -> Unpacked:
    """Write an archive's pictures under a new folder, nothing else and nothing elsewhere.

    Args:
        archive: zip, tar or tar.gz.
        folder: that is made.
        advance: is told of KB written.

    Raises:
        StageError: where the archive is none, is damaged, holds what would lie outside the folder, a link, or more
            than films would.
        OSError: where the disk is full.
    """
    with _damage_named(archive), _opened(archive) as (members, source):
        layout = _placed(members, archive)
        _refuse_too_much([member for member in members if member.name in layout.where], archive, folder)
        return _write(members, source, layout, folder, advance)


def pictures_in(archive: Path) -> tuple[int, int]:
    """Return how many pictures an archive would unpack to, and how many bytes they take, by its own words.

    Raises:
        StageError: as `unpack`, as far as that can be told before anything is unpacked.
    """
    with _damage_named(archive), _opened(archive) as (members, _):
        layout = _placed(members, archive)
        size_at = {layout.where[member.name]: member.size for member in members if member.name in layout.where}
        return len(size_at), sum(size_at.values())


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


def _placed(members: Sequence[Member], archive: Path) -> Placed:
    """Return where an archive's pictures go.

    Raises:
        StageError: where it holds what harms, or no picture.
    """
    _refuse_what_harms(members, archive)
    layout = placed([member.name for member in members if member.plain])
    if not layout.where:
        raise StageError(f"{archive}: holds no picture; expected films, as .jpeg, .png, .tif, .dcm and the like")
    return layout


def _refuse_what_harms(members: Sequence[Member], archive: Path) -> None:
    """Refuse names that lead out of the folder, links and devices, and very many entries.

    Raises:
        StageError: naming the first.
    """
    if len(members) > MOST_MEMBERS:
        raise StageError(f"{archive}: holds {len(members):,} entries; expected {MOST_MEMBERS:,} at most")
    for member in members:
        parts = member.name.removesuffix("/").split("/")
        if "\\" in member.name or "\0" in member.name or any(part in ("", "..") for part in parts):
            what = "whose name leads out of the folder, or is none"
        elif not member.plain and not member.folder:
            what = "that is a link or a device"
        else:
            continue
        raise StageError(f"{archive}: holds {member.name!r}, {what}; expected files and folders; nothing was unpacked")


def _refuse_too_much(members: Sequence[Member], archive: Path, folder: Path) -> None:
    """Refuse pictures that unpack to more than films would, or than the disk has room for.

    Raises:
        StageError: where the archive is to blame.
        OSError: where the disk is.
    """
    total, packed = sum(member.size for member in members), archive.stat().st_size
    if total > packed * MOST_TIMES_LARGER + SPARE_BYTES:
        raise StageError(
            f"{archive}: {packed / 1e6:,.1f} MB would unpack to {total / 1e6:,.0f} MB; expected films, which are "
            "compressed already; nothing was unpacked"
        )
    largest = max(members, key=lambda member: member.size, default=None)
    if largest is not None and largest.size > MAX_FILE_BYTES:
        raise StageError(
            f"{archive}: {largest.name!r} has {largest.size:,} bytes; expected {MAX_FILE_BYTES:,} at most, as of any "
            "film that `audit` reads; nothing was unpacked"
        )
    if total > (free := disk_usage(folder.parent).free):  # an OSError: the archive is none the worse for it
        told = f"{free / 1e6:,.0f} MB free; expected room for films of {total / 1e6:,.0f} MB"
        raise OSError(errno.ENOSPC, told, str(folder.parent))


def _write(
    members: Sequence[Member], source: Source, layout: Placed, folder: Path, advance: Callable[[int], None]
) -> Unpacked:
    written: set[str] = set()
    twice = 0
    for place, member in enumerate(members):
        path = layout.where.get(member.name) if member.plain else None
        if path is None:
            continue
        with source(place) as opened:
            if path in written:
                _refuse_another(opened, folder / path, member)
                twice += 1
            else:
                _copy(opened, folder / path, member)
                written.add(path)
        advance(round(member.size / KB))
    return Unpacked(files=sorted(written), twice=twice, left_out=layout.left_out)


def _copy(source: IO[bytes], path: Path, member: Member) -> None:
    """Write a member to a path, no byte more than it says it has.

    Raises:
        StageError: where another file lies there.
        EOFError: where it has more bytes or fewer than it says.
    """
    size = 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            while block := source.read(BLOCK):
                size += len(block)
                if size > member.size:
                    break
                file.write(block)
    except (FileExistsError, NotADirectoryError) as error:  # a.jpeg and A.JPEG are one file on some disks
        raise StageError(f"{member.name!r} would lie where another file lies: {path.name}") from error
    if size != member.size:
        raise EOFError(f"{member.name!r} does not have the {member.size:,} bytes that the archive says")


def _refuse_another(source: IO[bytes], path: Path, member: Member) -> None:
    """Refuse two different files for one place: archives hold a folder twice at times, and the same films then."""
    with path.open("rb") as there:
        while block := source.read(BLOCK):
            if there.read(len(block)) != block:
                break
        else:
            if not there.read(1):
                return
    raise StageError(f"{member.name!r} and another file would both lie at {path.name}; expected one film for a name")


# --- the two kinds of archive -----------------------------------------------------------------------------------


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
