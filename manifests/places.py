"""Where bytes lie: in a file of this machine, or in an object store; one type for both, chosen where a flag is read.

Whoever reads asks for the bytes `at_hand`: a local file is itself at hand, an object by a copy on this machine that is
made once and kept while it is the object's.
"""

from __future__ import annotations

import hashlib
import os
import re
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from shutil import disk_usage, rmtree
from typing import TypeAlias

from manifests.addresses import StoreError, missing_package, refusal
from manifests.objects import ObjectPath

AnyPath: TypeAlias = Path | ObjectPath

CACHE = "CXR_CACHE"  # the variable that names the folder of copies; unset, they go with the run
CACHE_GB = "CXR_CACHE_GB"  # and how many gigabytes of them are kept; unset, half of what the disk has free
OF_A_RUN = "cxr-pipeline-cache-"
HOST = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]  # a process's number is its own on one host alone
# folders that name their host and process
LEFT_BEHIND = re.compile(rf"(?:{OF_A_RUN}|\.scratch-|\.ahead\.)(?P<host>[0-9a-f]{{8}})[-.](?P<process>\d+)[-.].*")
GRACE_S = 600.0  # a copy that was asked for since then is not removed: whoever asked may not have opened it yet

_pinned: ContextVar[tuple[AnyPath, Path] | None] = ContextVar("pinned", default=None)


def place_of(text: str) -> AnyPath:
    """Return what a text names: an object's path where it is an address, else a file's.

    Raises:
        StoreError: where it is an address that cannot be used.
    """
    if "://" not in text:
        return Path(text)
    if problem := refusal(text) or missing_package(text):
        raise StoreError(problem)
    return ObjectPath.of(text)


def joined(root: AnyPath, text: str) -> AnyPath:
    """Return what a text names under a root: an address and an absolute path name it alone."""
    alone = "://" in text or Path(text).is_absolute()
    return place_of(text) if alone else root / text


def named_from(root: AnyPath, path: AnyPath) -> str:
    """Return the text by which `joined` finds a path again: relative where it lies under the root."""
    if isinstance(root, ObjectPath) and isinstance(path, ObjectPath):
        inside = path == root or path.key.startswith(f"{root.key}/")
        return path.relative_to(root).as_posix() if inside and path.protocol == root.protocol else str(path)
    if isinstance(root, ObjectPath) or isinstance(path, ObjectPath):
        return str(path) if isinstance(path, ObjectPath) else str(path.resolve())
    path, root = path.resolve(), root.resolve()
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def files_in(folder: AnyPath) -> Iterator[str]:
    """Yield the POSIX path of each file under a folder, relative to it; a link is a file."""
    if isinstance(folder, ObjectPath):
        yield from (name for name, _ in folder.under())
        return
    for path in folder.rglob("*"):
        if not path.is_dir() or path.is_symlink():
            yield path.relative_to(folder).as_posix()


def names_that_fit(folder: AnyPath, pattern: str) -> list[str]:
    """Return the POSIX paths of the files under a folder that fit a pattern of pathlib's, sorted."""
    if isinstance(folder, ObjectPath):
        return sorted(path.relative_to(folder).as_posix() for path in folder.glob(pattern))
    return sorted(path.relative_to(folder).as_posix() for path in folder.glob(pattern) if path.is_file())


# --- copies of objects ------------------------------------------------------------------------------------------


def at_hand(path: AnyPath) -> Path:
    """Return a file of this machine with a path's bytes: itself, or a copy of the object as it is now.

    A copy is known by the object's address and tag, so that it is right as long as it is found.

    Raises:
        FileNotFoundError: where there is no such object; of a file, whoever opens it will see.
    """
    if isinstance(path, Path):
        return path
    pinned = _pinned.get()
    if pinned is not None and pinned[0] == path:
        return pinned[1]
    told = path.stat()
    name = hashlib.sha256(f"{path} {told.tag} {told.st_size}".encode()).hexdigest()[:32] + path.suffix
    copy = cache_folder() / name
    with suppress(FileNotFoundError):
        os.utime(copy)
        return copy
    _make_room(copy.parent, told.st_size)
    with scratch() as folder:
        path.download(folder / name)
        (folder / name).replace(copy)
    return copy


