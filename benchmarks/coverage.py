"""Coverage: how often the 95 % intervals of the gap's parts hold the truth, where the truth is known.

python benchmarks/coverage.py                                500 simulations of 1,000 draws, with clusters and without
python benchmarks/coverage.py --simulations 50               a quick look

A film's three logits are normal about means that depend on its set and class, so that every recall is an integral.
With clusters half of the variance belongs to the patient, whose films therefore err together; without, none does, and
films are independent. Patients have 1 to 7 films. The test's logits are off by a bias as well, which is what its
threshold part consists of. For contrast the same gaps are given intervals that redraw films, as if each were a
patient of its own.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]  # started as a script, Python sees this folder alone

from benchmarks.printed import markdown
from stages.statistics.bootstrap import FilmSet, draw_recalls, find_patients
from stages.statistics.gap import FORWARD, PARTS, REFITTED, shares_among, take_apart
from stages.statistics.gap_summary import judged, summarize_gap
from stages.statistics.thresholds import fit_bias, in_second_half, refitted

CLASSES = ("normal", "bacterial", "viral")
PATIENTS = {"train": (60, 120, 60), "leak_probe": (20, 40, 20), "val": (30, 60, 30), "test": (60, 60, 40)}  # by class
MOST_FILMS = 7  # of a patient
COPIES, COPY_NOISE = 2, 0.3
MARGIN = {"train": 2.2, "augmented": 2.5, "leak_probe": 1.9, "val": 1.6, "test": 1.4}  # of the right class's logit
EASIER = np.array([0.5, 0.0, -0.3])  # by class, in every set
TEST_BIAS = np.array([-0.7, 0.2, 0.0])
CLUSTERED = 0.5  # share of the variance that is the patient's
UNITS = ("patients", "films")
SPLITS = tuple(PATIENTS)

Logits = NDArray[np.float64]  # (films, classes)


@dataclass(frozen=True, slots=True)
class Drawn:
    """A simulated set: of each film its patient, class and logits."""

    patients: NDArray[np.int64]
    labels: NDArray[np.int64]
    logits: Logits


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=500, help="of each kind [500]")
    parser.add_argument("--draws", type=int, default=1000, help="of each interval [1000]")
    options = parser.parse_args()
    start_s = time.perf_counter()
    kinds = {"with clusters": CLUSTERED, "without": 0.0}
    found = {kind: simulate(options.simulations, options.draws, patient_share=of) for kind, of in kinds.items()}
    error = 100 * math.sqrt(0.95 * 0.05 / options.simulations)
    print(table(found))
    print(
        f"\n{options.simulations:,} simulations of each kind, {options.draws:,} draws of each interval, "
        f"standard error about {error:.1f} points; {time.perf_counter() - start_s:.0f} s."
    )


def simulate(simulations: int, draws: int, *, patient_share: float) -> dict[str, Any]:
    """Return the share of intervals that hold the truth, by unit and part, and the mean truth and width of each."""
    names = ("total", *PARTS)
    held = {unit: dict.fromkeys((*names, "threshold, best bias"), 0) for unit in UNITS}
    wide = {unit: dict.fromkeys(names, 0.0) for unit in UNITS}
    truths = dict.fromkeys(names, 0.0)
    best = best_recalls()
    for number in range(simulations):
        sets = draw_sets(np.random.Generator(np.random.Philox(key=number)), patient_share)
        said, truth, at_best = judge(sets, best, seed=number)
        for name in names:
            truths[name] += truth[name] / simulations
        for unit in UNITS:
            gap = intervals_of(sets, said, unit=unit, draws=draws, seed=number)
            for name in names:
                held[unit][name] += gap[name]["low"] <= truth[name] <= gap[name]["high"]
                wide[unit][name] += (gap[name]["high"] - gap[name]["low"]) / simulations
            held[unit]["threshold, best bias"] += gap["threshold"]["low"] <= at_best <= gap["threshold"]["high"]
    shares = {unit: {name: of / simulations for name, of in found.items()} for unit, found in held.items()}
    return {"held": shares, "width": wide, "truth": truths}


# --- what is drawn -----------------------------------------------------------------------------------------------


def draw_sets(words: np.random.Generator, patient_share: float) -> dict[str, Drawn]:
    """Return one simulated study; half of the leak probe's patients have films in train."""
    sets: dict[str, Drawn] = {}
    effects: dict[int, NDArray[np.float64]] = {}
    known: list[list[int]] = [[] for _ in CLASSES]  # train's patients by class
    for name, counts in PATIENTS.items():
        patients, labels = [], []
        for label, count in enumerate(counts):
            for at in range(count):
                patient = known[label][at] if name == "leak_probe" and at < count // 2 else len(effects)
                effects.setdefault(patient, words.normal(size=3) * math.sqrt(patient_share))
                films = 1 if name == "leak_probe" else int(words.integers(1, MOST_FILMS + 1))
                patients += [patient] * films
                labels += [label] * films
                if name == "train":
                    known[label].append(patient)
        of_patient = np.array([effects[patient] for patient in patients])
        own = words.normal(size=(len(labels), 3)) * math.sqrt(1 - patient_share)
        logits = means(name)[labels] + of_patient + own
        sets[name] = Drawn(np.array(patients), np.array(labels), logits)
    return {"augmented": copies_of(sets["train"], words), **sets}


