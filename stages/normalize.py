"""normalize: every film in one frame, grayscale, lossless."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import Any, Literal

import pyarrow as pa
from pydantic import Field

from manifests import shards, source, store
from manifests.places import AnyPath, joined
from manifests.rows import NORMALIZED, SPLIT, SplitRow
from manifests.shards import ImageFolder
from stages import paths
from stages.ahead import Ahead
from stages.columns import ok_rows
from stages.contract import Failure, Machine, Made, Params, Report, Root, Stage, StageError, begin
from stages.films import codec, decode
from stages.films.frame import Frame, Gray
from stages.films.placement import Placement, Policy, fit, place
from stages.folder import (
    Layout,
    failed_columns,
    image_columns,
    image_path,
    kept_line,
    key_of,
    publish,
    refuse_stale,
    shard_jobs,
    shard_retry,
    withdraw,
)
from stages.leaks import leak_warning

FILMS_PER_SHARD = 128  # fewer than a shard of copies holds images: small sets keep all workers busy


class NormalizeParams(Params):
    """How a film comes into the frame."""

    policy: Policy = Field(
        "cover",
        description="crop: shorter side to the frame's, centre crop, black where the film is narrower (the 2020 "
        "recipe); cover: fill the frame, nothing black; letterbox: the whole film, black around it; "
        "squeeze: both sides to the frame's, aspect lost.",
    )
    height: int = Field(256, ge=8, le=4096, description="Height of the frame in pixels.")
    width: int = Field(300, ge=8, le=4096, description="Width of the frame in pixels.")
    layout: Layout = Field(
        "shards",
        description="shards: Parquet files of images beside their rows; folder: split/label/name files.",
    )
    encoding: Literal["pgm", "png"] = Field("pgm", description="Both lossless; pgm costs no time, png less disk.")

    @property
    def frame(self) -> Frame:
        """The common frame."""
        return Frame(height=self.height, width=self.width)


@dataclass(frozen=True, slots=True)
class NormalizeJob:
    """The films of one shard, and those that would be in it, had they not ended their process."""

    shard: str
    films: tuple[SplitRow, ...]
    failed: tuple[tuple[SplitRow, Failure], ...] = ()


def normalize_one(data: bytes, *, params: NormalizeParams) -> tuple[Gray, Placement]:
    """Return a raw film's bytes as grey levels in the frame, and how it came there.

    Raises:
        DecodeError: where the bytes are no usable film.
    """
    header, image = decode.decode(data)
    placement = place(header.frame, frame=params.frame, policy=params.policy)
    return fit(image, placement), placement


def normalize_shard(
    job: NormalizeJob, *, params: NormalizeParams, raw: AnyPath, root: Root, ahead: Ahead | None = None
) -> pa.Table:
    """Write a shard's films and return their rows' table."""
    folder = ImageFolder(root / paths.NORMALIZED, params.layout, params.model_dump(mode="json"))
    if (table := folder.finished(job.shard, NORMALIZED)) is not None:
        return table
    kept = ahead.found(film.film_id for film in job.films) if ahead is not None else {}
    images, placements = [], []
    for film in job.films:
        begin(film.film_id)
        image, placement = kept.get(film.film_id) or normalize_film(film, params=params, raw=raw)
        images.append(codec.encode(image, encoding=params.encoding))
        placements.append(placement_columns(placement))
    columns = {
        **image_columns(job.films, 1, images, shard=job.shard if params.layout == "shards" else None),
        "path": [path_of(film, params) for film in job.films],
        **{name: [placed[name] for placed in placements] for name in placements[0]},
    }
    table = NORMALIZED.table_of(columns, len(images))
    folder.write(job.shard, table, images)
    return table


def path_of(film: SplitRow, params: NormalizeParams) -> str:
    """Return where a normalized film lies, or would lie, in the folder layout."""
    return image_path(film, PurePosixPath(film.path).stem, codec.SUFFIXES[params.encoding])


def normalize_job(
    job: NormalizeJob, *, params: NormalizeParams, raw: AnyPath, root: Root, ahead: Ahead | None = None
) -> pa.Table:
    """Write a shard's films and return their rows' table, with the rows of the films that failed."""
    tables = [normalize_shard(job, params=params, raw=raw, root=root, ahead=ahead)] if job.films else []
    return pa.concat_tables([*tables, *([failed_table(job.failed, params)] if job.failed else [])])


def failed_table(failed: Sequence[tuple[SplitRow, Failure]], params: NormalizeParams) -> pa.Table:
    """Return a row for each film that no image could be made of."""
    films = [film for film, _ in failed]
    columns = failed_columns(films, [failure for _, failure in failed], [path_of(film, params) for film in films])
    return NORMALIZED.table_of(columns, len(films))


def normalize_film(film: SplitRow, *, params: NormalizeParams, raw: AnyPath) -> tuple[Gray, Placement]:
    """Return a film of the split in the frame, and how it came there.

    Raises:
        StageError: where the film is gone, is not what the audit saw, or was usable to the audit's codecs alone.
    """
    try:
        return normalize_one(read_raw(raw, film), params=params)
    except decode.DecodeError as error:
        raise StageError(
            f"{raw / film.path}: the audit could read it, now it is {error.status} ({error}); run the audit again"
        ) from error


def read_raw(raw: AnyPath, film: SplitRow) -> bytes:
    """Return a raw film's bytes.

    Raises:
        StageError: where the film is gone or is not what the audit saw.
    """
    try:
        data = source.read(raw / film.path)
    except source.SourceError as error:
        if error.status == "missing":
            moved = "point --raw at where the films lie now, or run the audit again"
            raise StageError(f"{raw / film.path}: not there, though the audit saw it; {moved}") from error
        raise StageError(f"{raw / film.path}: cannot be read ({error}); run the audit again") from error
    found = hashlib.sha256(data).hexdigest()
    if found != film.film_id:
        raise StageError(
            f"{raw / film.path}: has changed since the audit (sha256 {found[:12]}, expected {film.film_id[:12]}); "
            "run the audit again"
        )
    return data


def placement_columns(placement: Placement) -> dict[str, Any]:
    """Return the columns that say how a film came into the frame."""
    shown = placement.shown
    return {
        "scale_x": placement.scale_x,
        "scale_y": placement.scale_y,
        "film_left": shown.left,
        "film_top": shown.top,
        "film_right": shown.right,
        "film_bottom": shown.bottom,
        "lost": placement.lost,
        "padded": placement.padded,
    }


def jobs_of(films: pa.Table, params: NormalizeParams) -> Made[NormalizeJob]:
    """Return a job per shard; the shard's name carries all that decides its bytes."""
    return shard_jobs(films, SPLIT, partial(job_of, params=params), films_per_shard=films_per_shard_of(params))


