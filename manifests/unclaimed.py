"""Files of a folder that its manifest does not claim: found a part at a time, and deleted."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

FILES_AT_ONCE = 4096  # files on disk that are compared with the manifest's together


def names_besides(kept: pa.ChunkedArray, names: Iterable[str]) -> list[str]:
    """Return the names that are none of those kept, which are bytes: a file's name need not be UTF-8."""
    found = pa.array(map(os.fsencode, names), pa.binary())
    return [os.fsdecode(name) for name in found.filter(pc.invert(pc.is_in(found, value_set=kept))).to_pylist()]


def remove_files_besides(kept: pa.ChunkedArray, folder: Path) -> int:
    """Delete the files that are not kept, and the folders that are empty then; return how many files there were.

    Args:
        kept: POSIX paths under the folder, as bytes.
        folder: all that lies in it and below is looked at; links are not followed.
    """
    found = _under(folder)
    others: list[str] = []
    folders: list[str] = []
    while some := list(islice(found, FILES_AT_ONCE)):
        folders += [entry.path for entry in some if entry.is_dir(follow_symlinks=False)]
        files = (Path(entry.path).relative_to(folder).as_posix() for entry in some if entry.is_file())
        others += names_besides(kept, files)
    for name in others:
        (folder / name).unlink()
    for inner in folders:
        with suppress(OSError):  # it is not empty
            Path(inner).rmdir()
    return len(others)


def _under(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Yield all that lies in a folder and below, what is in a folder before the folder; links are not followed."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _under(Path(entry.path))
            yield entry
