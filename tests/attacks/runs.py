"""Runs of the command line as attacks and tests start them: on a root of their own, watched, waited for, ended."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.attacks.clusters import Cluster, processes_of

REPOSITORY = Path(__file__).resolve().parents[2]
OUTPUTS = {
    "audit": ("data/audit",),
    "normalize": ("data/normalized",),
    "augment": ("data/augmented",),
    "build": ("data/audit", "data/split", "data/normalized", "data/augmented"),
}
WORKER = re.compile(r"popen_loky_posix|spawn_main")
PATIENCE_S = 10.0  # a worker that was starting up loads its modules first, on a busy machine for seconds
When = Callable[[subprocess.Popen[str]], bool]


@dataclass(frozen=True)
class Project:
    """A root, and the command line on it."""

    root: Path
    jobs: int = 2
    environment: dict[str, str] = field(default_factory=dict)
    cluster: Cluster | None = None

    def workers(self, process: subprocess.Popen[str]) -> list[int]:
        """Return the processes that do the work of a run."""
        return self.cluster.workers() if self.cluster is not None else workers(process.pid)

    def start(self, stage: str, *flags: str) -> subprocess.Popen[str]:
        """Start a stage in a session of its own, by which all its processes are found."""
        command = [sys.executable, "-m", "pipeline", stage, "--root", str(self.root), "--jobs", str(self.jobs), *flags]
        command += self.cluster.flags if self.cluster is not None and stage in OUTPUTS else ()
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "RAY_AUTH_MODE": "disabled", **self.environment}
        heeded = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's `&` has it ignored: not here
        try:
            return subprocess.Popen(
                command,
                env=environment,
                start_new_session=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        finally:
            signal.signal(signal.SIGINT, heeded)

    def run(self, stage: str, *flags: str, code: int = 0) -> str:
        """Run a stage to its end and return what it printed."""
        process = self.start(stage, *flags)
        output, _ = process.communicate()
        if process.returncode != code:
            raise AssertionError(f"{stage} ended with {process.returncode}, expected {code}:\n{output}")
        return output

    def digest(self) -> str:
        """Return a hash over every file under data/, its name and bytes."""
        whole = hashlib.sha256()
        for path in sorted(path for path in (self.root / "data").rglob("*") if path.is_file()):
            whole.update(f"{path.relative_to(self.root)}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
        return whole.hexdigest()

    def unfinished(self) -> list[Path]:
        """Return the files that a run wrote aside and never renamed."""
        return list(self.root.rglob("*.partial"))

    def clear(self, stage: str) -> None:
        """Delete what a stage wrote."""
        for path in OUTPUTS[stage]:
            shutil.rmtree(self.root / path, ignore_errors=True)


def prepared(root: Path, *, films: int, copies: int, raw: Path | None = None, jobs: int = 2) -> Project:
    """Return a project on which all stages up to augment have run."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "params.yaml").write_text(f"augment: {{copies: {copies}}}\ntrain: {{network: residual, epochs: 500}}\n")
    project = Project(root, jobs)
    if raw is None:
        project.run("phantom", "--films", str(films), "--longest-side-px", "500")
    else:
        shutil.copytree(raw, root / "data/raw")
    project.run("build")
    return project


def workers(session: int) -> list[int]:
    """Return the processes of a session that do the work."""
    return sorted(pid for pid, (_, command) in processes_of(session).items() if WORKER.search(command))


def left_over(session: int) -> int:
    """Return how many processes of a session outlive it."""
    deadline = time.monotonic() + PATIENCE_S
    while processes_of(session) and time.monotonic() < deadline:
        time.sleep(0.02)
    return len(processes_of(session))


def after(seconds: float) -> When:
    """Return what holds so much time after it is asked first."""
    first: list[float] = []  # none before it is asked

    def passed(_process: subprocess.Popen[str]) -> bool:
        if not first:
            first.append(time.monotonic())
        return time.monotonic() - first[0] >= seconds

    return passed


def working(process: subprocess.Popen[str]) -> bool:
    """Tell whether a run has workers."""
    return bool(workers(process.pid))


def wait_until(when: When, process: subprocess.Popen[str]) -> None:
    """Wait until something holds of a run, or the run has ended."""
    while process.poll() is None and not when(process):
        time.sleep(0.005)


def wait_unheard(process: subprocess.Popen[str]) -> None:
    """Wait for the end of a run that was killed: reading what it said would be waiting for its workers as well."""
    with process:
        process.wait()


def wait_for_lock(project: Project, process: subprocess.Popen[str]) -> None:
    lock = project.root / ".cxr-pipeline.lock"
    wait_until(lambda _process: lock.exists() and f'"pid": {process.pid},' in lock.read_text(), process)


@contextmanager
def small_disk(folder: Path, size_kb: int) -> Iterator[Callable[[str], None]]:
    """Mount a disk of so many kB, and give the function that mounts it with other options.

    Raises:
        OSError: where this user may not mount.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if _mount("-t", "tmpfs", "-o", f"size={size_kb}k", "tmpfs", str(folder)).returncode:
        raise OSError(f"{folder}: mounting a tmpfs is not allowed here")
    try:
        yield lambda options: _mount("-o", f"remount,{options}", str(folder)).check_returncode()
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def _mount(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["mount", *arguments], check=False, capture_output=True)


def table(rows: Sequence[tuple[str, object]]) -> str:
    """Return rows of a name and a figure, aligned."""
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)
