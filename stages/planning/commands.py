"""What a command takes as a whole: run as a user would, and watched until it ends."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from stages.contract import StageError
from stages.planning.clock import peak_mb

LOOK_EVERY_S = 0.02


@dataclass(frozen=True, slots=True)
class Watched:
    """What a command took.

    Attributes:
        wall_s: from its start to its end.
        cpu_s: processor time of all its processes.
        parent_mb: largest resident memory of its own process; 0 where the system does not tell.
    """

    wall_s: float
    cpu_s: float
    parent_mb: float


def watched(stage: str, root: Path, *, workers: int) -> Watched:
    """Run a stage's command under a root and return what it took.

    Raises:
        StageError: where it fails.
    """
    command = [sys.executable, "-m", "pipeline", stage, "--root", str(root), "--jobs", str(workers), "--no-progress"]
    with tempfile.TemporaryFile() as printed:
        started = time.perf_counter()
        before, peak = os.times(), 0.0
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=printed, stderr=subprocess.STDOUT)  # noqa: S603 - our own command
        try:
            while process.poll() is None:
                peak = max(peak, peak_mb(str(process.pid)))
                time.sleep(LOOK_EVERY_S)
        finally:
            process.terminate()
        after = os.times()  # of children, it counts those that have ended
        wall_s = time.perf_counter() - started
        printed.seek(0)
        if process.returncode:
            said = printed.read().decode(errors="replace").strip().splitlines()
            raise StageError(f"the calibration's {stage} failed: {said[-1] if said else process.returncode}")
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return Watched(wall_s, used, peak)
