"""Probes on the 5,840 real films of 224 x 224: accuracies, parts of the gap, train told from test, careless splits.

python benchmarks/probes.py                                all of it: some minutes
python benchmarks/probes.py --draws 500 --splits 2 --seeds 1      a quick look
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]  # started as a script, Python sees this folder alone
os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy: threads of BLAS wait for cores that others use

import numpy as np
from numpy.typing import NDArray

from benchmarks import careless
from benchmarks.careless import MODELS, Pool
from benchmarks.films import real_films
from benchmarks.prepared import prepared, silent
from benchmarks.printed import machine as this_machine
from benchmarks.printed import markdown
from benchmarks.probe_gaps import (
    CLASSES,
    SPLITS,
    cross_validated_gap,
    default_gap,
    redrawn,
    threshold_by_halves,
)
from benchmarks.processes import WORK
from manifests import store
from manifests.rows import AUDITED, NORMALIZED
from pipeline.workers import Workers
from stages import paths, probing
from stages.contract import Machine
from stages.films.placement import Policy
from stages.probing import NEAREST, RIDGE, Films
from stages.reporting import text
from stages.scoring import Images, read_images
from stages.statistics.probes import told_apart
from stages.statistics.ridge import FOLDS, fit_ridge
from stages.statistics.scores import auc

PARTS = ("fit", "leakage", "prior", "shift", "threshold")
SUMS = ("fit + leakage", "shift + threshold")
EXPECTED = {  # points, known from another program on other splits; the 1-NN's shift and threshold are not given
    RIDGE: {
        "total": 10.6,
        "fit": 3.4,
        "leakage": -0.1,
        "prior": -2.0,
        "shift": 4.6,
        "threshold": 4.7,
        "fit + leakage": 3.3,
        "shift + threshold": 9.3,
    },
    NEAREST: {
        "total": 36.2,
        "fit": 28.6,
        "leakage": 1.1,
        "prior": -2.6,
        "fit + leakage": 29.7,
        "shift + threshold": 9.1,
    },
}
BLOCKS = 10
LEAST_DRAWS = 100  # where nobody reads the interval
FRAMES: Sequence[tuple[Policy, int, int]] = (("squeeze", 224, 224), ("squeeze", 256, 300), ("cover", 256, 300))


def main() -> None:
    """Measure and print."""
    options = _options()
    on = Machine(fan_out=Workers(backend="loky", jobs=options.jobs, track=silent), track=silent, raw=options.films)
    print(f"{this_machine()} {options.jobs} workers.\n")
    root = prepared(options.work, on, *FRAMES[0])
    images = read_images(root, paths.NORMALIZED, NORMALIZED)
    started = time.perf_counter()
    found = probing.summary(root, images, SPLITS, on)
    took = time.perf_counter() - started
    films = probing.read_films(root, images)
    every = every_file(root, images, films)
    print(f"All probes, films read from the disk: {took:.1f} s; {seconds_of_one_core(films):.1f} s of one core.\n")
    print(accuracy_table(found), ridge_table(options.work, on, films, every), sep="\n\n", end="\n\n")
    for name in MODELS:
        print(parts_table(name, root, films, every, options), end="\n\n")
    print(adversary_table(found, films), leak_table(images, films, options.seeds), sep="\n\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--films", type=Path, default=real_films() / "kermany-224", help="raw films [kermany-224 of CXR_REAL_FILMS]"
    )
    parser.add_argument("--draws", type=int, default=10_000, help="of the patients, for intervals [10000]")
    parser.add_argument("--splits", type=int, default=20, help="seeds of the default split [20]")
    parser.add_argument("--seeds", type=int, default=3, help="draws of the folds of careless splits [3]")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="workers [one per core]")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "cxr-pipeline-probes", help=WORK)
    return parser.parse_args()


def seconds_of_one_core(films: Films) -> float:
    """Return how long one core works on all probes, whatever else the machine does."""
    started = time.process_time()
    for asked in (*probing.questions(films, classes=len(CLASSES)).values(), *probing.adversaries(films, classes=3)):
        asked()
    return time.process_time() - started


def every_file(root: Path, images: Images, films: Films) -> Films:
    """Return all files as delivered, in two splits, the byte-identical ones that the audit sets aside among them."""
    place = {row.film_id: number for number, row in enumerate(images.rows)}
    rows = [row for row in store.read(AUDITED, root / paths.AUDIT) if row.film_id in place]
    of_row = [place[str(row.film_id)] for row in rows]
    return Films(
        labels=np.array([row.label_index for row in rows], np.int64),
        groups=[str(row.group_id) for row in rows],
        splits=np.array([str(row.delivered_split) for row in rows], np.str_),
        pixels=films.pixels[of_row],
        border=films.border[of_row],
        file=None,
    )


def accuracy_table(found: Mapping[str, Any]) -> str:
    """Return accuracy by probe and split, and the ridge's recalls."""
    models = found["models"]
    rows = [["accuracy, %", *SPLITS, "penalty"]]
    for name, model in models.items():
        of_splits = [_percent(model["splits"][of]["accuracy"]) for of in SPLITS]
        rows.append([name, *of_splits, str(model.get("penalty", text.UNKNOWN))])
    recalls = {of: models[RIDGE]["splits"][of]["recall"] for of in SPLITS}
    rows += [[f"ridge's recall, {label}", *(_percent(recalls[of][label]) for of in SPLITS), ""] for label in CLASSES]
    return markdown(rows)


