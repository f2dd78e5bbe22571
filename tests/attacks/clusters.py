"""Real clusters on this machine, each process started by its command: a Dask scheduler with workers, and a Ray node."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
PATIENCE_S = 60.0
SPAWNED = "spawn_main"


def processes_of(*sessions: int) -> dict[int, tuple[int, str]]:
    """Return the parent and the command line of each process of some sessions that runs."""
    found = {}
    for folder in Path("/proc").iterdir():
        try:
            state, parent, _, session = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
            if int(session) in sessions and state != "Z":
                found[int(folder.name)] = (int(parent), (folder / "cmdline").read_text().replace("\0", " "))
        except (OSError, ValueError):  # not a process, or one that has just ended
            continue
    return found


@dataclass(frozen=True)
class Cluster:
    """A cluster that runs.

    Attributes:
        backend: as the flag names it.
        address: where it listens.
        sessions: of its processes.
        scheduler: the process without which there is no cluster.
    """

    backend: str
    address: str
    sessions: tuple[int, ...]
    scheduler: int

    @property
    def flags(self) -> tuple[str, ...]:
        """What makes a command run on it."""
        return ("--backend", self.backend, "--scheduler" if self.backend == "dask" else "--address", self.address)

    def processes(self) -> dict[int, tuple[int, str]]:
        """Return the parent and the command line of each of its processes."""
        return processes_of(*self.sessions)

    def workers(self) -> list[int]:
        """Return its processes that are handed jobs: those of nannies, those without, Ray's at work."""
        known = self.processes()
        if self.backend == "ray":
            return [pid for pid, (_, command) in known.items() if command.startswith("ray::serve")]
        nannies = {pid for pid, (_, command) in known.items() if "dask worker" in command and "--nanny" in command}
        bare = [pid for pid, (_, command) in known.items() if "dask worker" in command and "--no-nanny" in command]
        return [*bare, *(pid for pid, (parent, command) in known.items() if parent in nannies and SPAWNED in command)]

    def serving(self) -> list[int]:
        """Return the processes that workers have started for films."""
        known = self.processes()
        workers = {*self.workers(), *(pid for pid, (_, command) in known.items() if command.startswith("ray::"))}
        return [pid for pid, (parent, command) in known.items() if parent in workers and SPAWNED in command]

    def end(self) -> None:
        """End all its processes."""
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _start(folder: Path, name: str, *command: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "RAY_AUTH_MODE": "disabled"}
    with (folder / f"{name}.log").open("wb") as log:
        return subprocess.Popen(
            [str(BIN / command[0]), *command[1:]],
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=environment,
            start_new_session=True,
        )


def _wait_for(found: Path, pattern: str) -> str:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if found.exists() and (match := re.search(pattern, found.read_text())):
            return match.group(1)
        time.sleep(0.05)
    raise TimeoutError(f"{found}: {found.read_text() if found.exists() else 'not there'}")


@contextmanager
def dask_cluster(folder: Path, *, workers: Sequence[str] = ("--nanny", "--no-nanny")) -> Iterator[Cluster]:
    """Run a scheduler and a worker of one thread for each flag, each in a process of its own."""
    with ExitStack() as stack:
        scheduler = _start(folder, "scheduler", "dask", "scheduler", *_dask_flags(folder), "--host", "127.0.0.1")
        started = [scheduler]
        stack.callback(_end, started)
        _wait_for(folder / "scheduler.json", r'("address": "[^"]+")')
        address = str(json.loads((folder / "scheduler.json").read_text())["address"])
        for number, flag in enumerate(workers):
            own = ("--nthreads", "1", flag, "--local-directory", str(folder / f"worker-{number}"))
            started.append(_start(folder, f"worker-{number}", "dask", "worker", *_dask_flags(folder), *own))
        for number in range(len(workers)):
            _wait_for(folder / f"worker-{number}.log", r"(Starting established connection|Registered to)")
        yield Cluster("dask", address, tuple(process.pid for process in started), scheduler.pid)


def _dask_flags(folder: Path) -> tuple[str, ...]:
    ports = () if (folder / "scheduler.json").exists() else ("--port", "0")
    return ("--no-dashboard", "--scheduler-file", str(folder / "scheduler.json"), *ports)


def _free_port() -> int:
    """Return a port that nobody listens on: Ray takes none that the system would choose."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def ray_cluster(folder: Path, *, cpus: int = 2) -> Iterator[Cluster]:
    """Run a Ray node; its sockets lie in a folder of a short name, since theirs may have 107 letters with it."""
    own = tempfile.mkdtemp(prefix="ray-")
    head = _start(
        folder,
        "head",
        "ray",
        "start",
        "--head",
        "--block",
        "--port=0",
        "--node-ip-address=127.0.0.1",
        f"--num-cpus={cpus}",
        "--include-dashboard=false",
        f"--ray-client-server-port={_free_port()}",
        f"--temp-dir={own}",
        f"--object-store-memory={100 * 2**20}",
        "--disable-usage-stats",
    )
    started = [head]
    try:
        address = _wait_for(folder / "head.log", r"ray start --address='([\d.]+:\d+)'")
        _wait_for(folder / "head.log", r"(This command will now block)")
        yield Cluster("ray", address, (head.pid,), head.pid)
    finally:
        _end(started)
        shutil.rmtree(own, ignore_errors=True)


def _end(started: Sequence[subprocess.Popen[bytes]]) -> None:
    Cluster("", "", tuple(process.pid for process in started), 0).end()
    for process in started:
        process.wait()