def copies_of(train: Drawn, words: np.random.Generator) -> Drawn:
    """Return the films and their copies, whose logits are the film's with noise, and a larger margin."""
    every = np.repeat(np.arange(len(train.labels)), COPIES + 1)
    labels = train.labels[every]
    noise = words.normal(size=(len(every), 3)) * COPY_NOISE
    moved = (means("augmented") - means("train"))[labels]
    return Drawn(train.patients[every], labels, train.logits[every] + noise + moved)


def means(name: str) -> NDArray[np.float64]:
    """Return the mean logits of each class's films, (classes, logits)."""
    return np.diag(MARGIN[name] + EASIER) + (TEST_BIAS if name == "test" else 0)


# --- the truth ---------------------------------------------------------------------------------------------------

GRID = np.linspace(-7, 7, 561)
NORMAL = np.exp(-(GRID**2) / 2) / math.sqrt(2 * math.pi) * (GRID[1] - GRID[0])


def true_recalls(of_means: NDArray[np.float64], *, sd: float = 1.0) -> NDArray[np.float64]:
    """Return P(the largest logit is the class's own), by the integral over that logit, for independent normals.

    Args:
        of_means: (classes, logits).
        sd: of each logit.
    """
    recalls = []
    for label, row in enumerate(of_means):
        below = [_cdf(GRID + (row[label] - row[other]) / sd) for other in range(len(row)) if other != label]
        recalls.append(float((NORMAL * np.prod(below, axis=0)).sum()))
    return np.array(recalls)


