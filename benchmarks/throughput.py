"""Throughput, whole process against whole process: prints a table with machine, versions and n.

python benchmarks/throughput.py                       the 2020 recipe's size: 5,232 films x 21 images, 3 rounds
python benchmarks/throughput.py --films 300 --rounds 1   a quick look
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]  # started as a script, Python sees this folder alone

from benchmarks import films, floor
from benchmarks.contestants import CONTESTANTS, STAGES, Outcome, Task, ours
from benchmarks.printed import PACKAGES, machine, markdown, versions
from benchmarks.processes import WORK, RunError, finish, stage_command
from manifests.installed import told_version

WORKERS = (1, 2)
CONTEST_HEAD = [
    "contestant",
    "n timed",
    "s for all",
    "range",
    "s / 1,000",
    "images/s",
    "peak MB",
    "x recipe",
    "x fastest peer",
    "x floor",
]
EXTRA = ("workers", "composition")
FILMS_COMPOSED = 100


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a contestant.

    Attributes:
        full_s: what the whole set takes: the start-up once, the work as often as the set is larger than the sample.
        peak_mb: resident memory of the largest process.
    """

    wall_s: float
    full_s: float
    peak_mb: float
    outcome: Outcome


def main() -> None:
    """Run the contestants in turn, round by round, and print what came out."""
    options = _options()
    if options.contestant:
        _write_outcome(options.contestant, json.loads(options.task), options.outcome)
        return
    try:
        measured = measure(options)
    except (RunError, FileNotFoundError) as error:
        raise SystemExit(f"throughput: {error}") from error
    print(report(measured, options))
    if options.json:
        options.json.write_text(json.dumps(_plain(measured, options), indent=1) + "\n", encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--films", type=int, default=5232, help="raw films, all in train [5232]")
    parser.add_argument("--copies", type=int, default=20, help="of each film, beside the original [20]")
    parser.add_argument("--rounds", type=int, default=3, help="how often every contestant runs [3]")
    parser.add_argument("--sample", type=int, default=600, help="images that slow contestants make [600]")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="workers [one per core]")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "cxr-pipeline-bench", help=WORK)
    parser.add_argument("--only", default="", help=f"some of: {', '.join((*CONTESTANTS, *EXTRA))}")
    parser.add_argument("--json", type=Path, help="file for every single figure")
    parser.add_argument("--contestant", help=argparse.SUPPRESS)  # how a contestant gets a process of its own
    parser.add_argument("--task", help=argparse.SUPPRESS)
    parser.add_argument("--outcome", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.only = tuple(options.only.split(",")) if options.only else (*CONTESTANTS, *EXTRA)
    if unknown := sorted(set(options.only) - {*CONTESTANTS, *EXTRA}):
        parser.error(f"--only {','.join(unknown)}: expected some of {', '.join((*CONTESTANTS, *EXTRA))}")
    return options


def _write_outcome(name: str, task: Mapping[str, Any], path: Path) -> None:
    """Run one contestant in this process and leave what it did for the process that asked."""
    made = Task(**{**task, "raw": Path(task["raw"]), "out": Path(task["out"])})
    if name == "composition":
        found: Any = floor.composition(made.sampled_films(1))
    else:
        found = asdict(CONTESTANTS[name].run(made))
    path.write_text(json.dumps(found), encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Measured:
    """What all rounds gave."""

    runs: Mapping[str, Sequence[Run]]
    augment_s: Mapping[int, Sequence[float]]
    composed_us: Mapping[str, float]


def measure(options: argparse.Namespace) -> Measured:
    """Run every contestant that is asked for and installed, interleaved, each from an empty folder."""
    options.work.mkdir(parents=True, exist_ok=True)
    _say(f"films: {options.films:,} under {options.work}")
    raw = films.build(options.work, options.films)
    task = Task(raw, options.work / "out", options.copies, options.sample, options.jobs)
    names = [name for name in CONTESTANTS if name in options.only and not CONTESTANTS[name].missing]
    runs: dict[str, list[Run]] = {name: [] for name in names}
    augment_s: dict[int, list[float]] = {workers: [] for workers in WORKERS}
    for number in range(options.rounds):
        for name in names:
            runs[name].append(_timed(name, task))
            _say(f"round {number + 1}: {name}: {runs[name][-1].full_s:,.1f} s for the whole set")
        if "workers" in options.only:
            _time_workers(replace(task, out=options.work / "normalized"), augment_s)
    composed = _composed(task) if "composition" in options.only else {}
    shutil.rmtree(options.work / "normalized", ignore_errors=True)
    return Measured(runs, augment_s, composed)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _timed(name: str, task: Task) -> Run:
    finished, found = _in_child(name, task)
    outcome = Outcome(found["images"], found["work_s"], found["stages"])
    images = len(task.films) * (task.copies + 1)
    full_s = finished.wall_s - outcome.work_s + outcome.work_s * images / outcome.images
    return Run(finished.wall_s, full_s, finished.peak_mb, outcome)


def _in_child(name: str, task: Task) -> tuple[Any, Any]:
    """Run a contestant as a process that finds an empty folder and a quiet disk; return its times and its words."""
    shutil.rmtree(task.out, ignore_errors=True)
    task.out.mkdir(parents=True)
    os.sync()
    outcome = task.out.with_name("outcome.json")
    given = json.dumps(asdict(task), default=str)
    arguments = ["--contestant", name, "--task", given, "--outcome", str(outcome)]
    finished = finish([sys.executable, str(Path(__file__).resolve()), *arguments])
    found = json.loads(outcome.read_text(encoding="utf-8"))
    shutil.rmtree(task.out)
    outcome.unlink()
    return finished, found


def _time_workers(task: Task, augment_s: Mapping[int, list[float]]) -> None:
    """Time augment alone with one worker and with two, from the same normalized films."""
    if not task.out.exists():
        task.out.mkdir(parents=True)
        ours(task, pixels=floor.TODAY, stages=STAGES[:-1])
    for workers in augment_s:
        shutil.rmtree(task.out / "data" / "augmented", ignore_errors=True)
        os.sync()
        augment_s[workers].append(finish(stage_command("augment", task.out, jobs=workers)).wall_s)
        _say(f"augment alone, --jobs {workers}: {augment_s[workers][-1]:,.1f} s")
    shutil.rmtree(task.out / "data" / "augmented")


def _composed(task: Task) -> dict[str, float]:
    _, found = _in_child("composition", replace(task, sample=FILMS_COMPOSED))
    return dict(found)


def report(measured: Measured, options: argparse.Namespace) -> str:
    """Return the tables as Markdown."""
    images = options.films * (options.copies + 1)
    parts = [
        f"{options.films:,} films x {options.copies + 1} = {images:,} images; {options.jobs} workers; "
        f"medians of {options.rounds} rounds; samples of {options.sample:,} images stand for all. {machine()}",
        versions(),
        contest_table(measured, options.only, images),
        *(stage_table(name, runs, images) for name, runs in measured.runs.items() if len(runs[0].outcome.stages) > 1),
    ]
    if measured.augment_s[WORKERS[0]]:
        parts.append(workers_table(measured.augment_s, images))
    if measured.composed_us:
        parts.append(composition_table(measured.composed_us, options.copies))
    return "\n\n".join(parts)


def contest_table(measured: Measured, only: Sequence[str], images: int) -> str:
    """Return a row per contestant; ratios are of speeds, so that above 1 is faster."""
    full_s = {name: statistics.median(run.full_s for run in runs) for name, runs in measured.runs.items()}
    fastest_peer_s = min((seconds for name, seconds in full_s.items() if CONTESTANTS[name].peer), default=None)
    rows = [CONTEST_HEAD]
    for name, contestant in CONTESTANTS.items():
        if name in full_s:
            floor_s = full_s.get("floor" if contestant.pixels is floor.TODAY else "floor-2020")
            ratios = [_times(base_s, full_s[name]) for base_s in (full_s.get("recipe"), fastest_peer_s, floor_s)]
            rows.append([name, *_figures(measured.runs[name], images), *ratios])
        elif name in only:
            hint = f"{name}: not installed: pip install '.[bench]' ({', '.join(contestant.missing)})"
            rows.append([hint, *[""] * (len(CONTEST_HEAD) - 1)])
    what = "\n".join(f"- `{name}`: {contestant.what}" for name, contestant in CONTESTANTS.items() if name in only)
    return f"{markdown(rows)}\n\n{what}"


def _figures(runs: Sequence[Run], images: int) -> list[str]:
    full_s = [run.full_s for run in runs]
    middle_s = statistics.median(full_s)
    return [
        f"{runs[0].outcome.images:,}",
        f"{middle_s:,.1f}",
        f"{min(full_s):,.1f} to {max(full_s):,.1f}",
        f"{1000 * middle_s / images:.3f}",
        f"{images / middle_s:,.0f}",
        f"{max(run.peak_mb for run in runs):,.0f}",
    ]


def _times(base_s: float | None, seconds: float) -> str:
    return "" if base_s is None else f"{base_s / seconds:.2f}"


def stage_table(name: str, runs: Sequence[Run], images: int) -> str:
    """Return a row per stage of a contestant."""
    rows = [[f"stage of {name}", "s", "share", "s / 1,000 images", "peak MB"]]
    whole_s = statistics.median(run.outcome.work_s for run in runs)
    for stage in runs[0].outcome.stages:
        taken_s = statistics.median(run.outcome.stages[stage][0] for run in runs)
        peak_mb = max(run.outcome.stages[stage][1] for run in runs)
        figures = (f"{taken_s:,.2f}", f"{taken_s / whole_s:.0%}", f"{1000 * taken_s / images:.3f}", f"{peak_mb:,.0f}")
        rows.append([stage, *figures])
    return markdown(rows)


def workers_table(augment_s: Mapping[int, Sequence[float]], images: int) -> str:
    """Return a row per number of workers that augment ran with."""
    rows = [["workers of augment alone", "s", "s / 1,000 images", "x one worker"]]
    one_s = statistics.median(augment_s[WORKERS[0]])
    for workers, taken_s in augment_s.items():
        middle_s = statistics.median(taken_s)
        rows.append([str(workers), f"{middle_s:,.2f}", f"{1000 * middle_s / images:.3f}", f"{one_s / middle_s:.2f}"])
    return markdown(rows)


def composition_table(composed_us: Mapping[str, float], copies: int) -> str:
    """Return a row per library call, and what the floor's calls add up to."""
    rows = [["call, one core, page cache warm", "us, median"]]
    rows += [[name, f"{taken_us:,.1f}"] for name, taken_us in composed_us.items()]
    for name, pixels in (("floor", floor.TODAY), ("floor-2020", floor.RECIPE_2020)):
        rows.append([f"all calls of {name}, per image", f"{floor.per_image_us(composed_us, pixels, copies):,.1f}"])
    return markdown(rows)


def _plain(measured: Measured, options: argparse.Namespace) -> dict[str, Any]:
    shown = {name: getattr(options, name) for name in ("films", "copies", "rounds", "sample", "jobs")}
    return {
        **shown,
        "machine": machine(),
        "versions": {"python": platform.python_version(), **{name: told_version(name) for name in PACKAGES}},
        "runs": {name: [asdict(run) for run in runs] for name, runs in measured.runs.items()},
        "augment_s": measured.augment_s,
        "composition_us": measured.composed_us,
    }


if __name__ == "__main__":
    main()
