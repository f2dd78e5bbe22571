"""augment: the originals and N copies of every training film, each explained by the numbers that made it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from manifests import shards, store
from manifests.rows import NORMALIZED, NormalizedRow
from manifests.shards import ImageFolder
from stages import paths
from stages.augment_params import AugmentParams
from stages.columns import rows_with
from stages.contract import (
    Failure,
    Machine,
    Made,
    ParamsError,
    Report,
    Root,
    Stage,
    StageError,
    begin,
)
from stages.drawn import AUGMENTED, drawn_column
from stages.films import codec, geometry
from stages.films.chain import Chain
from stages.films.frame import Frame, Gray, frame_of
from stages.films.geometry import Box
from stages.films.operations import Drawn
from stages.folder import (
    failed_columns,
    image_columns,
    kept_line,
    key_of,
    publish,
    refuse_stale,
    shard_jobs,
    shard_retry,
    withdraw,
)
from stages.leaks import leak_warning


@dataclass(frozen=True, slots=True)
class AugmentJob:
    """The films whose copies make one shard, and those that would be in it, had they not ended their process."""

    shard: str
    films: tuple[NormalizedRow, ...]
    failed: tuple[tuple[NormalizedRow, Failure], ...] = ()


@dataclass(frozen=True, slots=True)
class Augmented:
    """The original and the copies of one film.

    Attributes:
        film: whose they are.
        drawn: the copies' numbers by column, shape (copies,); of the original nothing is drawn.
        unfilled: share of pixels from outside the film, shape (1 + copies,).
        images: encoded, the original first.
    """

    film: NormalizedRow
    drawn: Drawn
    unfilled: NDArray[np.float64]
    images: list[bytes]


def augment_one(film: NormalizedRow, image: Gray, *, chain: Chain, params: AugmentParams) -> Augmented:
    """Return the original and the copies of one film."""
    drawn, matrices, images = images_of(film.film_id, image, chain=chain, params=params)
    shown = Box(film.film_left, film.film_top, film.film_right, film.film_bottom)
    outside = geometry.outside_share(np.stack([geometry.identity(), *matrices]), shown, chain.frame)
    return Augmented(film, drawn, outside, images)


def images_of(
    film_id: str, image: Gray, *, chain: Chain, params: AugmentParams
) -> tuple[Drawn, NDArray[np.float64], list[bytes]]:
    """Return what is drawn for a film's copies, and its images; all copies' matrices and tables are made at once.

    Returns:
        The copies' numbers by column, shape (copies,); their matrices, shape (copies, 2, 3); the encoded images, the
        original first.
    """
    drawn = chain.draws(film_id, params.copies)
    matrices = np.broadcast_to(chain.matrix(drawn), (params.copies, 2, 3))
    tables = np.broadcast_to(chain.table(drawn), (params.copies, 256))
    copies = (chain.copy(image, matrix, table) for matrix, table in zip(matrices, tables, strict=True))
    encoded = [codec.encode(each, encoding=params.encoding, quality=params.quality) for each in (image, *copies)]
    return drawn, matrices, encoded


def pixels_of(film: NormalizedRow, encoded: bytes, frame: Frame) -> Gray:
    """Return a normalized film's grey levels.

    Raises:
        StageError: where its bytes are no image of the frame.
    """
    try:
        image = codec.decode(encoded)
    except ValueError as error:
        raise StageError(f"{film.path}: {error}; run normalize again") from error
    if frame_of(image) != frame:
        raise StageError(f"{film.path}: has {frame_of(image)}; the manifest says {frame}; run normalize again")
    return image


def augment_shard(job: AugmentJob, *, params: AugmentParams, source: ImageFolder, frame: Frame, root: Root) -> pa.Table:
    """Read a shard's films, write their copies, return the rows' table."""
    folder = ImageFolder(root / paths.AUGMENTED, params.layout, params.model_dump(mode="json"))
    if (table := folder.finished(job.shard, AUGMENTED)) is not None:
        return table
    chain = params.chain(frame)
    augmented = []
    for film, encoded in source.read_images(job.films):
        begin(film.film_id)
        augmented.append(augment_one(film, pixels_of(film, encoded, frame), chain=chain, params=params))
    images = [image for of_film in augmented for image in of_film.images]
    table = table_of(augmented, images, params, shard=job.shard if params.layout == "shards" else None)
    folder.write(job.shard, table, images)
    return table


def table_of(
    augmented: Sequence[Augmented], images: Sequence[bytes], params: AugmentParams, *, shard: str | None
) -> pa.Table:
    """Return the rows of a shard's films: columns, since a row object for each copy takes a tenth of its time."""
    copies = params.copies + 1
    films = [of_film.film for of_film in augmented]
    columns = {
        **image_columns(films, copies, images, shard=shard),
        "path": [path for film in films for path in paths_of(film, copies, params)],
        "copy": list(range(copies)) * len(films),
        "unfilled": pa.array(np.concatenate([of_film.unfilled for of_film in augmented])),
        **{name: drawn_column([of_film.drawn[name] for of_film in augmented]) for name in augmented[0].drawn},
    }
    return AUGMENTED.table_of(columns, len(images))


def paths_of(film: NormalizedRow, images: int, params: AugmentParams) -> list[str]:
    """Return where a film's original and copies lie, or would lie, in the folder layout."""
    stem, suffix = film.path.rpartition(".")[0], codec.SUFFIXES[params.encoding]
    return [f"{stem}-{copy:04d}{suffix}" for copy in range(images)]


