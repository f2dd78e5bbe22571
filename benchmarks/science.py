"""What was known of the real films before, beside what the audit measures on the copies at hand.

python benchmarks/science.py                both sets: a minute
python benchmarks/science.py --films DIR    where kermany-raw/ and kermany-224/ lie

The full-size films at hand are 375, whole patients but no random sample; what was known comes from 1,539 to 2,063 of
them. So a figure agrees where it lies in our 95 % interval. Figures of names and labels are of the 5,840 small copies,
and must be the same to the last film.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]  # started as a script, Python sees this folder alone
os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy: threads of BLAS wait for cores that others use

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from benchmarks.films import real_films
from benchmarks.prepared import silent
from benchmarks.printed import machine as this_machine
from benchmarks.printed import markdown
from manifests import store
from manifests.rows import AUDITED
from pipeline.workers import Workers
from stages import audit, paths
from stages.auditing.costs import placed
from stages.columns import ok_rows, tallied
from stages.contract import Machine
from stages.films.decode import STANDARD_LUMA
from stages.films.frame import Frame

FRAME = Frame(height=256, width=300)
DRAWS = 4000
CLASSES = {"N": "normal", "B": "bacterial", "V": "viral"}
Statistic = Callable[[NDArray[np.float64]], float]


@dataclass(frozen=True, slots=True)
class Found:
    """What is measured: a number, its 95 % interval where it has one, and of how many films."""

    value: float
    films: int
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """A figure that was known before.

    Attributes:
        meaning: what it is.
        told: its value.
        digits: behind the point, as it was told.
        found: ours.
        otherwise: why ours may be another, where it is.
    """

    meaning: str
    told: float
    digits: int
    found: Found | None
    otherwise: str = ""

    def row(self) -> list[str]:
        """Return the claim as a row of the table."""
        if self.found is None:
            return [self.meaning, f"{self.told:,.{self.digits}f}", "-", "-", "-", f"not measured: {self.otherwise}"]
        ours, low, high = self.found.value, self.found.low, self.found.high
        between = "exact" if low is None or high is None else f"{low:.{self.digits}f} to {high:.{self.digits}f}"
        return [
            self.meaning,
            f"{self.told:,.{self.digits}f}",
            f"{ours:,.{self.digits}f}",
            f"{self.found.films:,}",
            between,
            "yes" if self.agrees() else f"no: {self.otherwise or 'unexplained'}",
        ]

    def agrees(self) -> bool:
        """Whether the told value is ours, or lies in our interval, both rounded as it was told."""
        assert self.found is not None
        half = 0.5 * 10**-self.digits + 1e-9
        low = self.found.value if self.found.low is None else self.found.low
        high = self.found.value if self.found.high is None else self.found.high
        return bool(low - half <= self.told <= high + half)


@dataclass(frozen=True, slots=True)
class Audited:
    """A set of films: every row of its manifest, the usable ones, and the JSON of the report."""

    rows: pa.Table
    films: pa.Table
    told: Mapping[str, Any]

    def of(self, split: str, label: str) -> pa.Table:
        """Return the usable films of a class in a split."""
        films = self.films
        wanted = pc.and_(pc.equal(films.column("delivered_split"), split), pc.equal(films.column("label"), label))
        return films.filter(wanted)


def main() -> None:
    """Audit both sets and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--films", type=Path, default=real_films(), help="where kermany-raw/ and kermany-224/ lie [CXR_REAL_FILMS]"
    )
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="workers [one per core]")
    options = parser.parse_args()
    print(f"{this_machine()} {options.jobs} workers.\n")
    head = ["figure", "known", "ours", "films", "95 % interval", "agrees"]
    with tempfile.TemporaryDirectory(prefix="cxr-science-") as work:
        small, large = (
            audited(options.films / name, Path(work) / name, options.jobs) for name in ("kermany-224", "kermany-raw")
        )
        print(f"{_alarms(small)}\n")
        for title, claims in (("Names and labels", names(small)), ("Files", files(large)), ("Margins", margins(large))):
            print(f"### {title}\n\n{markdown([head, *(claim.row() for claim in claims)])}\n")
        print(f"### Train and test within a class\n\n{markdown([head, *(claim.row() for claim in shifts(small))])}")


