"""WebDataset: tars of an image, its class and its row, shuffled over all of a split.

Where each sample begins in its tar is known before an image is read. So each file of images is read once, front to
back, by whichever worker, and its samples are put at their places: no image waits in memory for others of its tar.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from manifests.store import file_sha256, flush
from stages.contract import Machine, Made, StageError
from stages.exporting import tars
from stages.exporting.dealing import OfSplit
from stages.exporting.origin import Part, images_of, names_of, rows_of
from stages.exporting.published import naming
from stages.exporting.survey import Survey

ENDINGS: Mapping[str, str] = {".jpeg": "jpg", ".png": "png", ".pgm": "pgm"}  # by which webdataset's decoders go


@dataclass(frozen=True, slots=True)
class DealJob:
    """A part's images, and where each sample goes.

    Attributes:
        part: whose images.
        files: number of the tar, for each of its images.
        starts: where the sample begins in it.
        sizes: bytes that the sample takes there.
    """

    part: Part
    files: NDArray[np.int32]
    starts: NDArray[np.int64]
    sizes: NDArray[np.int64]


def tells_of(rows: pa.Table) -> list[bytes]:
    """Return every column of each row as JSON."""
    return [json.dumps(row, ensure_ascii=False, allow_nan=False).encode() for row in rows.to_pylist()]


def sample_sizes(rows: pa.Table) -> NDArray[np.int64]:
    """Return the bytes that each row's sample takes in a tar."""
    columns = (rows.column(name).to_pylist() for name in ("encoded_bytes", "label_index"))
    told = zip(*columns, tells_of(rows), strict=True)
    return np.array([tars.members_size((size, len(str(label)), len(tells))) for size, label, tells in told], np.int64)


def samples_of(part: Part, rows: pa.Table) -> Iterator[tuple[int, bytes]]:
    """Yield each image's members of a tar: the image, its class's index, its row."""
    names, labels, tells = names_of(rows), rows.column("label_index").to_pylist(), tells_of(rows)
    endings = [ENDINGS[Path(path).suffix] for path in rows.column("path").to_pylist()]
    for number, data in images_of(part, rows):
        name = names[number]
        yield (
            number,
            tars.member(f"{name}.{endings[number]}", data)
            + tars.member(f"{name}.cls", b"%d" % labels[number])
            + tars.member(f"{name}.json", tells[number]),
        )


def deal_one(job: DealJob, *, folder: Path, names: Sequence[str]) -> int:
    """Put the samples of a part at their places.

    Raises:
        StageError: where an image is not what its row says, or the set was changed meanwhile.
        OSError: where the disk is full.
    """
    rows, _ = rows_of(job.part)
    for number, sample in samples_of(job.part, rows):
        if len(sample) != job.sizes[number]:
            raise StageError(f"{job.part.origin.folder.manifest}: was changed during the export; run it again")
        put(folder / names[job.files[number]], sample, int(job.starts[number]))
    return len(rows)


def put(path: Path, data: bytes, start: int) -> None:
    """Write bytes at a place of a file that is there."""
    with naming(path):
        opened = os.open(path, os.O_WRONLY)
        try:
            while data:
                written = os.pwrite(opened, data, start)
                data, start = data[written:], start + written
        finally:
            os.close(opened)


def laid_out(path: Path, size: int) -> None:
    """Make a file of so many zeros, whose room on the disk is its own where the system can promise that."""
    with naming(path), path.open("xb") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        file.truncate(size)


def finish_one(name: str, *, folder: Path) -> dict[str, object]:
    """Wait until the disk has a tar, and return its size and digest."""
    path = folder / name
    flush(path)
    return {"bytes": path.stat().st_size, "sha256": file_sha256(path)}


def names_of_files(plan: Sequence[OfSplit]) -> list[str]:
    """Return the names of all tars, split by split."""
    return [f"{of_split.split}-{number:06d}.tar" for of_split in plan for number in range(len(of_split))]


def write(
    folder: Path, parts: Sequence[Part], survey: Survey, plan: Sequence[OfSplit], machine: Machine
) -> dict[str, dict[str, object]]:
    """Write the tars and return samples, bytes and digest of each, by its name."""
    names = names_of_files(plan)
    files, starts = np.empty(len(survey), np.int32), np.empty(len(survey), np.int64)
    for number, images in enumerate(images for of_split in plan for images in of_split.files()):
        ends = np.cumsum(survey.sizes[images])
        files[images], starts[images] = number, ends - survey.sizes[images]
        laid_out(folder / names[number], tars.archive_size(int(ends[-1])))
    firsts = np.cumsum(survey.of_parts) - survey.of_parts
    taken = np.flatnonzero(survey.of_parts)

    def made(number: int) -> DealJob:
        part = taken[number]
        own = slice(firsts[part], firsts[part] + survey.of_parts[part])
        return DealJob(parts[part], files[own], starts[own], survey.sizes[own])

    deal = partial(deal_one, folder=folder, names=names)
    jobs = Made(made, len(taken))
    for _ in machine.fan_out(deal, jobs, unit="images", weigh=_images, total=len(survey)):
        pass
    finished = machine.fan_out(partial(finish_one, folder=folder), names, unit="files")
    counts = [int(count) for of_split in plan for count in of_split.counts]
    return {name: {"samples": count, **told} for name, count, told in zip(names, counts, finished, strict=True)}


def _images(job: DealJob) -> int:
    return len(job.files)
