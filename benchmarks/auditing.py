"""The audit beside what else looks through a folder of films: whole processes, in turn, on real films.

python benchmarks/auditing.py                        1,000 full-size films, 3 rounds
python benchmarks/auditing.py --films 375 --rounds 1   a quick look

- header scan: Pillow opens each file and reads its size and mode, no pixel; one process.
- decode: Pillow decodes each film to grey and nothing else, on all cores; no audit can take less.
- cleanvision: its nine checks (dark, light, odd sizes, blurry, duplicates ...), on all cores; needs the bench extra.
- ours: `cxr-pipeline audit`, manifest, page and all.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]  # started as a script, Python sees this folder alone

from benchmarks import films
from benchmarks.printed import machine, markdown, versions
from benchmarks.processes import Finished, RunError, finish, stage_command

HEADERS = """
import sys
from pathlib import Path
from PIL import Image
for path in sorted(Path(sys.argv[1]).rglob("*.jpeg")):
    with Image.open(path) as image:
        image.size, image.mode
"""
DECODE = """
import sys
from pathlib import Path
from joblib import Parallel, delayed
from PIL import Image

def decode(path):
    with Image.open(path) as image:
        return image.convert("L").size

Parallel(int(sys.argv[2]))(delayed(decode)(path) for path in sorted(Path(sys.argv[1]).rglob("*.jpeg")))
"""
CLEANVISION = """
import sys
from cleanvision import Imagelab
Imagelab(data_path=sys.argv[1], verbose=False).find_issues(n_jobs=int(sys.argv[2]), verbose=False)
"""


def main() -> None:
    """Run the contestants in turn, round by round, and print what they took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--films", type=int, default=1000, help="films, real ones repeated under new names [1000]")
    parser.add_argument("--rounds", type=int, default=3, help="how often every contestant runs [3]")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="workers [one per core]")
    parser.add_argument("--work", type=Path, help="folder for the films [a temporary one]")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.work) as work:
        raw = films.build(Path(work), options.films)
        try:
            runs = measure(raw, options.rounds, options.jobs)
        except RunError as error:
            raise SystemExit(f"auditing: {error}") from error
    print(f"{machine()}\n\n{versions()}\n\n{options.films:,} films, {options.jobs} workers, {options.rounds} rounds.\n")
    print(table(runs, options.films))


def contestants(raw: Path, jobs: int) -> Mapping[str, Callable[[Path], list[str]]]:
    """Return the command of each contestant, which may write into an empty folder."""
    python = [sys.executable, "-c"]
    return {
        "header scan": lambda _out: [*python, HEADERS, str(raw)],
        "decode": lambda _out: [*python, DECODE, str(raw), str(jobs)],
        "cleanvision": lambda _out: [*python, CLEANVISION, str(raw), str(jobs)],
        "ours": lambda out: stage_command("audit", out, jobs=jobs, raw=raw),
    }


def measure(raw: Path, rounds: int, jobs: int) -> dict[str, list[Finished]]:
    """Return what each contestant took in each round."""
    runs: dict[str, list[Finished]] = {}
    for number in range(rounds):
        for name, command in contestants(raw, jobs).items():
            with tempfile.TemporaryDirectory(dir=raw.parent) as out:
                runs.setdefault(name, []).append(finish(command(Path(out))))
            print(f"round {number + 1}: {name}: {runs[name][-1].wall_s:.1f} s", file=sys.stderr, flush=True)
    return runs


def table(runs: Mapping[str, list[Finished]], number: int) -> str:
    """Return a row per contestant: medians over the rounds, and ratios within each round."""
    rows = [["contestant", "s, median", "range", "ms / film", "largest process, MB", "ours takes, of it"]]
    for name, of_name in runs.items():
        walls = [run.wall_s for run in of_name]
        ratios = [ours.wall_s / run.wall_s for ours, run in zip(runs["ours"], of_name, strict=True)]
        middle = statistics.median(walls)
        rows.append(
            [
                name,
                f"{middle:.2f}",
                f"{min(walls):.2f} to {max(walls):.2f}",
                f"{1000 * middle / number:.2f}",
                f"{max(run.peak_mb for run in of_name):,.0f}",
                f"{statistics.median(ratios):.2f}",
            ]
        )
    return markdown(rows)


if __name__ == "__main__":
    main()