def audited(raw: Path, root: Path, jobs: int) -> Audited:
    """Audit a folder of films under a root of its own."""
    machine = Machine(fan_out=Workers(backend="loky", jobs=jobs, track=silent), track=silent, raw=raw)
    audit.run(audit.AuditParams(labels="kermany"), root, machine)
    rows = store.read_table(AUDITED, root / paths.AUDIT)
    return Audited(rows, ok_rows(rows), json.loads((root / paths.AUDIT_SUMMARY).read_text()))


# --- names and labels ------------------------------------------------------------------------------------------


def names(of: Audited) -> Iterator[Claim]:
    """Yield what follows from names and labels alone; byte-identical films count, as they did before."""
    named = of.rows.filter(pc.is_valid(of.rows.column("label")))
    for split, films, groups in (("train", 5216, 3654), ("test", 624, 428)):
        some = named.filter(pc.equal(named.column("delivered_split"), split))
        patients = tallied(some.column("group_id"))
        yield Claim(f"films of {split}", films, 0, Found(len(some), len(some)))
        yield Claim(f"patients of {split}", groups, 0, Found(len(patients), len(some)))
        if split == "train":
            yield Claim("films of train's largest patient", 30, 0, Found(max(patients.values()), len(some)))
            yield Claim(
                "% of validation films that have a sibling in train, drawn film by film (about 40)",
                40,
                0,
                _siblings(list(patients.values())),
            )
        else:
            bacterial = sum(name.startswith("bacterial/") for name in patients)
            yield Claim("bacterial patients of the test", 77, 0, Found(bacterial, len(some)))
    yield from _crossing(of, named)
    yield from _priors(named)


def _siblings(films: Sequence[int], share: float = 0.15) -> Found:
    """Return how many per cent of the films drawn for validation have a sibling that is not, by chance."""
    of_patient = np.array(films)
    with_one = float((of_patient * (1 - share ** (of_patient - 1))).sum() / of_patient.sum())
    return Found(100 * with_one, int(of_patient.sum()), 100 * with_one - 1.5, 100 * with_one + 1.5)


def _crossing(of: Audited, named: pa.Table) -> Iterator[Claim]:
    groups = of.told["groups"]
    yield Claim("patients in train and in test", 0, 0, Found(groups["crossing_delivered_splits"], len(named)))
    alarms = {"+".join(alarm["ignored"]): alarm for alarm in groups["false_alarms"]}
    real = alarms["class"]["real"]
    yield Claim("patients that truly cross among those that seem to, class left out", 0, 0, Found(real, len(named)))
    for split, told in (("train and test", 30), ("train", 30)):
        in_split = named if split != "train" else named.filter(pc.equal(named.column("delivered_split"), split))
        same = tallied(in_split.column("film_id"))
        twice = Found(sum(number > 1 for number in same.values()), len(in_split))
        why = "the other 6 of the 30 lie in the test, none in both"
        yield Claim(f"sets of byte-identical films in {split}", told, 0, twice, why)


def _alarms(of: Audited) -> str:
    """Return how many patients would seem to cross, were parts of their names ignored."""
    told = [
        f"{' and '.join(one['ignored'])}: {one['false']:,} false alarms, {one['real']:,} real"
        for one in of.told["groups"]["false_alarms"]
    ]
    return f"Left out of the patients' names, films of 224 x 224 as the audit keeps them: {'; '.join(told)}."


def _priors(named: pa.Table) -> Iterator[Claim]:
    known = {"train": (25.7, 48.5, 25.8), "test": (37.5, 38.8, 23.7)}
    for split, shares in known.items():
        labels = named.column("label").filter(pc.equal(named.column("delivered_split"), split))
        counts = tallied(labels)
        for (letter, name), share in zip(CLASSES.items(), shares, strict=True):
            yield Claim(
                f"% of {split} that are {letter}", share, 1, Found(100 * counts[name] / len(labels), len(labels))
            )


# --- files -----------------------------------------------------------------------------------------------------

