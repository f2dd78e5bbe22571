"""The arithmetic of a plan: rates of one film and one worker to the time and memory of a set. Pure numbers.

A stage takes `start + serial + parallel`. The serial part is its parent's and no number of workers shortens it
(Amdahl, AFIPS 1967). The parallel part is the longest of three: what the workers have to do, shared among as many of
them as there are jobs, with half a job for those that wait for the last ones; what the parent has to do meanwhile; and
both together, shared among the cores.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

from stages.planning.rates import Rates, StageRates

FULL = 0.7  # of a shard's limit: what hash prefixes fill on average
FILMS_PER_FOLDER_JOB = 48  # where each image is a file, a job is as large as a shard of 20 copies would be


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large the set is, and how many work on it.

    Attributes:
        films: raw files.
        usable_share: share of them that the audit passes.
        train_share: share of those that copies are made of.
        copies: of each training film.
        workers: how many.
        cores: how many there are for them and the parent.
        looked_at: films that the audit searches for shortcuts, at most.
        films_per_shard: the most films that a shard of normalize holds; 0 where each image is a file.
        trained_per_shard: the same of augment.
    """

    films: int
    usable_share: float
    train_share: float
    copies: int
    workers: int
    cores: int
    looked_at: int
    films_per_shard: int
    trained_per_shard: int

    @property
    def usable(self) -> int:
        """How many films are normalized."""
        return ceil(self.films * self.usable_share)

    @property
    def trained(self) -> int:
        """How many films copies are made of."""
        return ceil(self.usable * self.train_share)

    @property
    def images(self) -> int:
        """How many augmented images there are."""
        return self.trained * (self.copies + 1)


@dataclass(frozen=True, slots=True)
class Taken:
    """How long a stage takes, in seconds.

    Attributes:
        start_s: however few the films.
        serial_s: of the parent alone.
        parallel_s: while workers work.
        parent_s: of the parent while workers work; `parallel_s` is never less.
        square_s: the part of `serial_s` that grows with the square of the films.
        cpu_s: processor time of all processes.
    """

    start_s: float
    serial_s: float
    parallel_s: float
    parent_s: float
    square_s: float
    cpu_s: float

    @property
    def total_s(self) -> float:
        """From start to end."""
        return self.start_s + self.serial_s + self.parallel_s

    @property
    def least_s(self) -> float:
        """What is left with any number of workers."""
        return self.start_s + self.serial_s + self.parent_s


def taken(
    rates: StageRates, units: int, job_units: float, *, size: Size, more_s: float = 0.0, after_s: float = 0.0
) -> Taken:
    """Return how long a stage takes.

    Args:
        rates: of the stage.
        units: films or images.
        job_units: how many of them a worker gets at once.
        size: of the set.
        more_s: of workers, beyond the units' share.
        after_s: of the parent alone, beyond the units' share.
    """
    work_s, parent_s = rates.work_s * units + more_s, rates.parent_s * units
    busy = min(size.workers, max(1, ceil(units / job_units)))
    waits_s = (1 - 1 / busy) * min(work_s, rates.work_s * job_units) / 2
    parallel_s = max(work_s / busy + waits_s, parent_s, (work_s + parent_s) / size.cores)
    square_s = rates.square_s * units**2
    serial_s = rates.serial_s * units + square_s + after_s
    cpu_s = rates.start_cpu_s + serial_s + work_s + parent_s
    return Taken(rates.start_s, serial_s, parallel_s, parent_s, square_s, cpu_s)


def times(rates: Rates, size: Size) -> dict[str, Taken]:
    """Return how long each stage takes, and `build`, which does the first four in one."""
    looked_at = min(size.films, size.looked_at)
    looked_s, after_s = rates.look_s * looked_at, rates.look_after_s * looked_at
    films, trained = (FULL * (most or FILMS_PER_FOLDER_JOB) for most in (size.films_per_shard, size.trained_per_shard))
    full = {"normalize": films, "augment": trained * (size.copies + 1)}
    each = {
        "audit": taken(rates.audit, size.films, 1, size=size, more_s=looked_s, after_s=after_s),
        "split": taken(rates.split, size.films, 1, size=size),
        "normalize": taken(rates.normalize, size.usable, full["normalize"], size=size),
        "augment": taken(rates.augment, size.images, full["augment"], size=size),
    }
    return {
        **each,
        "build": _together(each, rates, size),
        "verify": taken(rates.verify, size.images, full["augment"], size=size),
    }


def _together(each: Mapping[str, Taken], rates: Rates, size: Size) -> Taken:
    """Return how long `build` takes: its stages one behind the other, started once, each film decoded once."""
    work_s = rates.audit.work_s * size.films + rates.look_s * min(size.films, size.looked_at)
    work_s += rates.normalize.work_s * size.usable + rates.augment.work_s * size.images
    left = max(0.0, 1 - rates.build_saved_s * size.films / work_s) if work_s else 1.0
    parallel_s, parent_s = sum(one.parallel_s for one in each.values()), sum(one.parent_s for one in each.values())
    serial_s, square_s = sum(one.serial_s for one in each.values()), sum(one.square_s for one in each.values())
    cpu_s = rates.build_start_cpu_s + serial_s + work_s * left + parent_s
    return Taken(rates.build_start_s, serial_s, max(parallel_s * left, parent_s), parent_s, square_s, cpu_s)


# Of parents: bytes that each film adds to what a command takes on few films. For the audit by docs/performance.md,
# for the others by the runs of docs/scale.md, with 20 copies each.
PARENT_BYTES: Mapping[str, float] = {
    "audit": 1800.0,
    "split": 370.0,
    "normalize": 720.0,
    "augment": 610.0,
    "verify": 1500.0,
}


def parents_mb(few_mb: Mapping[str, float], size: Size) -> dict[str, float]:
    """Return the largest resident memory of each stage's parent; of `build`, of its largest stage.

    Args:
        few_mb: of each, on few films.
        size: of the set.
    """
    films = {name: size.trained if name == "augment" else size.films for name in PARENT_BYTES}
    each = {name: few_mb[name] + of_each * films[name] / 1e6 for name, of_each in PARENT_BYTES.items()}
    more_mb = max(each[name] - few_mb[name] for name in each if name != "verify")
    return {**each, "build": few_mb["build"] + more_mb}
