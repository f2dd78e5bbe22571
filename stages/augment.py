"""augment: the originals and N copies of every training film, each explained by the numbers that made it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa
from pydantic import Field, field_validator

from manifests import shards, store
from manifests.rows import NORMALIZED, AugmentedRow, NormalizedRow
from manifests.shards import ImageFolder
from stages import paths
from stages.contract import Machine, Params, ParamsError, Report, Root, Stage, StageError, counts
from stages.drawn import AUGMENTED
from stages.films import codec
from stages.films.chain import Chain, Interpolation, Margins
from stages.films.codec import Encoding
from stages.films.frame import Frame, Gray
from stages.films.geometry import Box
from stages.films.operations import Brightness, Drawn, Flip, Operation, Rotate
from stages.folder import Layout, image_columns, key_of, publish, refuse_stale


class AugmentParams(Params):
    """The recipe of the copies."""

    copies: int = Field(20, ge=0, le=9999, description="Copies of every training film, beside the original.")
    operations: tuple[Operation, ...] = Field(
        (Brightness(), Rotate(), Flip()), description="The chain, in its order; each kind at most once."
    )
    margins: Margins = Field(
        "cover",
        description="What a rotation lets in from beyond the frame: black (the 2020 recipe), reflect, replicate; "
        "cover zooms so far that nothing does.",
    )
    interpolation: Interpolation = Field(
        "bilinear", description="How the warp reads between pixels: nearest (the 2020 recipe) or bilinear."
    )
    seed: int = Field(0, description="Key of the draws, with the film's hash, the copy and the operation.")
    layout: Layout = Field(
        "shards",
        description="shards: Parquet files of images beside their rows; folder: split/label/name files.",
    )
    encoding: Encoding = Field("jpeg", description="jpeg, png or pgm; the last two are lossless.")
    quality: int = Field(95, ge=1, le=100, description="JPEG quality; the 2020 recipe used 75.")

    @field_validator("operations")
    @classmethod
    def _each_once(cls, operations: tuple[Operation, ...]) -> tuple[Operation, ...]:
        kinds = [operation.op for operation in operations]
        twice = sorted({kind for kind in kinds if kinds.count(kind) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} more than once; each operation fills its own columns once")
        return operations

    def chain(self, frame: Frame) -> Chain:
        """Return the chain of a frame."""
        return Chain(self.operations, self.margins, self.interpolation, frame, self.seed)


@dataclass(frozen=True, slots=True)
class AugmentJob:
    """The films whose copies make one shard."""

    shard: str
    films: tuple[NormalizedRow, ...]


def augment_one(
    film: NormalizedRow, image: Gray, *, chain: Chain, params: AugmentParams
) -> Iterator[tuple[Drawn, float, bytes]]:
    """Yield the drawn numbers, the unfilled share and the encoded bytes of the original, then of each copy."""
    shown = Box(film.film_left, film.film_top, film.film_right, film.film_bottom)
    for drawn in ({}, *chain.draws(film.film_id, params.copies)):
        copy, unfilled = chain.apply(image, drawn, film=shown)
        yield drawn, unfilled, codec.encode(copy, encoding=params.encoding, quality=params.quality)


def augment_shard(job: AugmentJob, *, params: AugmentParams, source: ImageFolder, frame: Frame, root: Root) -> pa.Table:
    """Read a shard's films, write their copies, return the rows' table."""
    folder = ImageFolder(root / paths.AUGMENTED, params.layout)
    if (table := folder.finished(job.shard, AUGMENTED)) is not None:
        return table
    chain = params.chain(frame)
    rows: list[AugmentedRow] = []
    images: list[bytes] = []
    for film, encoded in source.read_images(job.films):
        copies = augment_one(film, codec.decode(encoded), chain=chain, params=params)
        for copy, (drawn, unfilled, data) in enumerate(copies):
            path = f"{film.path.rpartition('.')[0]}-{copy:04d}{codec.SUFFIXES[params.encoding]}"
            stored_at = (job.shard, len(rows)) if params.layout == "shards" else (None, None)
            columns = image_columns(film, path=path, encoded=data, stored_at=stored_at)
            rows.append(AugmentedRow(**columns, copy=copy, unfilled=unfilled, drawn=drawn))
            images.append(data)
    return folder.write(job.shard, rows, images, AUGMENTED)


def jobs_of(films: Sequence[NormalizedRow], params: AugmentParams, frame: Frame) -> list[AugmentJob]:
    """Return a job per shard; its name carries all that decides its bytes, the films' pixels included."""
    by_id = {film.film_id: film for film in films}
    films_per_shard = max(1, shards.IMAGES_PER_SHARD // (params.copies + 1))
    jobs = []
    for prefix, ids in shards.plan(by_id, films_per_shard=films_per_shard).items():
        inside = tuple(by_id[film_id] for film_id in ids)
        pixels = [[film.sha256, film.film_left, film.film_top, film.film_right, film.film_bottom] for film in inside]
        key = {"films": key_of(params, inside), "pixels": pixels, "frame": [frame.height, frame.width]}
        jobs.append(AugmentJob(shards.shard_name(prefix, key), inside))
    return jobs


def run(params: AugmentParams, root: Root, machine: Machine) -> Report:
    """Write the originals and copies of every training film."""
    source = root / paths.NORMALIZED_MANIFEST
    films = [film for film in store.read(NORMALIZED, source) if film.split == "train" and film.status == "ok"]
    if not films:
        raise StageError(f"{source}: holds no training film; expected some; see {paths.SPLIT_SUMMARY}")
    refuse_stale(paths.NORMALIZED_MANIFEST, paths.SPLIT, root=root, stage="normalize")
    normalized = store.read_footer(source)
    frame = Frame(**normalized.facts["frame"])
    _refuse_what_cannot_be_covered(params, frame)
    work = partial(
        augment_shard,
        params=params,
        source=ImageFolder(root / paths.NORMALIZED, normalized.params["layout"]),
        frame=frame,
        root=root,
    )
    copies = params.copies + 1
    jobs = jobs_of(films, params, frame)
    tables = machine.fan_out(work, jobs, unit="images", weigh=lambda job: len(job.films) * copies)
    footer = store.Footer(
        params=params.model_dump(mode="json"),
        sources={
            paths.NORMALIZED_MANIFEST: store.file_sha256(source),
            paths.SPLIT: store.file_sha256(root / paths.SPLIT),
        },
        facts=normalized.facts,
    )
    table = publish(ImageFolder(root / paths.AUGMENTED, params.layout), tables, AUGMENTED, footer)
    return Report(
        done=len(table),
        unit="images",
        set_aside=counts(table.column("status").to_pylist()),
        lines=_lines(table, len(films), params),
        written=(paths.AUGMENTED_MANIFEST,),
    )


def _refuse_what_cannot_be_covered(params: AugmentParams, frame: Frame) -> None:
    if params.margins != "cover":
        return
    try:
        _ = params.chain(frame).least_zoom
    except ValueError as error:
        raise ParamsError(f"augment: margins 'cover' cannot hold: {error}; choose a smaller shift") from error


def _lines(table: pa.Table, films: int, params: AugmentParams) -> list[str]:
    unfilled = table.column("unfilled").to_numpy()
    size: Any = table.column("encoded_bytes").to_numpy().sum()
    return [
        f"{films:,} training films x {params.copies + 1}; margins {params.margins}, {params.interpolation}; "
        f"{unfilled.mean():.1%} of the pixels from outside the film, {size / 1e6:,.0f} MB"
    ]


STAGE = Stage("augment", AugmentParams, reads=(paths.SPLIT, paths.NORMALIZED), writes=(paths.AUGMENTED,), run=run)
