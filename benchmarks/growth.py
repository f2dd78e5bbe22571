"""Growth: the time per image as sets grow, and manifests of millions of rows.

python benchmarks/growth.py                              1,000 to 200,000 augmented images, manifests of 2,000,000 rows
python benchmarks/growth.py --images 1000,20000 --rows 200000 --rounds 1                             a quick look
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]  # started as a script, Python sees this folder alone

from benchmarks import films, floor
from benchmarks.contestants import BUILD, STAGES, Task, ours
from benchmarks.printed import machine, markdown, versions
from benchmarks.processes import WORK, RunError, finish, stage_command

if TYPE_CHECKING:
    import pyarrow as pa

COPIES = 20
ROWS_PER_TABLE = 700  # as many as come from a shard
QUERIED = ["film_id", "copy"]
QUERIES = 21


def main() -> None:
    """Measure and print."""
    options = _options()
    if options.manifest:
        print(json.dumps(MANIFEST_WORK[options.manifest](options.path, options.rows)))
        return
    try:
        taken = time_sets(options)
        options.work.mkdir(parents=True, exist_ok=True)
        manifests = {name: measure_manifest(name, options) for name in MANIFEST_WORK}
    except (RunError, FileNotFoundError) as error:
        raise SystemExit(f"growth: {error}") from error
    print(f"{machine()}\n\n{versions()}\n\n{options.jobs} workers; medians of {options.rounds} rounds.\n")
    print(growth_table(taken), manifest_table(manifests, options.rows), sep="\n\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", default="1000,20000,60000,109872,200000", help="augmented images, by commas")
    parser.add_argument("--rows", type=int, default=2_000_000, help="of the large manifest [2000000]")
    parser.add_argument("--rounds", type=int, default=3, help="how often every size is run [3]")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="workers [one per core]")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "cxr-pipeline-bench", help=WORK)
    parser.add_argument("--manifest", help=argparse.SUPPRESS)  # how a manifest's work gets a process of its own
    parser.add_argument("--path", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.sizes = sorted({max(1, round(int(size) / (COPIES + 1))) for size in options.images.split(",")})
    return options


def time_sets(options: argparse.Namespace) -> Mapping[int, Mapping[str, list[float]]]:
    """Return the seconds of `build` and of `augment` alone, per number of films and round."""
    sizes = options.sizes
    taken: dict[int, dict[str, list[float]]] = {size: {"build": [], "augment": []} for size in sizes}
    for number in range(options.rounds):
        for size in sizes:
            raw = films.build(options.work, size)
            out = options.work / "growth"
            shutil.rmtree(out, ignore_errors=True)
            out.mkdir(parents=True)
            task = Task(raw, out, COPIES, sample=0, jobs=options.jobs)
            os.sync()
            taken[size]["build"].append(ours(task, pixels=floor.TODAY, stages=BUILD).work_s)
            shutil.rmtree(out / "data" / "augmented")
            os.sync()
            taken[size]["augment"].append(finish(stage_command(STAGES[-1], out, jobs=options.jobs)).wall_s)
            shutil.rmtree(out)
            print(f"round {number + 1}: {size:,} films: {taken[size]['build'][-1]:.1f} s", file=sys.stderr, flush=True)
    return taken


def growth_table(taken: Mapping[int, Mapping[str, Sequence[float]]]) -> str:
    """Return a row per size; what an image more costs is counted from the size before: start-up is in neither."""
    head = ["films", "augmented images"]
    for name in ("build", "augment"):
        head += [f"{name} s", f"{name} us / image more"]
    rows = [head]
    before: Mapping[str, float] = {}
    smaller = 0
    for size, of_size in taken.items():
        middle_s = {name: statistics.median(seconds) for name, seconds in of_size.items()}
        row = [f"{size:,}", f"{size * (COPIES + 1):,}"]
        for name, taken_s in middle_s.items():
            more = (size - smaller) * (COPIES + 1)
            row += [f"{taken_s:.2f}", f"{1e6 * (taken_s - before[name]) / more:,.0f}" if before else ""]
        rows.append(row)
        before, smaller = middle_s, size
    return markdown(rows)


# --- manifests -------------------------------------------------------------------------------------------------


def measure_manifest(name: str, options: argparse.Namespace) -> tuple[float, float]:
    """Return the seconds that a manifest's work took by its own clock, and its process's peak in MB."""
    path = options.work / "manifest.parquet"
    arguments = ["--manifest", name, "--path", str(path), "--rows", str(options.rows), "--work", str(options.work)]
    finished = finish([sys.executable, str(Path(__file__).resolve()), *arguments])
    return float(json.loads(finished.output.splitlines()[-1])), finished.peak_mb


def tables(rows: int) -> Iterator[pa.Table]:
    """Yield tables of augmented rows as jobs give them, no two films alike."""
    import hashlib

    from stages.drawn import AUGMENTED

    for start in range(0, rows, ROWS_PER_TABLE):
        numbers = range(start, min(start + ROWS_PER_TABLE, rows))
        film_ids = [hashlib.sha256(b"%d" % (number // (COPIES + 1))).hexdigest() for number in numbers]
        columns: dict[str, Any] = {
            "film_id": film_ids,
            "path": [
                f"train/normal/IM-{number // (COPIES + 1):07d}-{number % (COPIES + 1):04d}.jpeg" for number in numbers
            ],
            "label": ["normal"] * len(numbers),
            "label_index": [0] * len(numbers),
            "group_id": [f"normal/IM/{number // (COPIES + 1)}" for number in numbers],
            "split": ["train"] * len(numbers),
            "status": ["ok"] * len(numbers),
            "shard": [f"{start:08d}.parquet"] * len(numbers),
            "index": [number - start for number in numbers],
            "sha256": [hashlib.sha256(b"image %d" % number).hexdigest() for number in numbers],
            "encoded_bytes": [16_000 + number % 1000 for number in numbers],
            "copy": [number % (COPIES + 1) for number in numbers],
            "unfilled": [0.0] * len(numbers),
            "angle_deg": [number % 1000 / 40 - 12 for number in numbers],
            "brightness": [0.8 + number % 997 / 2500 for number in numbers],
            "flipped": [number % 2 == 0 for number in numbers],
            "zoom": [1.27 + number % 991 / 20_000 for number in numbers],
        }
        yield AUGMENTED.table_of(columns, len(numbers))


def write(path: Path, rows: int) -> float:
    """Write a manifest of so many rows as augment does; making them up is counted."""
    from manifests import store
    from stages.drawn import AUGMENTED

    started = time.perf_counter()
    store.write_tables(tables(rows), AUGMENTED, path, store.Footer)
    return time.perf_counter() - started


def read(path: Path, rows: int) -> float:
    """Read and check all rows of a manifest, some at a time."""
    from manifests.verify import tables_of
    from stages.drawn import AUGMENTED

    started = time.perf_counter()
    found = sum(len(table) for table in tables_of(AUGMENTED, path))
    assert found == rows, f"found {found:,} rows; expected {rows:,}"
    return time.perf_counter() - started


def query(path: Path, _rows: int) -> float:
    """Read two columns of a manifest of the 2020 recipe's size; the median of some, the first left out."""
    import pyarrow.parquet as pq

    recipe = 5232 * (COPIES + 1)
    write(path, recipe)
    seconds = []
    for _ in range(QUERIES):
        started = time.perf_counter()
        assert len(pq.read_table(path, columns=QUERIED)) == recipe
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[1:])


MANIFEST_WORK = {"write": write, "read": read, "query": query}


def manifest_table(measured: Mapping[str, tuple[float, float]], rows: int) -> str:
    """Return a row per piece of work."""
    what = {
        "write": f"make up and write {rows:,} rows, as jobs give them",
        "read": f"read and check {rows:,} rows, {1 << 16:,} at a time",
        "query": f"read two columns of {5232 * (COPIES + 1):,} rows",
    }
    lines = [[what[name], f"{seconds:,.3f}", f"{peak_mb:,.0f}"] for name, (seconds, peak_mb) in measured.items()]
    return markdown([["manifest", "s", "peak MB"], *lines])


if __name__ == "__main__":
    main()
