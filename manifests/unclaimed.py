"""Files of a folder that its manifest does not claim: found a part at a time, and deleted."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

FILES_AT_ONCE = 4096  # names that are compared with the manifest's together


def names_besides(kept: pa.ChunkedArray, names: Iterable[str]) -> list[str]:
    """Return the names that are none of those kept, which are bytes: a file's name need not be UTF-8."""
    left, others = iter(names), list[bytes]()
    while some := list(islice(left, FILES_AT_ONCE)):
        found = pa.array(map(os.fsencode, some), pa.binary())
        others += found.filter(pc.invert(pc.is_in(found, value_set=kept))).to_pylist()
    return [os.fsdecode(name) for name in others]


def files_under(folder: Path) -> Iterator[str]:
    """Yield the POSIX path of every file in a folder and below; links are not followed. Nothing where there is none."""
    if folder.is_dir():
        for entry in _under(folder):
            if entry.is_file():
                yield Path(entry.path).relative_to(folder).as_posix()


def remove_files(folder: Path, names: Iterable[str]) -> None:
    """Delete files under a folder, and then every folder in it that is empty."""
    for name in names:
        (folder / name).unlink()
    for inner in [entry.path for entry in _under(folder) if entry.is_dir(follow_symlinks=False)]:
        with suppress(OSError):  # it is not empty
            Path(inner).rmdir()


def _under(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Yield all that lies in a folder and below, what is in a folder before the folder; links are not followed."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _under(Path(entry.path))
            yield entry