@contextmanager
def pinned(path: AnyPath) -> Iterator[None]:
    """Let all that is read of an object within be read of one copy, asked for once."""
    if isinstance(path, Path):
        yield
        return
    token = _pinned.set((path, at_hand(path)))
    try:
        yield
    finally:
        _pinned.reset(token)


@contextmanager
def fetched(path: AnyPath) -> Iterator[Path]:
    """Yield a file with the bytes as they lie there now, no copy of before; they are gone afterwards.

    Raises:
        FileNotFoundError: where there is no such object.
    """
    if isinstance(path, Path):
        yield path
        return
    with scratch() as folder:
        copy = folder / (path.name or "object")
        path.download(copy)
        yield copy


@contextmanager
def put_when_done(path: ObjectPath) -> Iterator[Path]:
    """Yield a file of this machine that becomes the object when all is done, whole or not at all."""
    with scratch() as folder:
        aside = folder / (path.name or "object")
        yield aside
        path.upload(aside)


@contextmanager
def scratch() -> Iterator[Path]:
    """Yield an empty folder on this machine, beside the copies; it is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix=f".scratch-{HOST}-{os.getpid()}-", dir=cache_folder()) as folder:
        yield Path(folder)


def scratch_near(folder: AnyPath) -> Path:
    """Return where large files that live as long as a run may lie: the folder itself, or beside an object's copies."""
    return folder if isinstance(folder, Path) else cache_folder()


def cache_folder() -> Path:
    """Return the folder of copies, which is there."""
    folder = Path(os.environ.get(CACHE) or _own_folder()) / "objects"  # whatever else lies there is not ours to remove
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _own_folder() -> str:
    """Return this process's own folder of copies, which goes with the process: nobody made one for the run."""
    import atexit  # noqa: PLC0415 - for workers on other hosts alone

    folder = tempfile.mkdtemp(prefix=f"{OF_A_RUN}{HOST}-{os.getpid()}-")
    atexit.register(rmtree, folder, ignore_errors=True)
    os.environ[CACHE] = folder
    return folder


@contextmanager
def cache_of_run() -> Iterator[None]:
    """Keep copies of objects for a run and its workers: in the folder that CXR_CACHE names, else as long as it runs."""
    _remove_left_behind(Path(tempfile.gettempdir()))
    if os.environ.get(CACHE):
        _remove_left_behind(cache_folder())
        yield
        return
    with tempfile.TemporaryDirectory(prefix=f"{OF_A_RUN}{HOST}-{os.getpid()}-", ignore_cleanup_errors=True) as folder:
        os.environ[CACHE] = folder
        try:
            yield
        finally:
            os.environ.pop(CACHE, None)


def _remove_left_behind(under: Path) -> None:
    """Delete what runs of this host that were killed left in a folder: copies of films.

    Other hosts' and containers' are left alone: whether their processes live cannot be told here.
    """
    for folder in under.iterdir():
        found = LEFT_BEHIND.fullmatch(folder.name)
        if found is not None and found["host"] == HOST and not _lives(int(found["process"])):
            rmtree(folder, ignore_errors=True)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True


def _make_room(folder: Path, size: int) -> None:
    """Remove the copies that were asked for longest ago, until the others and a new one of `size` bytes are in bounds.

    Those of the last minutes stay: someone may be about to open them.

    Raises:
        StoreError: where the bound that the user set is no number.
    """
    copies = _copies(folder)
    held = sum(copy_size for _, copy_size, _ in copies)
    allowed = _most_bytes()
    bound = (disk_usage(folder).free + held) / 2 if allowed is None else allowed
    for asked_at, copy_size, path in sorted(copies):
        if held + size <= bound or time.time() - asked_at < GRACE_S:
            return
        Path(path).unlink(missing_ok=True)
        held -= copy_size


def _most_bytes() -> float | None:
    """Return how many bytes of copies the user allows; None where CXR_CACHE_GB is not set.

    Raises:
        StoreError: where it is no number.
    """
    given = os.environ.get(CACHE_GB)
    try:
        return float(given) * 1e9 if given else None
    except ValueError as error:
        raise StoreError(f"{CACHE_GB} is '{given}'; expected a number of gigabytes, such as 50") from error


def _copies(folder: Path) -> list[tuple[float, int, str]]:
    """Return when each copy was asked for last, its size and its path."""
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):  # another process removed it
                if entry.is_file(follow_symlinks=False):
                    found.append((entry.stat().st_mtime, entry.stat().st_size, entry.path))
    return found
