"""Kill, stop, double and starve runs of the command line, and count what is left: `python -m tests.attacks.kill`.

A phantom set (or `--raw FOLDER`) is built once without trouble. Then, again and again, a stage's output is deleted,
the stage is started, the run or one of its workers is killed at a random moment, and the same command is run again:
every file under data/ must come out as it was. `tests/pipeline/test_killed.py` does the same on a few films.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tests.attacks.clusters import Cluster, dask_cluster, ray_cluster
from tests.attacks.runs import (
    OUTPUTS,
    Project,
    When,
    after,
    left_over,
    prepared,
    small_disk,
    table,
    wait_for_lock,
    wait_unheard,
    wait_until,
)

NANNIES = ("--nanny", "--nanny")


@dataclass(frozen=True)
class Kill:
    """One run that was killed, and the run after it."""

    stage: str
    victim: str
    hit: bool
    identical: bool
    processes: int
    files: int


def kill_once(project: Project, stage: str, victim: str, when: When, draw: random.Random) -> Kill:
    """Start a stage anew, kill the run or a worker at a moment, run it again, and say what came of it."""
    expected = project.digest()
    project.clear(stage)
    process = project.start(stage)
    wait_until(when, process)
    hit = _kill(project, process, victim, draw)
    if victim == "run":
        wait_unheard(process)
    else:
        output, _ = process.communicate()
        if process.returncode != 0:
            raise AssertionError(f"{stage}, a worker killed: ended with {process.returncode}:\n{output}")
    outlived = left_over(process.pid)
    if victim == "run":
        project.run(stage)
    return Kill(stage, victim, hit, project.digest() == expected, outlived, len(project.unfinished()))


def _kill(project: Project, process: subprocess.Popen[str], victim: str, draw: random.Random) -> bool:
    """Kill a process of a run and tell whether it was there to be killed."""
    while process.poll() is None:
        targets = [process.pid] if victim == "run" else project.workers(process)
        if targets:
            try:
                os.kill(draw.choice(targets), signal.SIGKILL)
            except ProcessLookupError:
                continue
            return True
        time.sleep(0.005)
    return False


@dataclass(frozen=True)
class Stop:
    """One run that was asked to stop."""

    seconds: float
    code: int
    lines: list[str]
    processes: int
    files: int


def stop_once(project: Project, stage: str, number: signal.Signals, when: When, *flags: str) -> Stop:
    """Start a stage, send it a signal at a moment after it holds the root, and say how it ended."""
    process = project.start(stage, *flags)
    wait_for_lock(project, process)
    wait_until(when, process)
    started = time.monotonic()
    process.send_signal(number)
    output, _ = process.communicate()
    seconds = time.monotonic() - started
    return Stop(seconds, process.returncode, output.splitlines(), left_over(process.pid), len(project.unfinished()))


def refused(project: Project) -> str:
    """Return what a second run is told while a first one works."""
    project.clear("augment")
    first = project.start("augment")
    wait_for_lock(project, first)
    said = project.run("normalize", code=1)
    first.communicate()
    return said.strip()


def kept_at(project: Project, share: float) -> tuple[float, str]:
    """Return the share of images that a run killed at a share of its time leaves to the next, and its own words."""
    project.clear("augment")
    started = time.monotonic()
    project.run("augment")
    whole_s = time.monotonic() - started
    project.clear("augment")
    process = project.start("augment")
    time.sleep(share * whole_s)
    process.kill()
    wait_unheard(process)
    left_over(process.pid)
    said = re.search(r"([\d,]+) of ([\d,]+) images kept from before: .*", project.run("augment"))
    if said is None:
        return 0.0, "nothing kept"
    kept, total = (int(number.replace(",", "")) for number in said.groups())
    return kept / total, said.group()


def full_disk(project: Project, folder: Path) -> tuple[str, bool, bool]:
    """Return what a run says whose disk is full, whether all was as before, and whether it ends well given room."""
    files = sum(path.stat().st_size for path in project.root.rglob("*") if path.is_file())
    roomy_kb = max(1_000_000, 20 * files // 1024)  # the copies below are far more, and larger
    with small_disk(folder, roomy_kb) as remount:
        moved = Project(folder, project.jobs, cluster=project.cluster)
        shutil.copytree(project.root / "data", folder / "data")
        used = shutil.disk_usage(folder).used // 1024
        remount(f"size={used + 2_000}k")
        before = moved.digest()
        said = moved.run("augment", "--copies", "50", "--quality", "100", code=1).strip()
        whole = moved.digest() == before and not moved.unfinished()
        remount(f"size={roomy_kb}k")
        moved.run("augment", "--copies", "50", "--quality", "100")
        after = moved.digest()
        moved.clear("augment")
        moved.run("augment", "--copies", "50", "--quality", "100")
        return said, whole, moved.digest() == after


def kills(project: Project, number: int, draw: random.Random) -> Iterator[Kill]:
    """Kill runs at moments drawn from the time that each stage takes, until so many were hit in the middle."""
    takes_s = {}
    for stage in OUTPUTS:
        project.clear(stage)
        started = time.monotonic()
        project.run(stage)
        takes_s[stage] = time.monotonic() - started
    hit = 0
    while hit < number:
        stage, victim = draw.choice([*OUTPUTS]), draw.choice(["run", "worker"])
        kill = kill_once(project, stage, victim, after(draw.uniform(0.2, takes_s[stage])), draw)
        hit += kill.hit
        yield kill


def stops(project: Project, number: int, draw: random.Random) -> Iterator[tuple[str, str, Stop]]:
    """Stop as many runs by each signal: of stages with workers, and of training, which has none."""
    for which in (signal.SIGINT, signal.SIGTERM):
        for turn in range(number):
            stage = ("audit", "normalize", "augment", "build", "train")[turn % 5]
            if stage in OUTPUTS:
                project.clear(stage)
            flags = ("--device", "cpu") if stage == "train" else ()
            limit_s = {"audit": 0.5, "normalize": 0.3, "augment": 2.0, "build": 3.0, "train": 6.0}[stage]
            stop = stop_once(project, stage, which, after(draw.uniform(0.05, limit_s)), *flags)
            if stage in OUTPUTS:
                project.run(stage)
            yield which.name, stage, stop


Figures = list[tuple[str, object]]


def attack(project: Project, folder: Path, *, number: int, signals: int, seed: int) -> Figures:
    """Attack a project in every way and return the figures."""
    draw = random.Random(seed)
    figures = killed(project, number, draw)
    share, said = kept_at(project, 0.5)
    figures.append(("kept after a kill at half time", f"{share:.0%} ({said})"))
    figures += stopped(project, signals, draw)
    figures.append(("a second run is told", refused(project)))
    try:
        said, whole, ends_well = full_disk(project, folder / "disk")
        figures += [("a full disk is told as", said), ("  all as before, then well given room", (whole, ends_well))]
    except OSError as error:
        figures.append(("a full disk", f"not tried: {error}"))
    return figures


def killed(project: Project, number: int, draw: random.Random) -> Figures:
    """Kill runs until so many were hit in the middle, and return the figures."""
    found = []
    for kill in kills(project, number, draw):
        found.append(kill)
        print(f"  {sum(each.hit for each in found)}/{number} {kill}", file=sys.stderr, flush=True)
    by_stage = {f"{stage} {victim}": 0 for stage in OUTPUTS for victim in ("run", "worker")}
    for kill in found:
        by_stage[f"{kill.stage} {kill.victim}"] += 1
    return [
        ("SIGKILLs", len(found)),
        ("  of which", json.dumps(by_stage)),
        ("  hit a run in the middle, the others came too late", sum(kill.hit for kill in found)),
        ("  data/ identical afterwards", sum(kill.identical for kill in found)),
        ("  temporary files left", sum(kill.files for kill in found)),
        ("  processes left", sum(kill.processes for kill in found)),
    ]


def stopped(project: Project, signals: int, draw: random.Random) -> Figures:
    """Stop so many runs by each signal, and return the figures."""
    found: dict[str, list[Stop]] = {}
    for name, stage, stop in stops(project, signals, draw):
        found.setdefault(name, []).append(stop)
        print(f"  {name} {stage} {stop}", file=sys.stderr, flush=True)
    figures: Figures = []
    for name, of_name in found.items():
        hit = [stop for stop in of_name if stop.code == 1 and any("stopped by" in line for line in stop.lines)]
        figures += [
            (f"{name}s", len(of_name)),
            ("  ended by it, exit code 1, one line", sum(len(stop.lines) == 1 for stop in hit)),
            ("  slowest end, seconds", round(max(stop.seconds for stop in of_name), 2)),
            ("  temporary files, processes left", (sum(s.files for s in of_name), sum(s.processes for s in of_name))),
        ]
    return figures


@contextmanager
def started(backend: str, folder: Path) -> Iterator[Cluster | None]:
    """Run a cluster of two workers; a Dask worker that is killed is started again by its nanny."""
    if backend == "loky":
        yield None
        return
    (folder / "cluster").mkdir()
    cluster = ray_cluster(folder / "cluster") if backend == "ray" else dask_cluster(folder / "cluster", workers=NANNIES)
    with cluster as running:
        yield running


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--signals", type=int, default=10, help="of each kind")
    parser.add_argument("--films", type=int, default=300, help="phantoms")
    parser.add_argument("--copies", type=int, default=30)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--raw", type=Path, help="real films, instead of phantoms")
    parser.add_argument("--backend", choices=["loky", "dask", "ray"], default="loky", help="dask, ray: started here")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, started(given.backend, Path(name)) as cluster:
        folder = Path(name)
        project = prepared(folder / "set", films=given.films, copies=given.copies, raw=given.raw, jobs=given.jobs)
        project = replace(project, cluster=cluster)  # what was built on loky must come out again
        print(table(attack(project, folder, number=given.kills, signals=given.signals, seed=given.seed)))


if __name__ == "__main__":
    main()
