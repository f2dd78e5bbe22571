"""One run at a time writes under a root in an object store: a lock that is an object, and is renewed while it holds."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from manifests.addresses import NotKnownError, StoreError
from manifests.objects import ObjectPath
from stages.contract import CxrError

RENEWED_EVERY_S = 20.0
STALE_AFTER_S = 90.0  # four renewals that failed: a killed run holds nobody up for longer
ATTEMPTS = 5
NO_CONDITIONS = (
    "this store knows no conditional writes: two runs that begin under this root in the same moment would not see "
    "each other; begin them one after the other"
)


def stores_clock(lock: ObjectPath) -> datetime:
    """Return what the store's clock says now: the hosts' own may differ from it and from one another."""
    probe = lock.with_name(f"{lock.name}.clock-{uuid.uuid4().hex}")
    probe.write_bytes(b"")
    try:
        return probe.stat().written_at
    finally:
        probe.unlink(missing_ok=True)


def end_this_run() -> None:
    """Let the run end as by a signal: another one writes under its root by now."""
    os.kill(os.getpid(), signal.SIGTERM)


@dataclass(slots=True)
class Lease:
    """A lock that this run holds, as long as it renews it.

    Attributes:
        lock: the object.
        command: what the holder runs.
        clock: what tells the time by which an unrenewed lock is stale.
        renewed_every_s, stale_after_s: seconds.
        lost: set where another run took the lock over.
    """

    lock: ObjectPath
    command: str
    clock: Callable[[ObjectPath], datetime] = stores_clock
    renewed_every_s: float = RENEWED_EVERY_S
    stale_after_s: float = STALE_AFTER_S
    lost: threading.Event = field(default_factory=threading.Event)
    _token: str = field(default_factory=lambda: uuid.uuid4().hex)
    _since: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    _renewals: int = 0
    _conditional: bool = True
    _tag: str = ""

    def take(self) -> None:
        """Hold the root; a lock that was not renewed for long is taken over.

        Raises:
            CxrError: where another run holds it.
        """
        for _ in range(ATTEMPTS):
            if self._created() or self._take_over():
                return
        raise CxrError(f"{self.lock.parent}: other runs take its lock again and again; run the same command again")

    def _created(self) -> bool:
        try:
            self._tag = self.lock.create(self._told())
        except FileExistsError:
            return False
        except NotKnownError:
            self._conditional = False
            if self.lock.is_file():
                return False
            self._write()
        return True

    def _write(self) -> None:
        """Write the lock without a condition."""
        self.lock.write_bytes(self._told())
        self._tag = self.lock.stat().tag

    def _exchange(self, tag: str) -> None:
        """Write the lock anew, if it is still the one of a tag.

        Raises:
            FileExistsError: where it is another one.
            FileNotFoundError: where it is gone.
        """
        if self._conditional:
            self._tag = self.lock.exchange(self._told(), tag)
            return
        if self.lock.stat().tag != tag:
            raise FileExistsError(str(self.lock))
        self._write()

    def _take_over(self) -> bool:
        """Take a stale lock over; False where it is gone, or another run was quicker."""
        try:
            told, text = self.lock.stat(), self.lock.read_bytes()
        except FileNotFoundError:
            return False
        if self._is_ours(text):  # the answer to our request was lost, and it was made again
            self._tag = told.tag
            return True
        age = self.clock(self.lock) - told.written_at
        if age < timedelta(seconds=self.stale_after_s):
            raise CxrError(f"{self.lock.parent}: {_holder(text, age.total_seconds(), self.stale_after_s)}")
        try:
            self._exchange(told.tag)
        except (FileExistsError, FileNotFoundError):
            return False
        return True

    def knows_conditions(self) -> bool:
        """Tell whether the store refuses to make an object that is there: without that, a lock is an agreement."""
        if not self._conditional:
            return False
        try:
            self._tag = self.lock.create(self._told())
        except FileExistsError:
            return True
        self._conditional = False
        return False

    def renew(self) -> None:
        """Say that this run lives.

        Raises:
            FileExistsError: where the lock is another run's by now.
        """
        self._renewals += 1
        try:
            self._exchange(self._tag)
        except (FileExistsError, FileNotFoundError) as error:
            if not self.lock.is_file() or not self._is_ours(self.lock.read_bytes()):
                raise FileExistsError(str(self.lock)) from error
            self._tag = self.lock.stat().tag  # as above

    def give_back(self) -> bool:
        """Delete the lock; False where it is another run's by now, or gone: this run was taken for a killed one."""
        if not self.lock.is_file() or not self._is_ours(self.lock.read_bytes()):
            return False
        self.lock.unlink(missing_ok=True)
        return True

    def keep(self, over: threading.Event, end: Callable[[], None]) -> None:
        """Renew the lock until the run is over; where it is lost, end the run."""
        heard_at = time.monotonic()
        while not over.wait(self.renewed_every_s):
            try:
                self.renew()
                heard_at = time.monotonic()
            except FileExistsError:
                break
            except (StoreError, OSError):
                if time.monotonic() - heard_at > self.stale_after_s:
                    break
        if not over.is_set():
            self.lost.set()
            end()

    def _told(self) -> bytes:
        who = {"pid": os.getpid(), "host": socket.gethostname(), "command": self.command, "since": self._since}
        return (json.dumps({**who, "token": self._token, "renewals": self._renewals}) + "\n").encode()

    def _is_ours(self, text: bytes) -> bool:
        try:
            return bool(json.loads(text)["token"] == self._token)
        except (ValueError, KeyError, TypeError):
            return False


@contextmanager
def leased(lease: Lease, tell: Callable[[str], None], end: Callable[[], None] = end_this_run) -> Iterator[None]:
    """Hold a root in a store, or refuse, naming who holds it.

    Args:
        lease: the lock.
        tell: is told where the store cannot do what a lock needs.
        end: ends the run where the lock is lost.

    Raises:
        CxrError: where another run holds the root, or took it over.
    """
    lease.take()
    over = threading.Event()
    keeper = threading.Thread(target=lease.keep, args=(over, end), name="lease", daemon=True)
    try:
        if not lease.knows_conditions():
            tell(NO_CONDITIONS)
        keeper.start()
        yield
    finally:
        over.set()
        if keeper.is_alive():
            keeper.join()
        if lease.lost.is_set() or not lease.give_back():  # one that slept and then ended at once has not heard of it
            raise CxrError(
                f"{lease.lock.parent}: this run was not heard of for {lease.stale_after_s:g} s, and another one took "
                "its place; run the same command again when that has ended"
            )


def _holder(text: bytes, age_s: float, stale_after_s: float) -> str:
    free = (
        f"wait for it to end, or stop it; if it was killed, the root is free in {max(1, stale_after_s - age_s):.0f} s"
    )
    try:
        who = json.loads(text)
        return (
            f"in use by `{who['command']}` (process {who['pid']} on {who['host']}, since {who['since']}, last heard of "
            f"{max(0, age_s):.0f} s ago); two runs under one root would delete each other's files; {free}"
        )
    except (ValueError, KeyError, TypeError):
        return f"in use by another run of cxr-pipeline; {free}"
