"""normalize: every film in one frame, grayscale, lossless."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import pyarrow as pa
from pydantic import Field

from manifests import shards, store
from manifests.rows import NORMALIZED, SPLIT, NormalizedRow, SplitRow
from manifests.shards import ImageFolder
from stages import paths
from stages.contract import Machine, Params, Report, Root, Stage, StageError, counts
from stages.films import codec, decode
from stages.films.frame import Frame, Gray
from stages.films.placement import Placement, Policy, fit, place
from stages.folder import Layout, image_columns, image_path, key_of, publish, refuse_stale

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
    """The films of one shard."""

    shard: str
    films: tuple[SplitRow, ...]


def normalize_one(data: bytes, *, params: NormalizeParams) -> tuple[Gray, Placement]:
    """Return a raw film's bytes as grey levels in the frame, and how it came there.

    Raises:
        DecodeError: where the bytes are no usable film.
    """
    header, image = decode.decode(data)
    placement = place(header.frame, frame=params.frame, policy=params.policy)
    return fit(image, placement), placement


def normalize_shard(job: NormalizeJob, *, params: NormalizeParams, raw: Path, root: Root) -> pa.Table:
    """Write a shard's films and return their rows' table."""
    folder = ImageFolder(root / paths.NORMALIZED, params.layout)
    if (table := folder.finished(job.shard, NORMALIZED)) is not None:
        return table
    rows, images = [], []
    for index, film in enumerate(job.films):
        image, placement = normalize_one(read_raw(raw, film), params=params)
        encoded = codec.encode(image, encoding=params.encoding)
        path = image_path(film, PurePosixPath(film.path).stem, codec.SUFFIXES[params.encoding])
        stored_at = (job.shard, index) if params.layout == "shards" else (None, None)
        columns = image_columns(film, path=path, encoded=encoded, stored_at=stored_at)
        rows.append(NormalizedRow(**columns, **placement_columns(placement)))
        images.append(encoded)
    return folder.write(job.shard, rows, images, NORMALIZED)


def read_raw(raw: Path, film: SplitRow) -> bytes:
    """Return a raw film's bytes.

    Raises:
        StageError: where the film is gone or is not what the audit saw.
    """
    try:
        data = (raw / film.path).read_bytes()
    except OSError as error:
        raise StageError(f"{raw / film.path}: cannot be read ({error.strerror}); run the audit again") from error
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


def jobs_of(films: Sequence[SplitRow], params: NormalizeParams) -> list[NormalizeJob]:
    """Return a job per shard; the shard's name carries all that decides its bytes."""
    by_id = {film.film_id: film for film in films}
    jobs = []
    for prefix, ids in shards.plan(by_id, films_per_shard=FILMS_PER_SHARD).items():
        inside = tuple(by_id[film_id] for film_id in ids)
        jobs.append(NormalizeJob(shards.shard_name(prefix, key_of(params, inside)), inside))
    return jobs


def raw_folder(facts: Mapping[str, Any], root: Root, machine: Machine) -> Path:
    """Return where the raw films lie: where --raw points, else where the audit found them."""
    return machine.raw or root / str(facts["raw"])


def run(params: NormalizeParams, root: Root, machine: Machine) -> Report:
    """Normalize every film that has a split."""
    films = [film for film in store.read(SPLIT, root / paths.SPLIT) if film.status == "ok"]
    refuse_stale(paths.SPLIT, paths.AUDIT, root=root, stage="split")
    facts = store.read_footer(root / paths.SPLIT).facts
    work = partial(normalize_shard, params=params, raw=raw_folder(facts, root, machine), root=root)
    jobs = jobs_of(films, params)
    tables = machine.fan_out(work, jobs, unit="films", weigh=lambda job: len(job.films))
    footer = store.Footer(
        params=params.model_dump(mode="json"),
        sources={path: store.file_sha256(root / path) for path in (paths.AUDIT, paths.SPLIT)},
        facts={**facts, "frame": {"height": params.height, "width": params.width}},
    )
    table = publish(ImageFolder(root / paths.NORMALIZED, params.layout), tables, NORMALIZED, footer)
    return Report(
        done=len(films),
        unit="films",
        set_aside=counts(table.column("status").to_pylist()),
        lines=_lines(table, params),
        written=(paths.NORMALIZED_MANIFEST,),
    )


def _lines(table: pa.Table, params: NormalizeParams) -> list[str]:
    lost = table.column("lost").to_numpy()
    padded = table.column("padded").to_numpy()
    return [
        f"policy {params.policy} into {params.height} x {params.width} (height x width): "
        f"{lost.mean():.1%} of the films' area cut away, {padded.mean():.1%} of the frames black, "
        f"{(padded > 0).mean():.1%} of the films padded"
    ]


STAGE = Stage(
    "normalize",
    NormalizeParams,
    reads=(paths.AUDIT, paths.SPLIT, paths.RAW),
    writes=(paths.NORMALIZED,),
    run=run,
)
