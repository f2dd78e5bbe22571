"""Archives of strangers: what they hold, and where it may lie. Nothing is written before all of it was looked at."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import disk_usage
from typing import IO

from manifests.source import MAX_FILE_BYTES
from stages.contract import StageError
from stages.fetching.members import MOST_TIMES_LARGER, SPARE_BYTES, Member, Source, opened
from stages.fetching.placing import Placed, placed

BLOCK = 2**20
KB = 1000  # progress is told in whole ones


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
    with opened(archive) as (members, source):
        layout = _placed(members, archive)
        _refuse_too_much([member for member in members if member.name in layout.where], archive, folder)
        return _write(members, source, layout, folder, advance)


def pictures_in(archive: Path) -> tuple[int, int]:
    """Return how many pictures an archive would unpack to, and how many bytes they take, by its own words.

    Raises:
        StageError: as `unpack`, as far as that can be told before anything is unpacked.
    """
    with opened(archive) as (members, _):
        layout = _placed(members, archive)
        size_at = {layout.where[member.name]: member.size for member in members if member.name in layout.where}
        return len(size_at), sum(size_at.values())


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
