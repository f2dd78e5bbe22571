"""Every image of a data set made anew: some films at a time, each raw film read and decoded once, and counted."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from manifests.places import AnyPath
from manifests.rows import AugmentedRow
from manifests.shards import ImageFolder
from stages import paths
from stages.contract import Root, StageError
from stages.drawn import AUGMENTED
from stages.proof.remake import Film, Made, Replayed, read_stored, replay_film

FILMS_PER_JOB = 48  # with 20 copies each about the images of one shard


@dataclass(frozen=True, slots=True)
class ReplayJob:
    """Some films, and the rows of their images in the augmented manifest.

    Attributes:
        films: whose images are made anew.
        rows: as an Arrow stream (`packed`): rows as objects would fill the parent's memory.
    """

    films: tuple[Film, ...]
    rows: bytes


@dataclass(frozen=True, slots=True)
class Tally:
    """What came of a job.

    Attributes:
        normalized: normalized films that were made anew.
        augmented: images of the augmented manifest that were, originals among them.
        same: of both, how many are byte for byte those of their rows and those stored.
        redrawn: copies whose numbers the seed gives again.
        copies: of `augmented`, all but the originals.
        differing: a sentence for each image that differs.
        unmade: a sentence for each film whose images cannot be made.
    """

    normalized: int = 0
    augmented: int = 0
    same: int = 0
    redrawn: int = 0
    copies: int = 0
    differing: tuple[str, ...] = ()
    unmade: tuple[str, ...] = ()


def replay_job(job: ReplayJob, *, made: Made, raw: AnyPath, root: Root) -> Tally:
    """Make every image of some films anew, each raw film read and decoded once; return what came of it."""
    rows = AUGMENTED.rows(unpacked(job.rows))
    of_film: dict[str, list[AugmentedRow]] = {}
    for row in rows:
        of_film.setdefault(row.film_id, []).append(row)
    normalized = ImageFolder(root / paths.NORMALIZED, made.normalize.layout)
    augmented = ImageFolder(root / paths.AUGMENTED, made.augmented_layout)
    stored = {**read_stored(normalized, [film.normalized for film in job.films]), **read_stored(augmented, rows)}
    replayed: list[Replayed] = []
    differing: list[str] = []
    unmade: list[str] = []
    for film in job.films:
        mine = of_film.get(film.normalized.film_id, [])
        try:
            again = list(replay_film(film, mine, made=made, raw=raw, stored=stored))
        except StageError as error:
            unmade.append(str(error))
            continue
        differing += [f"{image.row.path}: {image.problem()}" for image in again if not image.same]
        replayed += again
    images = [(one, one.row) for one in replayed if isinstance(one.row, AugmentedRow)]
    return Tally(
        normalized=len(replayed) - len(images),
        augmented=len(images),
        same=sum(one.same for one in replayed),
        redrawn=sum(one.redrawn for one, row in images if row.copy),
        copies=sum(row.copy > 0 for _, row in images),
        differing=tuple(differing),
        unmade=tuple(unmade),
    )


def packed(table: pa.Table) -> bytes:
    """Return a table as an Arrow stream."""
    stream = io.BytesIO()
    with pa.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table)
    return stream.getvalue()


def unpacked(data: bytes) -> pa.Table:
    """Return the table of an Arrow stream."""
    return pa.ipc.open_stream(data).read_all()


def jobs_of(films: Sequence[Film], rows: pa.Table) -> list[ReplayJob]:
    """Return a job for every few films, with their rows."""
    ids = pa.array([film.normalized.film_id for film in films], pa.string())
    position = pc.fill_null(pc.index_in(rows.column("film_id"), value_set=ids), -1).to_numpy()
    order = np.argsort(position, kind="stable")
    starts = np.searchsorted(position[order], np.arange(0, len(films) + FILMS_PER_JOB, FILMS_PER_JOB))
    return [
        ReplayJob(
            tuple(films[first : first + FILMS_PER_JOB]),
            packed(rows.take(order[starts[number] : starts[number + 1]])),
        )
        for number, first in enumerate(range(0, len(films), FILMS_PER_JOB))
    ]


def added(tallies: Sequence[Tally]) -> Tally:
    """Return what came of several jobs together."""
    return Tally(
        normalized=sum(tally.normalized for tally in tallies),
        augmented=sum(tally.augmented for tally in tallies),
        same=sum(tally.same for tally in tallies),
        redrawn=sum(tally.redrawn for tally in tallies),
        copies=sum(tally.copies for tally in tallies),
        differing=tuple(text for tally in tallies for text in tally.differing),
        unmade=tuple(text for tally in tallies for text in tally.unmade),
    )