def _cdf(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.array([0.5 + 0.5 * math.erf(value / math.sqrt(2)) for value in values])


@cache
def true_recalls_of(name: str) -> NDArray[np.float64]:
    """Return the true recalls of a set as it is."""
    return true_recalls(means(name), sd=math.sqrt(1 + COPY_NOISE**2) if name == "augmented" else 1.0)


def best_recalls(films: int = 60_000) -> NDArray[np.float64]:
    """Return the test's true recalls under the bias that serves it best, fitted on more films than any study has."""
    words = np.random.Generator(np.random.Philox(key=2**64))
    shares = np.array(PATIENTS["test"]) / sum(PATIENTS["test"])
    labels = np.arange(films) % 3
    bias = fit_bias(means("test")[labels] + words.normal(size=(films, 3)), labels, shares)
    return true_recalls(means("test") + bias)


def judge(
    sets: Mapping[str, Drawn], best: NDArray[np.float64], *, seed: int
) -> tuple[dict[str, NDArray[np.int64]], dict[str, float], float]:
    """Return what is said of each film, the true parts, and the true threshold part of the best bias.

    Args:
        sets: what was drawn.
        best: the test's true recalls under the best bias.
        seed: decides the halves of the test.

    The truth of S* is that of the biases that were fitted, since the interval holds them fixed.
    """
    said = {name: found.logits.argmax(axis=1) for name, found in sets.items()}
    counts = {name: np.bincount(found.labels, minlength=3) for name, found in sets.items()}
    shares = {name: shares_among(counts[name], np.ones(3, np.bool_)) for name in ("train", "test")}
    test = sets["test"]
    groups = [str(patient) for patient in test.patients]
    odds = np.exp(test.logits)
    said[REFITTED] = refitted(odds / odds.sum(axis=1, keepdims=True), test.labels, groups, shares["test"], seed=seed)

    recalls = {name: true_recalls_of(name) for name in sets}
    recalls[REFITTED] = _true_refitted(test, groups, shares["test"], seed=seed)
    parts = take_apart(FORWARD, recalls, shares).accuracy
    truth = dict(zip(PARTS, parts.tolist(), strict=True))
    return said, {"total": float(parts.sum()), **truth}, float(shares["test"] @ (best - recalls["test"]))


def _true_refitted(test: Drawn, groups: Sequence[str], shares: NDArray[np.float64], *, seed: int) -> NDArray[Any]:
    """Return the true recalls of the test's films, each half of them under the bias of the other half."""
    second = in_second_half(groups, test.labels, seed=seed)
    right = np.zeros(3)
    for half in (second, ~second):
        bias = fit_bias(test.logits[~half], test.labels[~half], shares)
        right += true_recalls(means("test") + bias) * np.bincount(test.labels[half], minlength=3)
    return np.asarray(right / np.bincount(test.labels, minlength=3))


# --- the intervals -----------------------------------------------------------------------------------------------


def intervals_of(
    sets: Mapping[str, Drawn], said: Mapping[str, NDArray[np.int64]], *, unit: str, draws: int, seed: int
) -> dict[str, dict[str, float]]:
    """Return the total and the parts with their intervals, by redrawing patients or, against the rules, films."""
    every = {**sets, REFITTED: sets["test"]}
    groups = [group for name, found in every.items() for group in _groups(name, found, unit)]
    labels = np.concatenate([found.labels for found in every.values()])
    split = np.concatenate([np.full(len(found.labels), _split(name)) for name, found in every.items()])
    patients = find_patients(groups, labels, split)
    film_sets, start = {}, 0
    for name, found in every.items():
        film_sets[name] = FilmSet(patients.of_film[start : start + len(found.labels)], found.labels, said[name])
        start += len(found.labels)
    drawn = draw_recalls(list(film_sets.values()), patients, classes=3, draws=draws, seed=seed)
    gap = summarize_gap(judged(film_sets, dict(zip(film_sets, drawn, strict=True)), classes=3), CLASSES)
    return {"total": gap["total"], **gap["parts"]}


def _split(name: str) -> int:
    return SPLITS.index({"augmented": "train", REFITTED: "test"}.get(name, name))


def _groups(name: str, found: Drawn, unit: str) -> Iterator[str]:
    """Yield whose each film is: its patient's, or its own; a copy is its film's, S* judges the films of S."""
    of = SPLITS[_split(name)]
    for at, patient in enumerate(found.patients):
        film = at // (COPIES + 1) if name == "augmented" else at
        yield f"p{patient}" if unit == "patients" else f"{of}/{film}"


def table(found: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a row per part: its mean truth, and what each way of redrawing reaches with clusters and without."""
    head = ["part", "truth, points"]
    head += [f"{kind}: {unit}" for kind in found for unit in UNITS]
    rows = [head]
    first = next(iter(found.values()))
    for name in first["held"][UNITS[0]]:
        true = first["truth"].get(name)
        row = [name, "" if true is None else f"{100 * true:+.1f}"]
        for of_kind in found.values():
            for unit in UNITS:
                width = of_kind["width"][unit].get(name)
                wide = "" if width is None else f" ({100 * width:.1f})"
                row.append(f"{100 * of_kind['held'][unit][name]:.1f} %{wide}")
        rows.append(row)
    return markdown(rows)


if __name__ == "__main__":
    main()
