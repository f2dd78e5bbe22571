"""What a process took: its time on the clock, and the memory of the largest process that it was or started."""

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


def stage_command(stage: str, root: Path, *, jobs: int, raw: Path | None = None) -> list[str]:
    """Return the command line of a stage, as a user would give it, with this Python."""
    command = [sys.executable, "-m", "pipeline", stage, "--root", str(root), "--jobs", str(jobs), "--no-progress"]
    return command if raw is None else [*command, "--raw", str(raw)]