def ridge_table(work: Path, on: Machine, films: Films, every: Films) -> str:
    """Return the ridge's accuracies in other settings: more films, the copies kept, penalties, frames."""
    delivered = _delivered(films)
    rows = [["ridge, %", "train", "cross-validated", "its recall on normals", "test", "test's recall on normals"]]
    rows.append(["expected", "79.8", text.UNKNOWN, "94 to 95", "69.2", "49"])
    rows.append(["all 5,840 files, chosen penalty", *_ridge_row(every, None)])
    rows.append(["without byte-identical films", *_ridge_row(delivered, None)])
    rows += [[f"so, penalty {penalty}", *_ridge_row(delivered, penalty)] for penalty in (0.1, 1.0)]
    for frame in FRAMES[1:]:
        root = prepared(work, on, *frame)
        again = probing.read_films(root, read_images(root, paths.NORMALIZED, NORMALIZED))
        rows.append([f"so, {frame[0]} into {frame[1]}x{frame[2]} first", *_ridge_row(_delivered(again), None)])
    return markdown(rows)


def _delivered(films: Films) -> Films:
    splits = np.where(films.splits == "test", "test", "train")
    return Films(films.labels, films.groups, splits, films.pixels, films.border, None)


def _ridge_row(films: Films, penalty: float | None) -> list[str]:
    train, test = (films.of(films.splits == of) for of in ("train", "test"))
    chosen = penalty or fit_ridge(train.pixels, train.labels, train.groups, classes=len(CLASSES)).penalty

    def said(known: Any, labels: Any, asked: Any) -> NDArray[np.intp]:
        return np.asarray(careless.ridge_scores(known, labels, asked, chosen).argmax(axis=1))

    held = careless.held_out(said, Pool(train.pixels, train.labels, train.groups, []), train.groups, seed=0)
    of_train, of_test = (said(train.pixels, train.labels, each.pixels) for each in (train, test))
    right = [np.mean(found == each.labels) for found, each in ((of_train, train), (held, train), (of_test, test))]
    normal = [np.mean(found[each.labels == 0] == 0) for found, each in ((held, train), (of_test, test))]
    return [_percent(number) for number in (right[0], right[1], normal[0], right[2], normal[1])]


