"""A plan against the run: what `plan` foretells from a sample, and what the commands then take.

python benchmarks/plan.py                                       300, 1,000 and 3,000 films, 1 and 2 workers, 2 rounds
python benchmarks/plan.py --films 300 --workers 2 --rounds 1    a quick look
python benchmarks/plan.py --set kermany-224 --films 1000,3000   films that are all different, of 224 x 224

The full-size set repeats its 279 films under other names, so that near duplicates are found by their thumbnails and
hardly sought: the audit's search takes less than any plan says. Films of kermany-224 are all different.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]  # started as a script, Python sees this folder alone

from benchmarks import films
from benchmarks.contestants import SPLIT
from benchmarks.memory import watch
from benchmarks.printed import machine, markdown, versions
from benchmarks.processes import WORK, RunError

STAGES = ("audit", "split", "normalize", "augment", "verify", "build")
FOLDERS = ("audit", "split", "normalized", "augmented")
COPIES = 20


@dataclass(frozen=True, slots=True)
class Told:
    """One stage of one run, foretold and measured.

    Attributes:
        cpu_s: processor time of all processes, measured.
        parent_mb, worker_mb: measured; 10^6 bytes.
        load: processes that ran or waited to, on average over the minute before.
    """

    round: int
    films: int
    workers: int
    stage: str
    plan_s: float
    plan_low_s: float
    plan_high_s: float
    seconds: float
    plan_cpu_s: float
    cpu_s: float
    load: float
    plan_parent_mb: float
    parent_mb: float
    plan_worker_mb: float
    worker_mb: float


@dataclass(frozen=True, slots=True)
class Kept:
    """One folder of one run, foretold and measured; bytes."""

    films: int
    folder: str
    plan_bytes: float
    plan_files: int
    size: int
    files: int


def main() -> None:
    """Foretell, run, and print both."""
    options = _options()
    options.work.mkdir(parents=True, exist_ok=True)
    told: list[Told] = []
    kept: dict[tuple[int, str], Kept] = {}
    taken: list[float] = []
    try:
        raw = {size: _raw(options, size) for size in options.films}
        for number in range(options.rounds):
            for workers in options.workers:
                found = calibrated(raw[max(raw)], workers, options)
                taken.append(found.taken_s)
                for size in options.films:
                    plan = planned(found, size, workers)
                    told += run(plan, raw[size], number, options, kept)
    except (RunError, FileNotFoundError) as error:
        raise SystemExit(f"plan: {error}") from error
    head = f"{options.set}; {COPIES} copies; {options.rounds} rounds; each calibration {statistics.median(taken):.0f} s"
    print(f"{machine()}\n\n{versions()}\n\n{head}.\n\n{time_table(told)}\n\n{disk_table(list(kept.values()))}")
    print(f"\n{memory_table(told)}")
    if options.json:
        options.json.write_text(json.dumps([asdict(one) for one in told], indent=1) + "\n", encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--films", default="300,1000,3000", help="sizes, by commas [300,1000,3000]")
    parser.add_argument("--workers", default="1,2", help="numbers of them, by commas [1,2]")
    parser.add_argument("--rounds", type=int, default=2, help="how often all is run [2]")
    parser.add_argument("--sample", type=int, default=128, help="films that are measured [128]")
    parser.add_argument(
        "--set", choices=("kermany-raw", "kermany-224"), default="kermany-raw", help="of the real films"
    )
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "cxr-pipeline-bench", help=WORK)
    parser.add_argument("--json", type=Path, help="file for every single figure")
    options = parser.parse_args()
    options.films = [int(size) for size in options.films.split(",")]
    options.workers = [int(number) for number in options.workers.split(",")]
    return options


def _raw(options: argparse.Namespace, size: int) -> Path:
    """Return a raw folder of so many films."""
    work: Path = options.work
    if options.set == "kermany-raw":
        return films.build(work, size)
    source = films.training_films()[0].parents[3] / "kermany-224" / "train"
    raw = work / f"films-224-{size}"
    if not raw.exists():
        for path in sorted(source.rglob("*.jp*g"), key=lambda path: path.name[::-1])[:size]:
            target = raw / "train" / path.parent.name / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    return raw


def calibrated(raw: Path, workers: int, options: argparse.Namespace) -> Any:
    """Return this machine's rates, as `cxr-pipeline plan --jobs` measures them."""
    from benchmarks.prepared import silent
    from pipeline.workers import Workers, dismiss
    from stages import plan
    from stages.contract import Machine

    fan_out = Workers(backend="loky", jobs=workers, track=silent)
    params = plan.PlanParams.model_validate({"sample": options.sample, "split": SPLIT, "train_share": 1.0})
    found = plan.measured(params, raw, Machine(fan_out=fan_out, track=silent, raw=raw))
    dismiss()
    return found


def planned(found: Any, size: int, workers: int) -> Any:
    """Return the plan of so many films."""
    from stages import plan

    params = plan.PlanParams.model_validate(
        {"films": size, "copies": COPIES, "workers": workers, "split": SPLIT, "train_share": 1.0}
    )
    return plan.report_of(params, found)


