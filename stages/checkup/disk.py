"""The disk under a root: whether it can be written, how fast, and whether it keeps what runs rely on."""

from __future__ import annotations

import errno
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from manifests.addresses import StoreError
from manifests.objects import ObjectPath
from manifests.places import AnyPath
from stages.checkup.finding import Finding
from stages.checkup.machine import GB, MB

WRITTEN_MB = 32  # of 2^20 bytes
FLUSHED = 7  # small files, of which the median is told
LEAST_FREE = 2 * GB
LEAST_MB_S = 50  # two cores write 25 MB of shards a second
LONGEST_FLUSH_S = 0.05  # a manifest and each shard wait for one
LONGEST_ANSWER_S = 0.5
PROBE = ".cxr-doctor."


def disk(root: AnyPath) -> Iterator[Finding]:
    """Yield what the disk or the store under a root does; what is written for that is gone afterwards."""
    if isinstance(root, ObjectPath):
        yield _store(root)
        return
    folder = _nearest(root)
    yield _room(folder)
    try:
        with tempfile.TemporaryDirectory(prefix=PROBE, suffix=".partial", dir=folder) as inside:
            yield _speed(Path(inside))
            yield from _keeps(Path(inside))
    except OSError as error:
        found = f"{folder} cannot be written: {error.strerror or error}"
        yield Finding("disk", found, "wrong", "mend that, or choose another --root")


def _nearest(root: Path) -> Path:
    """Return the folder that a root is, or would be made in."""
    return next(folder for folder in (root.resolve(), *root.resolve().parents) if folder.is_dir())


def _room(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    found = f"{free / GB:.1f} GB free under {folder}"
    if free < LEAST_FREE:
        return Finding("disk space", found, "slow", "a set of 5,000 films with 20 copies takes 2 GB")
    return Finding("disk space", found)


def _speed(folder: Path) -> Finding:
    """Return how fast a large file is written and flushed, and how long a small one takes."""
    large, small = folder / "large", folder / "small"
    block = os.urandom(1 << 20)
    started = time.perf_counter()
    _flushed(large, *[block] * WRITTEN_MB)
    rate = WRITTEN_MB * (1 << 20) / MB / (time.perf_counter() - started)
    waits = []
    for _ in range(FLUSHED):
        started = time.perf_counter()
        _flushed(small, b"x")
        waits.append(time.perf_counter() - started)
    wait_s = statistics.median(waits)
    found = f"{rate:,.0f} MB/s written, a small file flushed in {1000 * wait_s:.1f} ms"
    slow = rate < LEAST_MB_S or wait_s > LONGEST_FLUSH_S
    return Finding("disk", found, "slow" if slow else "ok", "choose a --root on a local disk" if slow else "")


def _flushed(path: Path, *blocks: bytes) -> None:
    with path.open("wb") as file:
        file.writelines(blocks)
        file.flush()
        os.fsync(file.fileno())


def _keeps(folder: Path) -> Iterator[Finding]:
    """Yield what the file system does not keep of what runs rely on: locks, and names in capitals apart from others."""
    yield _locks(folder / "lock")
    (folder / "name").touch()
    if (folder / "NAME").exists():
        found = "NAME and name are one file"
        yield Finding("file names", found, "slow", "classes or films that differ in capitals alone fall together")


def _locks(path: Path) -> Finding:
    if os.name != "posix":
        return Finding("locks", "not known on this system", "wrong", "start one run at a time under a root")
    import fcntl  # noqa: PLC0415 - not on Windows

    with path.open("w") as one, path.open("w") as other:
        try:
            fcntl.flock(one, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with suppress(BlockingIOError):
                fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return Finding("locks", "two processes get one lock", "wrong", "start one run at a time under a root")
        except OSError as error:
            why = errno.errorcode.get(error.errno or 0, str(error))
            return Finding("locks", f"not kept here ({why})", "wrong", "start one run at a time under a root")
    return Finding("locks", "kept: a second run under the root is refused")


def _store(root: ObjectPath) -> Finding:
    """Return whether an object can be written, read and deleted under a root, and how long that takes."""
    probe = root / f"{PROBE}{os.getpid()}"
    started = time.perf_counter()
    try:
        probe.write_bytes(b"x")
        try:
            found = probe.read_bytes()
        finally:
            probe.unlink(missing_ok=True)
    except (OSError, StoreError) as error:
        return Finding("store", f"{root}: {error}", "wrong", "see docs/object-stores.md")
    took_s = time.perf_counter() - started
    if found != b"x":
        return Finding("store", f"{root}: an object comes back as other bytes", "wrong", "use another store")
    told = f"{root}: an object written, read and deleted in {1000 * took_s:.0f} ms"
    slow = took_s > LONGEST_ANSWER_S
    return Finding("store", told, "slow" if slow else "ok", "run on a machine nearer to the store" if slow else "")
