"""What a stage of images would write, keep and delete."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean
from typing import Generic, Protocol, TypeVar

import pyarrow as pa

from manifests.columns import Schema
from manifests.rows import FilmRow, ImageRow
from manifests.shards import SHARDS, ImageFolder
from stages.contract import Machine
from stages.foreseen.amounts import Amount, Foreseen, room

SAMPLE = 16  # films whose images are made in memory to learn how large they are
Film_co = TypeVar("Film_co", bound=FilmRow, covariant=True)
Film = TypeVar("Film", bound=FilmRow)
Row = TypeVar("Row", bound=ImageRow)


class Job(Protocol[Film_co]):
    """The films of one shard."""

    @property
    def shard(self) -> str:
        """The shard's name."""

    @property
    def films(self) -> Sequence[Film_co]:
        """Their rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked(Generic[Film, Row]):
    """A run of a stage that writes images.

    Attributes:
        where: its folder, relative to the root.
        folder: the same.
        schema: of its manifest.
        jobs: that it would do.
        unit: what an image is called, in the plural.
        per_film: images of a film.
        paths_of: where a film's images would lie in the folder layout.
        bytes_of: makes a film's images in memory and returns how many bytes they take.
    """

    where: str
    folder: ImageFolder
    schema: Schema[Row]
    jobs: Sequence[Job[Film]]
    unit: str
    per_film: int
    paths_of: Callable[[Film], Iterable[str]]
    bytes_of: Callable[[Film], int]


def foresee(asked: Asked[Film, Row], machine: Machine) -> Foreseen:
    """Return what a run would do; what stands already is read as the run would read it, to see that it is whole."""
    kept = _kept(asked, machine)
    write = _write(asked, [number for number in range(len(asked.jobs)) if number not in kept], machine)
    keep = Amount(
        verb="keep",
        where=asked.where,
        units=sum(len(asked.jobs[number].films) for number in kept) * asked.per_film,
        files=len(kept),
        bytes=sum(kept.values()),
    )
    doomed = asked.folder.others(_claimed(asked))
    delete = Amount(
        verb="delete",
        where=asked.where,
        files=len(doomed),
        bytes=sum((asked.folder.path / name).stat().st_size for name in doomed),
    )
    return Foreseen(
        unit=asked.unit,
        amounts=[write, *(amount for amount in (keep, delete) if amount.files)],
        lines=room(asked.folder.path, write.bytes),
    )


def _kept(asked: Asked[Film, Row], machine: Machine) -> dict[int, int]:
    """Return the bytes of each shard that a run would keep, by the number of its job."""
    on_disk = asked.folder.shards_on_disk() if asked.folder.layout == "shards" else {}
    there = {number: job.shard for number, job in enumerate(asked.jobs) if job.shard in on_disk}
    look = partial(_bytes_kept, folder=asked.folder, schema=asked.schema)
    sizes = machine.fan_out(look, list(there.values()), unit="shards")
    return {number: size for number, size in zip(there, sizes, strict=True) if size}


def _bytes_kept(shard: str, *, folder: ImageFolder, schema: Schema[Row]) -> int:
    """Return how many bytes a shard has, 0 where a run would write it anew."""
    if folder.finished(shard, schema) is None:
        return 0
    return (folder.path / SHARDS / shard).stat().st_size


def _write(asked: Asked[Film, Row], numbers: Sequence[int], machine: Machine) -> Amount:
    """Return what the jobs of these numbers would write; its bytes are those of a sample, multiplied."""
    films, sample = 0, list[Film]()
    each = max(1, SAMPLE // max(1, len(numbers)))  # hashes are chance: the first films of shards are any films
    for number in numbers:
        job = asked.jobs[number]
        films += len(job.films)
        sample += job.films[:each] if len(sample) < SAMPLE else ()
    sizes = list(machine.fan_out(asked.bytes_of, sample, unit="films"))
    images = films * asked.per_film
    return Amount(
        verb="write",
        where=asked.where,
        units=images,
        files=len(numbers) if asked.folder.layout == "shards" else images,
        bytes=round(fmean(sizes) * films) if sizes else 0,
        known_by=f"by the images of {len(sizes):,} films, made and thrown away" if sizes else "",
    )


def _claimed(asked: Asked[Film, Row]) -> pa.ChunkedArray:
    """Return the files that the run's manifest would claim."""
    return pa.chunked_array([pa.array(_files(asked, job), pa.string()) for job in asked.jobs], pa.string())


def _files(asked: Asked[Film, Row], job: Job[Film]) -> list[str]:
    if asked.folder.layout == "shards":
        return [f"{SHARDS}/{job.shard}"]
    return [path for film in job.films for path in asked.paths_of(film)]