def films_per_shard_of(params: NormalizeParams) -> int:
    """Return how many films a shard may hold."""
    return shards.films_per_shard(1, params.frame.pixels, at_most=FILMS_PER_SHARD)


def job_of(prefix: str, films: Sequence[SplitRow], params: NormalizeParams) -> NormalizeJob:
    """Return the job of some films that share a prefix of their hashes."""
    return NormalizeJob(shards.shard_name(prefix, key_of(params, films)), tuple(films))


def raw_folder(facts: Mapping[str, Any], root: Root, machine: Machine) -> AnyPath:
    """Return where the raw films lie: where --raw points, else where the audit found them."""
    return machine.raw or joined(root, str(facts["raw"]))


def run(params: NormalizeParams, root: Root, machine: Machine) -> Report:
    """Normalize every film that has a split."""
    films = ok_rows(store.read_table(SPLIT, root / paths.SPLIT))
    refuse_stale(paths.SPLIT, paths.AUDIT, root=root, stage="split")
    divided = store.read_footer(root / paths.SPLIT)
    raw = raw_folder(divided.facts, root, machine)
    work = partial(normalize_job, params=params, raw=raw, root=root, ahead=machine.ahead)
    jobs = jobs_of(films, params)
    folder = ImageFolder(root / paths.NORMALIZED, params.layout)
    before = folder.shards_on_disk()
    retry = shard_retry(partial(job_of, params=params))
    withdraw(folder)
    tables = machine.fan_out(work, jobs, unit="films", weigh=lambda job: len(job.films), total=len(films), retry=retry)
    footer = store.Footer(
        params=params.model_dump(mode="json"),
        sources={path: store.file_sha256(root / path) for path in (paths.AUDIT, paths.SPLIT)},
        facts={**divided.facts, "frame": {"height": params.height, "width": params.width}},
        recipes=divided.recipes_with("split"),
    )
    published = publish(folder, tables, NORMALIZED, footer, sums=_sums)
    return Report(
        done=len(films),
        unit="films",
        set_aside=published.set_aside,
        lines=[
            *kept_line(folder, before, published, "films"),
            *_lines(published.sums, params),
            *leak_warning(divided.facts),
        ],
        written=(paths.NORMALIZED_MANIFEST,),
    )


def _sums(images: pa.Table) -> dict[str, float]:
    """Return what the report tells, summed over some images."""
    lost, padded = (images.column(name).to_numpy() for name in ("lost", "padded"))
    return {"films": len(images), "lost": lost.sum(), "padded": padded.sum(), "with padding": (padded > 0).sum()}


def _lines(sums: Mapping[str, float], params: NormalizeParams) -> list[str]:
    films = sums["films"]
    if not films:
        return []
    return [
        f"policy {params.policy} into {params.height} x {params.width} (height x width): "
        f"{sums['lost'] / films:.1%} of the films' area cut away, {sums['padded'] / films:.1%} of the frames black, "
        f"{sums['with padding'] / films:.1%} of the films padded"
    ]


STAGE = Stage(
    "normalize",
    NormalizeParams,
    reads=(paths.AUDIT, paths.SPLIT, paths.RAW),
    writes=(paths.NORMALIZED,),
    run=run,
)