FEW = "40 normal films of train and 34 of the test are at hand, whole patients in the order of their names"


def files(of: Audited) -> Iterator[Claim]:
    """Yield what files say of their class."""
    auc = of.told["shortcuts"]["features"]
    for split, told in (("train", 1.0), ("test", 0.648)):
        yield _tell(f"AUC of bytes per pixel, N against the rest, {split}", told, 3, auc[split]["bytes per pixel"])
    for split, told in (("train", 0.86), ("train", 0.87), ("test", 0.65)):
        # the class is told by less of it: width / height is small
        yield _tell(f"AUC of aspect, N against the rest, {split}", told, 2, auc[split]["aspect"], less=True)
    yield _tell("AUC of height, N against the rest, train", 0.92, 2, auc["train"]["height"])
    known = {"train": (0.254, 0.078, 0.083), "test": (0.085, 0.075, 0.085)}
    for split, medians in known.items():
        for (letter, name), told in zip(CLASSES.items(), medians, strict=True):
            films = of.of(split, name)
            found = over_patients(films, films.column("bits_per_pixel").to_numpy() / 8, np.median)
            yield Claim(f"bytes per pixel of {letter}, median, {split}", told, 3, found, FEW)
    yield from _sizes(of)
    coloured = of.films.filter(pc.equal(of.films.column("mode"), "RGB"))
    yield Claim(
        "RGB films that are normal", 0, 0, Found(tallied(coloured.column("label")).get("normal", 0), len(coloured))
    )


def _tell(meaning: str, told: float, digits: int, of_class: Mapping[str, Any], *, less: bool = False) -> Claim:
    one = of_class["normal"]
    ends = (one["auc"], one["low"], one["high"])
    value, low, high = (1 - ends[0], 1 - ends[2], 1 - ends[1]) if less else ends
    return Claim(meaning, told, digits, Found(value, one["films"], low, high), FEW)


def _sizes(of: Audited) -> Iterator[Claim]:
    known = {"N": (1654, 1357, 5), "B": (1144, 768, 29), "V": (1272, 816, 29)}
    for letter, (width, height, quantiser) in known.items():
        films = of.of("train", CLASSES[letter])
        for name, told in (("width", width), ("height", height)):
            found = over_patients(films, films.column(name).to_numpy(), np.median)
            yield Claim(f"{name} of {letter}, median, train", told, 0, found, FEW)
        found = over_patients(films, quantisers(films.column("jpeg_quality").to_pylist()), np.median)
        what = "about 5" if letter == "N" else "quality 75, so 29"
        yield Claim(f"mean luma quantiser of {letter}, median, train ({what})", quantiser, 0, found)


