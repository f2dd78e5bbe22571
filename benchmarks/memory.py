"""Memory against the number of films: peak of the parent and of the largest worker, stage by stage.

python benchmarks/memory.py                                     500, 5,000 and 50,000 small synthetic films
python benchmarks/memory.py --films 500,5000 --plot memory.svg  fewer, and the curves
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]  # started as a script, Python sees this folder alone

from benchmarks.contestants import SPLIT, STAGES
from benchmarks.printed import machine, markdown, versions
from benchmarks.processes import REPOSITORY, RunError, stage_command, watched

FILM = (48, 64)  # height and width
COPIES = 2
MIB = 2**20
LIMITS_MB = {"parent": 400, "worker": 300}


@dataclass(frozen=True, slots=True)
class Peak:
    """What one stage took of one set.

    Attributes:
        parent_mb: largest resident memory of the command's own process; 2^20 bytes.
        worker_mb: of the largest process that it started; None where it started none.
    """

    films: int
    stage: str
    wall_s: float
    parent_mb: float
    worker_mb: float | None


def main() -> None:
    """Run the stages over sets of growing size and print what memory they took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--films", default="500,5000,50000", help="sizes, by commas [500,5000,50000]")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="workers [one per core]")
    parser.add_argument("--work", type=Path, help="folder for the films [a temporary one]")
    parser.add_argument("--plot", type=Path, help="file for the curves: .svg or .png")
    options = parser.parse_args()
    sizes = [int(size) for size in options.films.split(",")]
    try:
        peaks = [peak for films in sizes for peak in measure(films, options.jobs, options.work)]
    except RunError as error:
        raise SystemExit(f"memory: {error}") from error
    print(f"{machine()}\n\n{versions()}\n\n{options.jobs} workers; films of {FILM[0]} x {FILM[1]}, {COPIES} copies.\n")
    print(table(peaks))
    if options.plot:
        plot(peaks, options.plot)


def measure(films: int, jobs: int, work: Path | None) -> list[Peak]:
    """Return the peaks of every stage on a set of so many films."""
    root = Path(tempfile.mkdtemp(prefix=f"memory-{films}-", dir=work))
    try:
        write_films(root / "data" / "raw", films)
        write_params(root / "params.yaml")
        return [watch(stage, root, films=films, jobs=jobs) for stage in STAGES]
    finally:
        shutil.rmtree(root)


def write_films(raw: Path, films: int) -> None:
    """Write films of noise, no two alike, a hundred to a folder of a class."""
    import numpy as np

    folder = raw / "train" / "NORMAL"
    folder.mkdir(parents=True)
    draws = np.random.default_rng(0)
    for number in range(films):
        image = draws.integers(256, size=FILM, dtype=np.uint8)
        header = b"P5\n%d %d\n255\n" % (FILM[1], FILM[0])
        (folder / f"IM-{number:06d}-0001.pgm").write_bytes(header + image.tobytes())


def write_params(path: Path) -> None:
    """Write parameters that keep every film in train and in a small frame."""
    import yaml

    frame = {"height": FILM[0], "width": FILM[1]}
    sections = {"audit": frame, "split": SPLIT, "normalize": frame, "augment": {"copies": COPIES}}
    path.write_text(yaml.safe_dump(sections), encoding="utf-8")


def watch(stage: str, root: Path, *, films: int, jobs: int) -> Peak:
    """Run a stage and look at the memory of its processes until it ends."""
    print(f"{stage}: {films:,} films", file=sys.stderr, flush=True)
    with tempfile.TemporaryFile() as printed:
        started = time.perf_counter()
        command = stage_command(stage, root, jobs=jobs)
        process = subprocess.Popen(command, cwd=REPOSITORY, stdout=printed, stderr=subprocess.STDOUT)
        peaks = watched(process)
        wall_s = time.perf_counter() - started
        printed.seek(0)
        if process.returncode:
            raise RunError(f"{' '.join(command)}: exit code {process.returncode}\n{printed.read().decode()[-3000:]}")
    parent_mb = peaks.pop(process.pid) / MIB
    return Peak(films, stage, wall_s, parent_mb, max(peaks.values()) / MIB if peaks else None)


def table(peaks: Sequence[Peak]) -> str:
    """Return a row per size and stage."""
    rows = [["stage", "films", "s", "ms / film", "parent MB", "largest worker MB"]]
    for peak in peaks:
        worker = "none" if peak.worker_mb is None else f"{peak.worker_mb:,.0f}"
        times = (f"{peak.wall_s:,.1f}", f"{1000 * peak.wall_s / peak.films:,.2f}")
        rows.append([peak.stage, f"{peak.films:,}", *times, f"{peak.parent_mb:,.0f}", worker])
    return markdown(rows)


def plot(peaks: Sequence[Peak], path: Path) -> None:
    """Draw the peaks over the number of films: the parent on the left, the largest worker on the right."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True, layout="constrained")
    curves = {"parent": _curves(peaks, "parent_mb"), "worker": _curves(peaks, "worker_mb")}
    for panel, (who, of_stages) in zip(panels, curves.items(), strict=True):
        for stage, points in of_stages.items():
            colour = f"C{STAGES.index(stage)}"  # the same on both sides, though split has no workers
            panel.plot(*zip(*points, strict=True), marker="o", color=colour, label=stage)
        panel.axhline(LIMITS_MB[who], color="0.5", linestyle="--", linewidth=1)
        panel.set(xscale="log", xlabel="films", title=f"{who}: peak resident memory, limit {LIMITS_MB[who]} MB")
        panel.grid(visible=True, alpha=0.3)
        panel.legend(frameon=False)
    panels[0].set(ylabel="MB", ylim=(0, None))
    figure.savefig(path)


def _curves(peaks: Sequence[Peak], name: str) -> Mapping[str, list[tuple[int, float]]]:
    curves: dict[str, list[tuple[int, float]]] = {}
    for peak in peaks:
        if (figure := getattr(peak, name)) is not None:
            curves.setdefault(peak.stage, []).append((peak.films, figure))
    return curves


if __name__ == "__main__":
    main()
