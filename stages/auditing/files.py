"""The files of a raw folder, and how a manifest names them."""

from __future__ import annotations

import os

from manifests import source
from manifests.places import AnyPath
from stages.contract import StageError


def files_under(raw: AnyPath) -> list[str]:
    """Return the POSIX path of every file under the raw folder, sorted; linked folders are followed once.

    Raises:
        StageError: where the folder is missing or holds no file.
    """
    if not raw.is_dir():
        raise StageError(
            f"{raw}: no such folder; put the films there, point --raw at them, or run `cxr-pipeline phantom`"
        )
    found = sorted(source.walk(raw))
    if not found:
        raise StageError(f"{raw}: holds no file; put the films there, or run `cxr-pipeline phantom`")
    return found


def readable(path: str) -> str:
    r"""Return a path as manifests hold it: bytes that are no UTF-8 are spelled out, as in `caf\xe9.jpeg`."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