def augment_job(job: AugmentJob, *, params: AugmentParams, source: ImageFolder, frame: Frame, root: Root) -> pa.Table:
    """Write the copies of a shard's films and return their rows' table, with the rows of the films that failed."""
    tables = [augment_shard(job, params=params, source=source, frame=frame, root=root)] if job.films else []
    return pa.concat_tables([*tables, *([failed_table(job.failed, params)] if job.failed else [])])


def failed_table(failed: Sequence[tuple[NormalizedRow, Failure]], params: AugmentParams) -> pa.Table:
    """Return a row for each film that no copies could be made of."""
    films = [film for film, _ in failed]
    originals = [paths_of(film, 1, params)[0] for film in films]
    columns = failed_columns(films, [failure for _, failure in failed], originals)
    return AUGMENTED.table_of({**columns, "copy": [0] * len(films)}, len(films))


def jobs_of(films: pa.Table, params: AugmentParams, frame: Frame) -> Made[AugmentJob]:
    """Return a job per shard; its name carries all that decides its bytes, the films' pixels included."""
    make, most = partial(job_of, params=params, frame=frame), films_per_shard_of(params, frame)
    return shard_jobs(films, NORMALIZED, make, films_per_shard=most)


def films_per_shard_of(params: AugmentParams, frame: Frame) -> int:
    """Return how many films the images of a shard may be of."""
    return shards.films_per_shard(params.copies + 1, frame.pixels, at_most=shards.IMAGES_PER_SHARD)


def job_of(prefix: str, films: Sequence[NormalizedRow], params: AugmentParams, frame: Frame) -> AugmentJob:
    """Return the job of some films that share a prefix of their hashes."""
    pixels = [[film.sha256, film.film_left, film.film_top, film.film_right, film.film_bottom] for film in films]
    key = {"films": key_of(params, films), "pixels": pixels, "frame": [frame.height, frame.width]}
    return AugmentJob(shards.shard_name(prefix, key), tuple(films))


@dataclass(frozen=True, slots=True)
class Normalized:
    """What copies are made of.

    Attributes:
        films: the rows of the usable training films.
        folder: where their images lie.
        frame: of every film.
        footer: of their manifest.
    """

    films: pa.Table
    folder: ImageFolder
    frame: Frame
    footer: store.Footer


def read_normalized(params: AugmentParams, root: Root) -> Normalized:
    """Return the films that copies are made of.

    Raises:
        StageError: where there is none, or they were normalized before the split changed.
        ParamsError: where margins are to be covered and cannot be.
    """
    manifest = root / paths.NORMALIZED_MANIFEST
    films = rows_with(store.read_table(NORMALIZED, manifest), status="ok", split="train")
    if not len(films):
        raise StageError(f"{manifest}: holds no training film; expected some; see {paths.SPLIT_SUMMARY}")
    refuse_stale(paths.NORMALIZED_MANIFEST, paths.SPLIT, root=root, stage="normalize")
    footer = store.read_footer(manifest)
    frame = Frame(**footer.facts["frame"])
    refuse_what_cannot_be_covered(params, frame)
    return Normalized(films, ImageFolder(root / paths.NORMALIZED, footer.params["layout"]), frame, footer)


def run(params: AugmentParams, root: Root, machine: Machine) -> Report:
    """Write the originals and copies of every training film."""
    normalized = read_normalized(params, root)
    films, frame = normalized.films, normalized.frame
    folder = ImageFolder(root / paths.AUGMENTED, params.layout)
    before = folder.shards_on_disk()
    withdraw(folder)
    tables = machine.fan_out(
        partial(augment_job, params=params, source=normalized.folder, frame=frame, root=root),
        jobs_of(films, params, frame),
        unit="images",
        weigh=lambda job: len(job.films) * (params.copies + 1),
        total=len(films) * (params.copies + 1),
        retry=shard_retry(partial(job_of, params=params, frame=frame)),
    )
    footer = store.Footer(
        params=params.model_dump(mode="json"),
        sources={path: store.file_sha256(root / path) for path in (paths.NORMALIZED_MANIFEST, paths.SPLIT)},
        facts=normalized.footer.facts,
        recipes=normalized.footer.recipes_with("normalize"),
    )
    published = publish(folder, tables, AUGMENTED, footer, sums=_sums)
    return Report(
        done=published.rows,
        unit="images",
        set_aside=published.set_aside,
        lines=[
            *kept_line(folder, before, published, "images"),
            *_lines(published.sums, len(films), params),
            *leak_warning(footer.facts),
        ],
        written=(paths.AUGMENTED_MANIFEST,),
    )


def refuse_what_cannot_be_covered(params: AugmentParams, frame: Frame) -> None:
    """Refuse a recipe that moves films so far that no zoom keeps black out.

    Raises:
        ParamsError: where margins are to be covered and cannot be.
    """
    if params.margins != "cover":
        return
    try:
        _ = params.chain(frame).least_zoom
    except ValueError as error:
        raise ParamsError(f"augment: margins 'cover' cannot hold: {error}; choose a smaller shift") from error


def _sums(images: pa.Table) -> dict[str, float]:
    """Return what the report tells, summed over some images."""
    unfilled, size = (images.column(name).to_numpy().sum() for name in ("unfilled", "encoded_bytes"))
    return {"images": len(images), "unfilled": unfilled, "bytes": size}


def _lines(sums: Mapping[str, float], films: int, params: AugmentParams) -> list[str]:
    if not sums["images"]:
        return []
    return [
        f"{films:,} training films x {params.copies + 1}; margins {params.margins}, {params.interpolation}; "
        f"{sums['unfilled'] / sums['images']:.1%} of the pixels from outside the film, {sums['bytes'] / 1e6:,.0f} MB"
    ]


STAGE = Stage("augment", AugmentParams, reads=(paths.SPLIT, paths.NORMALIZED), writes=(paths.AUGMENTED,), run=run)
