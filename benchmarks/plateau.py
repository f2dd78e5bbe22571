"""The plateau of 2020: at batch size 300 the accuracy stood at the majority class's share. Reproduced, and removed.

python benchmarks/plateau.py                           every start and three seeds: some 15 minutes on two cores
python benchmarks/plateau.py --seeds 1 --updates 50    a quick look
python benchmarks/plateau.py --plot docs/plateau.svg   the curves too; runs that are done are not done again
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]  # started as a script, Python sees this folder alone

import torch  # noqa: E402 - after the path

from benchmarks.plateau_runs import AT_300, OTHERS, Task, every_run  # noqa: E402 - as above
from benchmarks.prepared import SHARED, Films, films_of, prepared, silent  # noqa: E402 - as above
from pipeline.workers import Workers  # noqa: E402 - as above
from stages.contract import Machine  # noqa: E402 - as above

HEIGHT, WIDTH = 96, 112  # 512 features enter alexnet's first linear layer


def main() -> None:
    """Run what has not been run yet, print the tables, draw the plot."""
    options = _options()
    torch.set_num_threads(options.jobs)
    train, val = films(options.films, options.work, options.jobs)
    levels = train.images / 255.0
    task = Task(train, val, float(levels.mean()), float(levels.std()))
    arms = [arm for arm in (*AT_300, *OTHERS) if not options.arms or arm.name in options.arms.split(";")]
    done = options.work / f"runs-{options.updates}.jsonl"
    runs = []
    for run in every_run(task, arms, seeds=options.seeds, updates=options.updates, done=done):
        print(
            f"{run.arm.name}, seed {run.seed}: {run.seconds:.0f} s", run.left(val.majority), file=sys.stderr, flush=True
        )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--films", type=Path, default=SHARED / "kermany-224")
    parser.add_argument("--updates", type=int, default=80, help="of every run [80]")
    parser.add_argument("--seeds", type=int, default=3, help="first weights and orders of the images [3]")
    parser.add_argument("--arms", default="", help="names of the starts to run, by semicolons [all]")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="threads [one per core]")
    parser.add_argument("--plot", type=Path, help="file for the curves: .svg or .png")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "cxr-pipeline-plateau")
    return parser.parse_args()


def films(raw: Path, work: Path, jobs: int) -> tuple[Films, Films]:
    """Return the training and the validation films."""
    on = Machine(fan_out=Workers(backend="loky", jobs=jobs, track=silent), track=silent, raw=raw)
    of_split = films_of(prepared(work, on, "squeeze", HEIGHT, WIDTH))
    return of_split["train"], of_split["val"]


if __name__ == "__main__":
    main()
