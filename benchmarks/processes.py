"""Processes of a benchmark: the project's own commands, and what one takes, in seconds and in memory."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
LOOK_EVERY_S = 0.05
WORK = "folder for what is made on the way; it stays, and the next run takes up what lies there"  # help of a flag
QUIET = {"NO_ALBUMENTATIONS_UPDATE": "1"}  # Albumentations asks the network for its newest version on import


class RunError(Exception):
    """A process failed; the text holds what it printed."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A process that ended well.

    Attributes:
        wall_s: from its start to its end.
        peak_mb: resident memory of the largest single process among it and its children.
        output: what it printed.
    """

    wall_s: float
    peak_mb: float
    output: str


def finish(command: Sequence[str], *, environment: Mapping[str, str] | None = None) -> Finished:
    """Run a command in the project's folder to its end.

    Raises:
        RunError: where it fails.
    """
    with tempfile.TemporaryFile() as printed:
        started = time.perf_counter()
        process = subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env={**os.environ, **QUIET, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=subprocess.STDOUT,
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        printed.seek(0)
        output = printed.read().decode(errors="replace")
    if process.returncode:
        raise RunError(f"{' '.join(command)}: exit code {process.returncode}\n{output[-3000:]}")
    return Finished(wall_s, usage.ru_maxrss / 1024, output)


def resident_bytes(which: str = "VmHWM", *, pid: int | str = "self") -> int:
    """Return a process's resident memory by the kernel's count (proc(5)): VmHWM, its peak, or VmRSS, what it has now.

    0 where it has just ended.
    """
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith(f"{which}:")), 0)


def family(pid: int) -> list[int]:
    """Return a process, those that it started, and those that they started; of one that has just ended, itself."""
    try:
        lists = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:
        return [pid]
    children = [int(child) for found in lists for child in found.split()]
    return [pid, *(below for child in children for below in family(child))]


def watched(process: subprocess.Popen[bytes]) -> dict[int, int]:
    """Wait for the end of a process; return what memory it and each that it started had at most, in bytes, by pid."""
    peaks = {process.pid: 0}
    while process.poll() is None:
        for pid in family(process.pid):
            peaks[pid] = max(peaks.get(pid, 0), resident_bytes(pid=pid))
        time.sleep(LOOK_EVERY_S)
    return peaks


def stage_command(stage: str, root: Path, *, jobs: int, raw: Path | None = None) -> list[str]:
    """Return the command line of a stage, as a user would give it, with this Python."""
    command = [sys.executable, "-m", "pipeline", stage, "--root", str(root), "--jobs", str(jobs), "--no-progress"]
    return command if raw is None else [*command, "--raw", str(raw)]
