"""The raw folder: every file in it once, and a file's bytes, whatever lies there."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from manifests.objects import ObjectPath
from manifests.places import AnyPath
from manifests.rows import Status

MAX_FILE_BYTES = 300_000_000  # three bytes for each of the most pixels that are decoded (films/decode.py)
MISSING = "the labels CSV lists the file, the raw folder does not hold it"
LONGEST_CALL = 4000  # bytes of path that a system call takes, some less than Linux's 4,096


class SourceError(Exception):
    """A file's bytes are not read; `status` and the text go into its row."""

    def __init__(self, status: Status, reason: str, file_bytes: int | None = None) -> None:
        super().__init__(reason)
        self.status: Status = status
        self.file_bytes = file_bytes


def read(file: AnyPath) -> bytes:
    """Return a file's bytes: at most MAX_FILE_BYTES, and without waiting for whoever fills a pipe.

    Raises:
        SourceError: where there is no file, no plain file, one that may not be read, or a larger one.
    """
    if isinstance(file, ObjectPath):
        return _read_object(file)
    try:
        with _reached(str(file)) as (name, folder):
            _refuse_all_but_files(os.stat(name, dir_fd=folder))  # first: opening a device may do something already
            with os.fdopen(os.open(name, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0), dir_fd=folder), "rb") as opened:
                status = os.fstat(opened.fileno())
                _refuse_all_but_files(status)  # it may have been another file until now
                data = _read_all(opened, status.st_size) if status.st_size <= MAX_FILE_BYTES else b""
    except FileNotFoundError as error:
        raise _absent(file) from error
    except OSError as error:
        raise SourceError("unreadable", f"{type(error).__name__}: {error.strerror}") from error
    except ValueError as error:
        raise SourceError("unreadable", f"{error}; no file has such a name") from error
    size = max(status.st_size, len(data))
    if size > MAX_FILE_BYTES:
        raise SourceError("too_large", f"found {size} bytes; expected at most {MAX_FILE_BYTES}", size)
    return data


def _read_object(file: ObjectPath) -> bytes:
    """Return an object's bytes, by one request where they are not too many."""
    try:
        data = file.read_bytes(at_most=MAX_FILE_BYTES + 1)
        size = len(data) if len(data) <= MAX_FILE_BYTES else file.stat().st_size
    except FileNotFoundError as error:
        raise SourceError("missing", MISSING) from error
    except OSError as error:
        raise SourceError("unreadable", f"{type(error).__name__}: {error.strerror}") from error
    if size > MAX_FILE_BYTES:
        raise SourceError("too_large", f"found {size} bytes; expected at most {MAX_FILE_BYTES}", size)
    return data


def _read_all(opened: BinaryIO, size: int) -> bytes:
    """Return what there is, at most one byte too many; asked for MAX_FILE_BYTES, Python would make room for them."""
    data = opened.read(size + 1)
    return data if len(data) <= size else data + opened.read(MAX_FILE_BYTES + 1 - len(data))  # it has grown


def _refuse_all_but_files(status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        what = "a folder that cannot be listed, or a link to one that holds the raw folder"
        raise SourceError("unreadable", f"found {what}; expected a file")
    if not stat.S_ISREG(status.st_mode):
        raise SourceError("unreadable", "found a pipe, socket or device; expected a file")


def _absent(file: Path) -> SourceError:
    if os.path.islink(file):  # noqa: PTH114 - Path.is_link raises on a path that is too long
        return SourceError("unreadable", "found a link to nothing; expected a file")
    return SourceError("missing", MISSING)


@contextmanager
def _reached(path: str) -> Iterator[tuple[str, int | None]]:
    """Yield a name and the folder it is relative to, for calls on a path that may be too long for one call."""
    parts = path.split("/")
    folder: int | None = None
    try:
        while len(parts) > 1 and len(os.fsencode("/".join(parts))) > LONGEST_CALL:
            taken = _that_fit(parts)
            inner = os.open("/".join(parts[:taken]) or "/", os.O_RDONLY | os.O_DIRECTORY, dir_fd=folder)
            if folder is not None:
                os.close(folder)
            folder, parts = inner, parts[taken:]
        yield "/".join(parts), folder
    finally:
        if folder is not None:
            os.close(folder)


def _that_fit(parts: list[str]) -> int:
    """Return how many of the parts one call takes: at least one, and not the last."""
    length = 0
    for number, part in enumerate(parts[:-1]):
        length += len(os.fsencode(part)) + 1
        if length > LONGEST_CALL:
            return max(number, 1)
    return len(parts) - 1


@dataclass
class _Folders:
    """What is left to enter: folders first, so that films keep their own path, then links by their name."""

    own: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)

    def next(self) -> str:
        """Return the next one."""
        if self.own:
            return self.own.pop()
        self.links.sort(reverse=True)
        return self.links.pop()

    def __bool__(self) -> bool:
        return bool(self.own or self.links)


def walk(raw: AnyPath) -> Iterator[str]:
    """Yield the POSIX path of every file under a folder, and of every folder in it that is not entered.

    Linked folders are followed, since data sets are often made of links, but each folder is entered once, and by
    its own name where it has one under `raw`. Not entered are folders that cannot be listed, and links to a folder
    that holds `raw`: whoever follows one of those reads the whole disk.
    """
    if isinstance(raw, ObjectPath):
        yield from (name for name, _ in raw.under())
        return
    above = {_identity(folder.stat()) for folder in raw.resolve().parents}
    seen: set[tuple[int, int]] = set()
    folders = _Folders(own=[""])
    while folders:
        path = folders.next()
        try:
            with _listed(raw, path) as (identity, entries):
                if path and identity in above:
                    yield path
                elif identity not in seen:
                    seen.add(identity)
                    for entry in entries:
                        inside = f"{path}/{entry.name}" if path else entry.name
                        if not _is_folder(entry):
                            yield inside
                        else:
                            (folders.links if entry.is_symlink() else folders.own).append(inside)
        except OSError:
            if not path:
                raise
            yield path


@contextmanager
def _listed(raw: Path, path: str) -> Iterator[tuple[tuple[int, int], Iterator[os.DirEntry[str]]]]:
    """Yield which folder it is and what lies in it."""
    with _reached(f"{raw}/{path}") as (name, folder):
        opened = os.open(name or ".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=folder)
        try:
            with os.scandir(opened) as entries:
                yield _identity(os.fstat(opened)), entries
        finally:
            os.close(opened)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a loop of links
        return False


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
