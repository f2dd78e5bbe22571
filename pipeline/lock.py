"""One run at a time writes under a root."""

from __future__ import annotations

import errno
import json
import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from manifests.objects import ObjectPath
from manifests.places import AnyPath
from pipeline.lease import Lease, leased
from stages.contract import CxrError

LOCK = ".cxr-pipeline.lock"
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # some network file systems know no locks


@contextmanager
def locked(root: AnyPath, command: str, tell: Callable[[str], None] = lambda _text: None) -> Iterator[None]:
    """Hold the root, or refuse, naming who holds it.

    A root in an object store is held by a lease (`pipeline/lease.py`), and `tell` is told where that is a weak one.

    The kernel's lock on an open file, and not the file, is what holds: it goes with the process, however that
    ends, and workers do not inherit it. The file stays, since deleting it would race with the next run; its text
    is for the reader.

    Raises:
        CxrError: where another run writes under the root, or nothing can be written there.
    """
    if isinstance(root, ObjectPath):
        with leased(Lease(root / LOCK, command), tell):
            yield
        return
    with os.fdopen(_opened(root), "r+", encoding="utf-8", errors="replace") as file:
        if not _lock(file):
            raise CxrError(f"{root}: {_holder(file.read())}; wait for it to end, or stop it")
        _tell(file, {"pid": os.getpid(), "host": socket.gethostname(), "command": command, "since": _now()})
        try:
            yield
        finally:
            _tell(file, None)


def _opened(root: Path) -> int:
    try:
        root.mkdir(parents=True, exist_ok=True)
        return os.open(root / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise CxrError(
            f"{root.resolve()}: nothing can be written there ({error.strerror}); expected a folder for results: run "
            "the command in another one, or name one with --root"
        ) from error


def _lock(file: TextIO) -> bool:
    if sys.platform == "win32":
        return True
    import fcntl  # noqa: PLC0415 - not on Windows

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
    return True


def _tell(file: TextIO, who: dict[str, object] | None) -> None:
    file.seek(0)
    file.truncate()
    if who is not None:
        file.write(json.dumps(who) + "\n")
    file.flush()


def _holder(text: str) -> str:
    try:
        who = json.loads(text)
        return (
            f"in use by `{who['command']}` (process {who['pid']} on {who['host']}, since {who['since']}); "
            "two runs under one root would delete each other's files"
        )
    except (ValueError, KeyError, TypeError):
        return "in use by another run of cxr-pipeline"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
