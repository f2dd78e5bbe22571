"""The arithmetic of a plan: rates of one film and one worker to the time, disk and memory of a set. Pure numbers.

A stage takes `start + serial + parallel`. The serial part is its parent's and no number of workers shortens it
(Amdahl, AFIPS 1967). The parallel part is the longest of three: what the workers have to do, shared among as many of
them as there are jobs, with half a job for those that wait for the last ones; what the parent has to do meanwhile; and
both together, shared among the cores.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

import pyarrow as pa

from manifests.prefixes import films_by_prefix
from stages.planning.made_up import hashes
from stages.planning.rates import Rates, StageRates

MOST_PLANNED = 1 << 14  # films whose shards are counted one by one; of more, as many times the shards of a part
SEAL_BYTES = 108  # of a manifest's footer for each shard: its name and its seal
FULL = 0.7  # of a shard's limit: what hash prefixes fill on average
THUMBNAIL_BYTES = 4096  # of a film, while the audit runs
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


# --- disk ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stored:
    """What a stage leaves on the disk.

    Attributes:
        images: how many.
        files: shards that hold them.
        image_bytes: of all shards.
        manifest_bytes: of the manifest beside them.
    """

    images: int
    files: int
    image_bytes: float
    manifest_bytes: float

    @property
    def file_bytes(self) -> float:
        """Of a shard, on average."""
        return self.image_bytes / self.files if self.files else 0.0


def stored(rates: Rates, size: Size) -> dict[str, Stored]:
    """Return what each stage leaves on the disk, in shards."""
    normalized = shards(size.usable, size.films_per_shard) if size.films_per_shard else size.usable
    augmented = shards(size.trained, size.trained_per_shard) if size.trained_per_shard else size.images
    return {
        "audit": Stored(0, 0, 0.0, rates.audit_row_bytes * size.films),
        "split": Stored(0, 0, 0.0, rates.split_row_bytes * size.usable),
        "normalized": Stored(
            size.usable,
            normalized,
            rates.normalized_bytes * size.usable,
            rates.normalized_row_bytes * size.usable + SEAL_BYTES * normalized,
        ),
        "augmented": Stored(
            size.images,
            augmented,
            rates.image_bytes * size.images,
            rates.augmented_row_bytes * size.images + SEAL_BYTES * augmented,
        ),
    }


def shards(films: int, most: int) -> int:
    """Return how many shards so many films make, by the very rule, on made-up hashes.

    Twice the films are one more bit of the hashes and twice the shards: so large sets are counted in part.
    """
    doubled = 0
    while films >> doubled > MOST_PLANNED:
        doubled += 1
    part = films >> doubled
    return len(films_by_prefix(pa.chunked_array([hashes(part, "film")], pa.string()), films_per_shard=most)) << doubled


# --- memory ----------------------------------------------------------------------------------------------------

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


# --- money -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """What whoever plans pays, in any currency.

    Attributes:
        core_hour: for a core, an hour.
        gb_month: for 10^9 bytes, a month.
        puts: for 1,000 objects written.
        gets: for 1,000 objects, or parts of them, read.
    """

    core_hour: float
    gb_month: float
    puts: float
    gets: float


@dataclass(frozen=True, slots=True)
class Requests:
    """What an object store would be asked by `build`, were each file one request and each row group another."""

    puts: int
    gets: int


def requests(size: Size, kept: Mapping[str, Stored]) -> Requests:
    """Return how many objects `build` would write, and how many reads it would ask for.

    Read are each raw film once, a footer and the columns of the row groups of each normalized shard, for each
    augmented shard that holds its films at least once, and the manifests.
    """
    files = kept["normalized"].files + kept["augmented"].files
    groups = ceil(kept["normalized"].images / 32) + 2 * max(kept["normalized"].files, kept["augmented"].files)
    return Requests(puts=files + len(kept) + 3, gets=size.films + groups + 2 * len(kept))


def cost(prices: Prices, size: Size, hours: float, kept: Mapping[str, Stored]) -> dict[str, float]:
    """Return what `build` costs, part by part."""
    asked = requests(size, kept)
    gb = sum(one.image_bytes + one.manifest_bytes for one in kept.values()) / 1e9
    return {
        "cores": prices.core_hour * size.workers * hours,
        "storage a month": prices.gb_month * gb,
        "writes": prices.puts * asked.puts / 1000,
        "reads": prices.gets * asked.gets / 1000,
    }
