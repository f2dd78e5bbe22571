"""The arithmetic of a plan, from rates to what a set leaves on the disk, asks of an object store, and costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

import pyarrow as pa

from manifests.prefixes import films_by_prefix
from stages.planning.forecast import Size
from stages.planning.made_up import hashes
from stages.planning.rates import Rates

MOST_PLANNED = 1 << 14  # films whose shards are counted one by one; of more, as many times the shards of a part
SEAL_BYTES = 108  # of a manifest's footer for each shard: its name and its seal
THUMBNAIL_BYTES = 4096  # of a film, while the audit runs
FILMS_PER_GROUP = 32  # normalized films of 256 x 300 in a row group, which is one read (`manifests/shards.py`)
REPORTS = 3  # that `build` writes: the audit's JSON and page, the split's JSON


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

    Written are shards, manifests and reports. Read are each raw film once; of the normalized films each row group,
    and two more for the footer of the shard, by each augmented shard that takes films from it; and two of each
    manifest, its footer and its columns.
    """
    normalized, augmented = kept["normalized"], kept["augmented"]
    puts = normalized.files + augmented.files + len(kept) + REPORTS
    groups = ceil(normalized.images / FILMS_PER_GROUP)
    footers = 2 * max(normalized.files, augmented.files)
    return Requests(puts=puts, gets=size.films + groups + footers + 2 * len(kept))


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