def run(
    plan: Any, raw: Path, number: int, options: argparse.Namespace, kept: dict[tuple[int, str], Kept]
) -> list[Told]:
    """Run the stages and return what each was to take, and took."""
    import yaml

    root = options.work / "planned"
    told = []
    for stage in STAGES:
        if stage in ("audit", "build"):
            shutil.rmtree(root, ignore_errors=True)
            root.mkdir(parents=True)
            (root / "params.yaml").write_text(yaml.safe_dump({"split": SPLIT}), encoding="utf-8")
            (root / "data").mkdir()
            (root / "data" / "raw").symlink_to(raw)
            os.sync()
        load, before = os.getloadavg()[0], os.times()
        peak = watch(stage, root, films=plan.films, jobs=plan.workers)
        after = os.times()
        cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
        foretold = plan.stages[stage]
        span = (foretold.seconds.middle, foretold.seconds.low, foretold.seconds.high)
        mb = 2**20 / 1e6
        memory = (foretold.parent_mb, peak.parent_mb * mb, plan.worker_mb, (peak.worker_mb or 0.0) * mb)
        cpu = (foretold.cpu_s, cpu_s, load)
        told.append(Told(number, plan.films, plan.workers, stage, *span, peak.wall_s, *cpu, *memory))
        _say(told[-1])
    for folder in FOLDERS:
        kept[plan.films, folder] = _kept(plan, folder, root / "data" / folder)
    shutil.rmtree(root)
    return told


def _say(told: Told) -> None:
    times = f"plan {told.plan_s:.1f} s, run {told.seconds:.1f} s; cores {told.plan_cpu_s:.1f} s, {told.cpu_s:.1f} s"
    line = f"round {told.round + 1}: {told.films:,} films, {told.workers} workers: {told.stage}: {times}"
    print(f"{line}; load {told.load:.1f}", file=sys.stderr, flush=True)


def _kept(plan: Any, folder: str, path: Path) -> Kept:
    found = [file for file in path.rglob("*") if file.is_file()]
    size, images = sum(file.stat().st_size for file in found), [file for file in found if file.parent != path]
    foretold = plan.folders[folder]
    return Kept(plan.films, folder, foretold.bytes.middle, foretold.files, size, len(images))


def time_table(told: Sequence[Told]) -> str:
    """Return a row per stage, size and number of workers: medians of the rounds, errors of each round's own plan."""
    head = ["stage", "films", "workers", "plan s", "its range", "measured s", "range", "error", "by round"]
    rows = [[*head, "load", "core s, plan", "core s", "error", "by round"]]
    for (stage, size, workers), some in _grouped(told).items():
        plan, found = [one.plan_s for one in some], [one.seconds for one in some]
        spans = [f"{min(one.plan_low_s for one in some):,.1f} to {max(one.plan_high_s for one in some):,.1f}"]
        errors = [one.plan_s / one.seconds - 1 for one in some]
        measured = (f"{statistics.median(found):,.1f}", f"{min(found):,.1f} to {max(found):,.1f}")
        by_round = ", ".join(f"{error:+.0%}" for error in errors)
        figures = (f"{statistics.median(plan):,.1f}", *spans, *measured, f"{statistics.median(errors):+.0%}", by_round)
        load = f"{statistics.median(one.load for one in some):.1f}"
        rows.append([stage, f"{size:,}", str(workers), *figures, load, *_cores(some)])
    return markdown(rows)


def _cores(some: Sequence[Told]) -> list[str]:
    """Return processor times, planned and used, and the errors: other work on the machine hardly changes them."""
    errors = [one.plan_cpu_s / one.cpu_s - 1 for one in some]
    plan, used = (statistics.median(getattr(one, name) for one in some) for name in ("plan_cpu_s", "cpu_s"))
    by_round = ", ".join(f"{error:+.0%}" for error in errors)
    return [f"{plan:,.1f}", f"{used:,.1f}", f"{statistics.median(errors):+.0%}", by_round]


def _grouped(told: Sequence[Told]) -> dict[tuple[str, int, int], list[Told]]:
    found: dict[tuple[str, int, int], list[Told]] = {}
    for one in sorted(told, key=lambda one: (STAGES.index(one.stage), one.films, one.workers)):
        found.setdefault((one.stage, one.films, one.workers), []).append(one)
    return found


def disk_table(kept: Sequence[Kept]) -> str:
    """Return a row per folder and size."""
    rows = [["folder", "films", "plan MB", "measured MB", "error", "shards planned", "shards"]]
    for one in kept:
        sizes = (f"{one.plan_bytes / 1e6:,.2f}", f"{one.size / 1e6:,.2f}", f"{one.plan_bytes / one.size - 1:+.1%}")
        rows.append([one.folder, f"{one.films:,}", *sizes, f"{one.plan_files:,}", f"{one.files:,}"])
    return markdown(rows)


def memory_table(told: Sequence[Told]) -> str:
    """Return a row per stage, size and number of workers: the largest of the rounds."""
    rows = [["stage", "films", "workers", "parent MB, plan", "parent MB", "worker MB, plan", "worker MB"]]
    for (stage, size, workers), some in _grouped(told).items():
        parent, worker = max(one.parent_mb for one in some), max(one.worker_mb for one in some)
        planned_worker = max(one.plan_worker_mb for one in some)
        figures = (f"{some[0].plan_parent_mb:,.0f}", f"{parent:,.0f}", f"{planned_worker:,.0f}", f"{worker:,.0f}")
        rows.append([stage, f"{size:,}", str(workers), *figures])
    return markdown(rows)


if __name__ == "__main__":
    main()