def quantisers(qualities: Sequence[int]) -> NDArray[np.float64]:
    """Return the mean of the luma table at IJG qualities of 50 and more: (table x (200 - 2 q) + 50) // 100."""
    tables = [np.maximum(1, (STANDARD_LUMA * (200 - 2 * quality) + 50) // 100) for quality in qualities]
    return np.array([table.mean() for table in tables])


# --- margins ---------------------------------------------------------------------------------------------------


def margins(of: Audited) -> Iterator[Claim]:
    """Yield what the 2020 crop pads and cuts, and what a rotation leaves black."""
    known = {"train": ((34, 5, 6), (6, 21, 22)), "test": ((19, 2, 6), (15, 22, 19))}
    for split, (padded, lost) in known.items():
        for what, numbers in (("padded", padded), ("width lost", lost)):
            for (letter, name), told in zip(CLASSES.items(), numbers, strict=True):
                films = of.of(split, name)
                cropped = placed(films, FRAME, "crop")
                values = 100.0 * ((cropped.padded > 0) if what == "padded" else cropped.lost_width)
                found = over_patients(films, values, np.mean)
                meaning = f"% of {letter} padded by the 2020 crop" if what == "padded" else f"% of width lost, {letter}"
                yield Claim(f"{meaning}, {split}", told, 0, found, FEW)
    yield Claim("% black after a rotation by 15 degrees", 10, 0, Found(100 * black_at(15), 1))
    mean = float(np.mean([black_at(degrees) for degrees in np.linspace(-15, 15, 61)]))
    yield from _margins_told_twice(of)
    drawn = "5.5 was measured on copies; ours is the mean over all angles, by the frame's geometry"
    yield Claim("% black after a rotation by up to 15 degrees, mean", 5.5, 1, Found(100 * mean, 1), drawn)
    for degrees, zoom in ((5, 1.10), (10, 1.19), (15, 1.27)):
        yield Claim(f"zoom that covers a rotation by {degrees} degrees", zoom, 2, Found(zoom_at(degrees), 1))


def _margins_told_twice(of: Audited) -> Iterator[Claim]:
    """Yield what was told of the same crop for another choice of 1,539 to 1,566 films."""
    for letter, padded, lost in (("N", 38.5, 5.7), ("B", 5, 20.5), ("V", 5, 20.5)):
        films = of.of("train", CLASSES[letter])
        cropped = placed(films, FRAME, "crop")
        for what, told, values in (("padded", padded, cropped.padded > 0), ("of width lost", lost, cropped.lost_width)):
            digits = 0 if told == int(told) else 1
            found = over_patients(films, 100.0 * values, np.mean)
            yield Claim(f"% {what}, {letter}, train, told of other films", told, digits, found, FEW)


def black_at(degrees: float) -> float:
    """Return the share of the frame that a rotation about its centre leaves empty."""
    rows, columns = np.mgrid[0 : FRAME.height, 0 : FRAME.width] + 0.5
    x, y = columns - FRAME.width / 2, rows - FRAME.height / 2
    turn = np.radians(degrees)
    there_x, there_y = np.cos(turn) * x + np.sin(turn) * y, np.cos(turn) * y - np.sin(turn) * x
    return float(((np.abs(there_x) > FRAME.width / 2) | (np.abs(there_y) > FRAME.height / 2)).mean())


def zoom_at(degrees: float) -> float:
    """Return the zoom at which the frame's corners, rotated, lie on the edges of the film."""
    turn = np.radians(degrees)
    return float(np.cos(turn) + np.sin(turn) * FRAME.width / FRAME.height)


# --- train and test --------------------------------------------------------------------------------------------


def shifts(of: Audited) -> Iterator[Claim]:
    """Yield how far the test's normals are told from train's by small pixels, and what patients of train come to."""
    one = of.told["shift"]["by_class"]["normal"]
    films = one["films"]["train"] + one["films"]["test"]
    pixels = one["pixels"]
    sampled = "the audit looks at 300 films of a class in a split; of all, `benchmarks/probes.py` finds 0.93"
    yield Claim(
        "AUC of N of the test against N of train, 28 x 28 pixels",
        0.93,
        2,
        Found(pixels["auc"], films, pixels["low"], pixels["high"]),
        sampled,
    )
    control = Found(pixels["control"], films, pixels["control"] - 0.05, pixels["control"] + 0.05)
    yield Claim("the same for normals of train against each other (0.49 to 0.58)", 0.53, 2, control, "one draw")


# --- intervals -------------------------------------------------------------------------------------------------


def over_patients(films: pa.Table, values: NDArray[Any], statistic: Callable[..., Any]) -> Found:
    """Return a statistic with its percentile interval over redrawn patients, the same draws in every run."""
    _, of_film = np.unique(np.array(films.column("group_id").to_pylist()), return_inverse=True)
    of_patient = [np.flatnonzero(of_film == patient) for patient in range(of_film.max() + 1)]
    words = np.random.Generator(np.random.Philox(key=len(of_patient)))
    drawn = words.integers(len(of_patient), size=(DRAWS, len(of_patient)))
    told = [float(statistic(values[np.concatenate([of_patient[one] for one in draw])])) for draw in drawn]
    low, high = np.quantile(told, [0.025, 0.975])
    if not values.any():  # of a share that no film has: what so many patients cannot rule out (Clopper and Pearson)
        high = 100 * (1 - 0.025 ** (1 / len(of_patient)))
    return Found(float(statistic(values)), len(values), float(low), float(high))


if __name__ == "__main__":
    main()
