"""A folder of exports on the disk: made aside and renamed whole, never over files that it did not make."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from manifests.store import PARTIAL, file_sha256, write_json
from stages.contract import ParamsError, Root, StageError

INDEX = "export.json"
CARD = "README.md"
MADE_BY = "cxr-pipeline export"
OWN = ("data/audit", "data/split", "data/normalized", "data/augmented", "data/evaluation")  # what stages clear
LARGEST_INDEX = 256_000_000  # bytes; ten thousand files take two millions


def target(root: Root, out: str) -> Path:
    """Return the folder to write, with links followed.

    Raises:
        ParamsError: where it is an address.
        StageError: where it would lie among the files of a stage, or holds the root; or with the root in a store.
    """
    if "://" in out:
        raise ParamsError(
            f"export: --out {out} is an address; expected a folder on this machine, to be copied from there"
        )
    if not isinstance(root, Path):
        if not Path(out).is_absolute():
            raise StageError(f"{root / out}: exports are written on this machine; name a folder by --out, whole")
        return Path(out).resolve()
    folder = (root / out).resolve()
    for own in OWN:
        if folder.is_relative_to((root / own).resolve()):
            raise StageError(f"{folder}: lies in {own}, which a stage clears; name another folder by --out")
    if root.resolve().is_relative_to(folder):
        raise StageError(f"{folder}: holds the root itself; name another folder by --out")
    return folder


def earlier(folder: Path) -> dict[str, Any] | None:
    """Return the index of an export that lies there; None where nothing does.

    Raises:
        StageError: where something else does.
    """
    if folder.is_dir() and not any(folder.iterdir()):
        return None
    if not folder.exists():
        return None
    index: object = None
    path = folder / INDEX
    if path.is_file() and path.stat().st_size <= LARGEST_INDEX:
        try:
            index = json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, OSError, RecursionError):
            index = None
    if not isinstance(index, dict) or index.get("made_by") != MADE_BY or not isinstance(index.get("files"), dict):
        raise StageError(
            f"{folder}: holds files that no export wrote ({INDEX} does not say so); expected no such folder, an empty "
            "one, or an earlier export; name another by --out"
        )
    return index


def refuse_edited(folder: Path, index: Mapping[str, Any], images: int) -> None:
    """Refuse to replace an export to which somebody added files, or whose card somebody wrote on.

    Args:
        folder: of the export.
        index: what it says of itself.
        images: how many files it has beside those that the index names.

    Raises:
        StageError: where there is such a file.
    """
    known = {*index["files"], INDEX}
    beside = 0
    for path in _files(folder):
        name = path.relative_to(folder).as_posix()
        beside += name not in known
        if name not in known and not images:
            raise StageError(f"{path}: is no file of the export that lies there; move it away, or name another --out")
    if beside > images:
        raise StageError(
            f"{folder}: holds {beside - images:,} files more than the export that lies there; move them away, or name "
            "another --out"
        )
    card = folder / CARD
    if CARD in index["files"] and card.exists() and file_sha256(card) != index["files"][CARD].get("sha256"):
        raise StageError(f"{card}: was written on since the export; move it away, or name another --out")


def _files(folder: Path) -> Iterator[Path]:
    """Return every file under a folder, however deep."""
    return (Path(under, name) for under, _, names in os.walk(folder) for name in names)


def is_whole(folder: Path, name: str, told: Mapping[str, Any]) -> bool:
    """Return whether a file of an earlier export is as its index says; a card may have been written on."""
    path = folder / name
    try:
        if name == CARD:
            return path.is_file()
        return bool(path.stat().st_size == told["bytes"] and file_sha256(path) == told["sha256"])
    except (OSError, KeyError, TypeError):
        return False


def remove_unfinished(folder: Path) -> None:
    """Delete what killed runs left beside the folder."""
    if not folder.parent.is_dir():
        return
    for left in folder.parent.iterdir():
        if left.name.startswith(f".{folder.name}.") and PARTIAL.fullmatch(left.name):
            shutil.rmtree(left, ignore_errors=True)


@contextmanager
def made_aside(folder: Path) -> Iterator[Path]:
    """Yield an empty folder beside `folder`; on success it takes the place of `folder`, else it is removed."""
    aside = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    old = folder.with_name(f".{folder.name}.old.{os.getpid()}.partial")
    aside.mkdir(parents=True)
    try:
        yield aside
        if folder.exists():
            folder.rename(old)
        aside.rename(folder)
    finally:
        if old.exists() and not folder.exists():  # stopped between the two
            old.rename(folder)
        shutil.rmtree(aside, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let what the disk refuses name the file, as neither Arrow's errors nor those of a bare write do."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from error


def write_index(folder: Path, index: Mapping[str, Any]) -> None:
    """Write what the export says of itself."""
    write_json(folder / INDEX, {"made_by": MADE_BY, **index})


def require_room(folder: Path, needed: int, files: int) -> None:
    """Refuse to begin where the disk has too little room.

    Args:
        folder: that will be written.
        needed: bytes of the images.
        files: how many of them become files of their own.

    Raises:
        StageError: saying what is needed and what is there.
    """
    above = next(each for each in folder.parents if each.exists())
    free = shutil.disk_usage(above).free
    wanted = needed + 4096 * files  # a file of its own ends in half a block, and has an inode
    if wanted > free:
        raise StageError(
            f"{folder}: needs {wanted / 1e6:,.0f} MB, {free / 1e6:,.0f} MB are free; make room, choose a --split, or "
            "name another disk by --out"
        )
