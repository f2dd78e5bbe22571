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
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]  # started as a script, Python sees this folder alone

import numpy as np
import torch

from benchmarks.films import real_films
from benchmarks.plateau_runs import AT_300, OTHERS, Arm, Run, Task, every_run
from benchmarks.prepared import Films, films_of, prepared, silent
from benchmarks.printed import LEARNING, machine, markdown, versions
from benchmarks.processes import WORK
from pipeline.workers import Workers
from stages.contract import Machine
from stages.reporting.plots import DASHES, STYLE, look_of

HEIGHT, WIDTH = 96, 112  # 512 features enter alexnet's first linear layer
GRADIENTS = ("gradient: first weights", "last weights", "last biases")
LAYERS = (*(f"convolution {number}" for number in range(1, 6)), *(f"linear {number}" for number in range(1, 4)))
ON_PAPER: Mapping[str, Any] = {  # no page to follow: a sheet of its own
    **dict.fromkeys(("axes.labelcolor", "legend.labelcolor", "text.color", "xtick.color", "ytick.color"), "#222222"),
    "axes.edgecolor": "#888888",
    "grid.color": "#dddddd",
    "svg.hashsalt": "plateau",
}


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
        print(f"{run.arm.name}, seed {run.seed}: {run.seconds:.0f} s", file=sys.stderr, flush=True)
        runs.append(run)
    print(f"{machine()}\n\n{versions(LEARNING)}\n\n{facts(task)}\n")
    print(start_table(runs, val.majority), layer_table(runs), sep="\n\n")
    if options.plot:
        plot(runs, (train.majority, val.majority), options.plot)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--films", type=Path, default=real_films() / "kermany-224", help="raw films [kermany-224 of CXR_REAL_FILMS]"
    )
    parser.add_argument("--updates", type=int, default=80, help="of every run [80]")
    parser.add_argument("--seeds", type=int, default=3, help="first weights and orders of the images [3]")
    parser.add_argument("--arms", default="", help="names of the starts to run, by semicolons [all]")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="threads [one per core]")
    parser.add_argument("--plot", type=Path, help="file for the curves: .svg or .png")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "cxr-pipeline-plateau", help=WORK)
    return parser.parse_args()


def films(raw: Path, work: Path, jobs: int) -> tuple[Films, Films]:
    """Return the training and the validation films."""
    on = Machine(fan_out=Workers(backend="loky", jobs=jobs, track=silent), track=silent, raw=raw)
    of_split = films_of(prepared(work, on, "squeeze", HEIGHT, WIDTH))
    return of_split["train"], of_split["val"]


def facts(task: Task) -> str:
    """Return what the majority's share is, and the loss of who knows the classes' shares and no more."""
    shares = np.bincount(task.train.labels) / len(task.train)
    entropy = -(shares * np.log(shares)).sum()
    return (
        f"{len(task.train):,} training films, 20 copies of each, {len(task.val)} validation films; the largest class "
        f"is {task.train.majority:.1%} of train, {task.val.majority:.1%} of val; to know the shares alone costs a "
        f"loss of {entropy:.3f}."
    )


def start_table(runs: Sequence[Run], majority: float) -> str:
    """Return a row per start: when each seed left the plateau, and what its network was like before that."""
    head = ["start", "left after updates", "val accuracy at the end", "val logits' SD", *GRADIENTS]
    rows = [head]
    for arm, of_arm in by_arm(runs).items():
        left = [run.left(majority) for run in of_arm]
        each = ", ".join(
            str(updates) if updates else f"> {run.looks[-1]}" for run, updates in zip(of_arm, left, strict=True)
        )
        ends = [run.val_accuracy[-1] for run in of_arm]
        ended = f"{np.mean(ends):.1%} ({min(ends):.1%} to {max(ends):.1%})"
        spread = np.mean([run.val_spread[0] for run in of_arm])
        norms = np.mean([run.gradients for run in of_arm], axis=0)
        rows.append([arm.name, each, ended, f"{spread:.2g}", *(f"{norm:.2g}" for norm in norms)])
    return markdown(rows)


def layer_table(runs: Sequence[Run]) -> str:
    """Return a row per layer: what share of its outputs' size depends on the film, before the first update."""
    starts = {
        arm: np.mean([run.layers for run in of_arm], axis=0) for arm, of_arm in by_arm(runs).items() if arm in AT_300
    }
    rows = [["layer", *(arm.name for arm in starts)]]
    for number, shares in enumerate(zip(*starts.values(), strict=True)):
        rows.append([LAYERS[number], *(f"{share:.1%}" for share in shares)])
    return markdown(rows)


def by_arm(runs: Sequence[Run]) -> dict[Arm, list[Run]]:
    """Return each start's runs, by seed."""
    found = {
        arm: sorted((run for run in runs if run.arm == arm), key=lambda run: run.seed) for arm in (*AT_300, *OTHERS)
    }
    return {arm: of_arm for arm, of_arm in found.items() if of_arm}


def plot(runs: Sequence[Run], majorities: tuple[float, float], path: Path) -> None:
    """Draw accuracy on the batches and on val, and the logits' spread, over the updates: a line per seed."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    settings: Any = {**STYLE, **ON_PAPER}
    with mpl.rc_context(settings):
        figure, panels = plt.subplots(3, 2, figsize=(9, 9), sharex=True, sharey="row", layout="constrained")
        for column, arms in enumerate((AT_300, OTHERS)):
            for panel, majority in zip(panels[:, column], majorities, strict=False):
                panel.axhline(majority, color="#222222", linewidth=1, linestyle=DASHES)
            for arm, of_arm in by_arm(runs).items():
                if arm in arms:
                    draw(panels[:, column], arm, of_arm)
            for panel in panels[:, column]:
                panel.grid(visible=True)
            panels[2, column].set(xlabel="updates", yscale="log")
            panels[0, column].legend(
                *panels[1, column].get_legend_handles_labels(), loc="lower left", bbox_to_anchor=(0, 1), ncols=2
            )
        panels[0, 0].set(ylabel="accuracy on the batches\n(mean of 10)")
        panels[1, 0].set(ylabel="accuracy on validation films")
        panels[2, 0].set(ylabel="SD of the logits over validation films")
        panels[2, 0].yaxis.set_major_formatter("{x:g}")
        figure.savefig(path, metadata={"Date": None, "Creator": None} if path.suffix == ".svg" else {})


def draw(panels: Sequence[Any], arm: Arm, runs: Sequence[Run]) -> None:
    """Draw a start's runs, each a line, into the three panels of a column: SGD dashed."""
    alike = next(
        place
        for place, other in enumerate(AT_300)
        if (other.initialisation, other.input) == (arm.initialisation, arm.input)
    )
    look = {**look_of(alike, arm.name), "linestyle": DASHES if arm.optimizer == "sgd" else "-", "linewidth": 1.2}
    for run in runs:
        means = np.convolve(run.accuracy, np.ones(10) / 10, mode="valid")
        panels[0].plot(np.arange(len(means)) + 10, means, **{**look, "marker": None})
        for panel, values in ((panels[1], run.val_accuracy), (panels[2], run.val_spread)):
            panel.plot(run.looks, values, **look, markersize=4)
        look["label"] = None


if __name__ == "__main__":
    main()