def parts_table(name: str, root: Path, films: Films, every: Films, options: argparse.Namespace) -> str:
    """Return the parts of a probe's gap beside the notes': by the default split, over seeds, by cross-validation."""
    chosen = default_gap(name, films, options.draws)
    others = [default_gap(name, redrawn(root, films, seed), LEAST_DRAWS, seed=seed) for seed in range(options.splits)]
    crossed = cross_validated_gap(name, every, options.draws)
    head = [
        "default split",
        "95 % interval",
        f"mean of {options.splits} seeds",
        "SD",
        "cross-validated",
        "95 % interval",
    ]
    rows = [[f"{name}, points", "expected", *head]]
    for part in ("total", *PARTS, *SUMS):
        known = EXPECTED[name].get(part)
        values = [100 * _value(part, gap) for gap in others]
        of_seeds = [f"{np.mean(values):+.1f}", f"{np.std(values, ddof=1):.1f}"]
        told = text.UNKNOWN if known is None else f"{known:+.1f}"
        rows.append([part, told, *_ranged(part, chosen), *of_seeds, *_ranged(part, crossed)])
    off = [abs(sum(_value(part, gap) for part in PARTS) - gap["total"]["value"]) for gap in (chosen, *others, crossed)]
    halves = [100 * part for part in threshold_by_halves(name, every, options.splits)]
    return (
        f"{markdown(rows)}\n\nThe parts add up to the total within {max(off):.0e}. Over {len(halves)} draws of the "
        f"halves of the test, threshold is {np.mean(halves):+.1f}, SD {np.std(halves, ddof=1):.1f} (cross-validated)."
    )


def _ranged(part: str, gap: Mapping[str, Any]) -> list[str]:
    figure = gap["total"] if part == "total" else gap["parts"].get(part, {})
    return [text.points(_value(part, gap)), text.points_range(figure.get("low"), figure.get("high"))]


def _value(part: str, gap: Mapping[str, Any]) -> float:
    """Return the total, a part, or the sum of two parts."""
    if part == "total":
        return float(gap["total"]["value"])
    return float(sum(gap["parts"][each]["value"] for each in part.split(" + ")))


def adversary_table(found: Mapping[str, Any], films: Films) -> str:
    """Return by class how well the test is told from train, and blocks of neighbouring patients from train's rest."""
    rows = [["AUC, told from train", "test", "95 % interval", "random patients", f"{BLOCKS} blocks by number"]]
    for label, name in enumerate(CLASSES):
        known = found["adversarial"][name]
        of_blocks = ", ".join(f"{auc:.2f}" for auc in blocks_told(films, label))
        ends = f"[{known['low']:.2f}, {known['high']:.2f}]"
        rows.append([name, f"{known['auc']:.2f}", ends, f"{known['control']:.2f}", of_blocks])
    return markdown(rows)


def blocks_told(films: Films, label: int) -> list[float]:
    """Return how well tenths of train's patients, neighbours by number, are told from the other nine."""
    pool = films.of((films.labels == label) & (films.splits != "test"))
    groups = np.array(pool.groups)
    in_order = sorted(set(pool.groups), key=lambda group: int(group.rpartition("/")[2]))
    found = []
    for block in np.array_split(np.array(in_order), BLOCKS):
        apart = np.isin(groups, block)
        scores = told_apart(pool.pixels, apart, groups, [careless.PENALTY], 0).scores
        found.append(auc(scores[:, 1], apart))
    return found


def leak_table(images: Images, films: Films, seeds: int) -> str:
    """Return what careless splits hide: films drawn one by one, and copies drawn one by one."""
    train = films.of(films.splits != "test")
    pool = Pool(train.pixels, train.labels, train.groups, [f"film{number}" for number in range(len(train.labels))])
    copies = careless.with_copies(
        Images(images.folder, [row for row in images.rows if row.split != "test"], images.facts), 2
    )
    siblings = careless.with_siblings(pool)
    rows = [[f"held out in {FOLDS} parts, %", "careless", "by patient", "leakage, points", "95 % interval"]]
    for name, model in MODELS.items():
        for what, found in (
            ("films drawn one by one", careless.leak(model, pool, pool.images, seeds=seeds)),
            ("those of them with siblings", careless.leak(model, pool, pool.images, seeds=seeds, among=siblings)),
            ("2 copies each, images drawn one by one", careless.leak(model, copies, copies.images, seeds=1)),
        ):
            ends = text.points_range(found.low, found.high)
            hidden = text.points(found.careless - found.honest)
            rows.append([f"{name}: {what}", _percent(found.careless), _percent(found.honest), hidden, ends])
    own = careless.own_patient_nearest(pool)[siblings].mean()
    return (
        f"{markdown(rows)}\n\n{siblings.sum():,} of {len(siblings):,} films have siblings; of {_percent(own)} % of "
        "them the nearest film is one of the same patient."
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


if __name__ == "__main__":
    main()
