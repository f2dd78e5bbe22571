"""What build would write, at most: how many films it keeps is known when the audit has seen them."""

from __future__ import annotations

import hashlib
from functools import partial
from statistics import fmean

from manifests import source
from manifests.places import AnyPath
from stages import augment, paths
from stages.auditing.files import files_under
from stages.build import BuildParams
from stages.contract import Machine, Retry, Root, StageError, begin
from stages.films import codec, decode
from stages.foreseen.amounts import Amount, Foreseen, room
from stages.foreseen.augment import bytes_of
from stages.normalize import normalize_one

SAMPLE = 16  # raw films that are brought into the frame in memory, and copied there, to learn how large they become


def foresee(params: BuildParams, root: Root, machine: Machine) -> Foreseen:
    """Return what a run would do.

    Raises:
        StageError: where no film can be seen.
        ParamsError: where margins are to be covered and cannot be.
    """
    augment.refuse_what_cannot_be_covered(params.augment, params.normalize.frame)
    raw = machine.raw or root / paths.RAW
    files = files_under(raw)
    sample: list[str | None] = [*files[:: -(-len(files) // SAMPLE) or 1]]
    # nobody has looked at these files yet: one that ends its process, or hangs, is no film here either
    retry: Retry[str | None] = Retry(alone=lambda path, _: path, without=lambda _path, _failures: None)
    work = partial(_bytes_of, params=params, raw=raw)
    seen = [sizes for sizes in machine.fan_out(work, sample, unit="films", retry=retry) if sizes]
    if not seen:
        raise StageError(f"{raw}: none of {len(sample):,} files that were looked at is a film; expected some")
    normalized, augmented = (round(fmean(sizes) * len(files)) for sizes in zip(*seen, strict=True))
    known_by = f"at most, by {len(seen):,} films, made and thrown away"
    copies = params.augment.copies + 1
    write = [
        _at_most(paths.NORMALIZED, len(files), params.normalize.layout, normalized, known_by),
        _at_most(paths.AUGMENTED, len(files) * copies, params.augment.layout, augmented, known_by),
    ]
    return Foreseen(
        unit="images",
        amounts=write,
        lines=[
            f"{len(files):,} files under {raw}; which are films, and which of those are training films, the run finds "
            "out; shards of an earlier run that are still right are kept, and what nothing claims any more is deleted",
            *room(root / paths.NORMALIZED, normalized + augmented),
        ],
    )


def _at_most(where: str, units: int, layout: str, size: int, known_by: str) -> Amount:
    """Return what would be written were all files usable films, and all of them training films."""
    files = units if layout == "folder" else None
    return Amount(verb="write", where=where, units=units, files=files, bytes=size, known_by=known_by)


def _bytes_of(path: str | None, *, params: BuildParams, raw: AnyPath) -> tuple[int, int] | None:
    """Return how many bytes a film takes in the frame, and its original and copies; None of a file that is no film."""
    if path is None:
        return None
    begin(path)
    try:
        data = source.read(raw / path)
        image, _ = normalize_one(data, params=params.normalize)
    except (source.SourceError, decode.DecodeError):
        return None
    film_id = hashlib.sha256(data).hexdigest()
    in_frame = len(codec.encode(image, encoding=params.normalize.encoding))
    return in_frame, bytes_of(film_id, image, params=params.augment, frame=params.normalize.frame)
