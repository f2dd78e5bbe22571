"""What the stages that write images share: names, keys of shards, and how a folder is published."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from importlib.metadata import version
from types import MappingProxyType
from typing import Any, Literal, TypeVar

import numpy as np
import pyarrow as pa
from pydantic import ValidationError

from manifests import store
from manifests.columns import Schema
from manifests.prefixes import films_by_prefix
from manifests.rows import FilmRow, ImageRow
from manifests.seal import claimed_by
from manifests.shards import SHARDS, ImageFolder, prefix_of
from stages.columns import ok_rows, set_aside, tallied
from stages.contract import Failure, Made, Params, Retry, Root, StageError

Row = TypeVar("Row", bound=ImageRow)
Film = TypeVar("Film", bound=FilmRow)
Job = TypeVar("Job")
P = TypeVar("P", bound=Params)
Layout = Literal["shards", "folder"]

BYTES_VERSION = 4  # raised whenever the same parameters and films come to give other bytes
CODECS = ("numpy", "opencv-python-headless", "pillow")  # their versions may change bytes as well
UNSAFE = re.compile(r"[^\w.-]+")
LONGEST_NAME = 120  # bytes: leaves room for hash, copy and the suffix of an unfinished file within 255


def image_path(film: FilmRow, stem: str, suffix: str) -> str:
    """Return where a film's image lies, or would lie, in the folder layout: split/label/name.

    The start of the film's hash keeps films apart that have the same name in two raw folders.
    """
    folder = f"{film.split}/{label_folder(str(film.label))}"
    return f"{folder}/{safe(stem)}-{film.film_id[:12]}{suffix}"


def safe(name: str) -> str:
    """Return a name as every file system takes it: letters, digits, `_`, `-` and `.`, not too long."""
    cleaned = UNSAFE.sub("_", name).encode()[:LONGEST_NAME].decode(errors="ignore")
    return cleaned.strip(".") or "_"


def label_folder(label: str) -> str:
    """Return the folder of a class: its name, or a safe one that no other class has."""
    cleaned = safe(label)
    return cleaned if cleaned == label else f"{cleaned}-{hashlib.sha256(label.encode()).hexdigest()[:8]}"


def params_of(kind: type[P], footer: store.Footer, manifest: str) -> P:
    """Return the parameters that a manifest was made by, as its footer names them.

    Raises:
        StageError: where they are none of this version's.
    """
    try:
        return kind.model_validate(footer.params)
    except ValidationError as error:
        problem = error.errors()[0]
        found = f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}"
        raise StageError(f"{manifest}: its footer's parameters are not this version's ({found})") from error


def refuse_stale(manifest: str, source: str, *, root: Root, stage: str) -> None:
    """Refuse a manifest that was made before one of its sources changed.

    Raises:
        StageError: where the source that lies there is not the one the manifest was made from.
    """
    if store.read_footer(root / manifest).sources.get(source) != store.file_sha256(root / source):
        raise StageError(f"{root / manifest}: was made from another {source}; run {stage} again")


def image_columns(
    films: Sequence[FilmRow], images_per_film: int, images: Sequence[bytes], *, shard: str | None
) -> dict[str, Any]:
    """Return the columns that images' rows share with every other's, but their paths: whose, where, which bytes.

    Args:
        films: the rows of the films that the images were made from.
        images_per_film: how many there are of each.
        images: their bytes, film by film.
        shard: the file they go to; None in the folder layout.
    """
    of_film = np.repeat(np.arange(len(films)), images_per_film)
    return {
        **{
            name: pa.array([getattr(film, name) for film in films]).take(pa.array(of_film))
            for name in ("film_id", "label", "label_index", "group_id", "split")
        },
        "status": ["ok"] * len(images),
        "shard": [shard] * len(images),
        "index": [None if shard is None else index for index in range(len(images))],
        "sha256": [hashlib.sha256(image).hexdigest() for image in images],
        "encoded_bytes": [len(image) for image in images],
    }


def versions() -> dict[str, str]:
    """Return what decides an image's bytes beside parameters and films: our own byte version and the codecs'."""
    return {"cxr-pipeline bytes": str(BYTES_VERSION), **codec_versions()}


@cache  # each asks the disk, and every shard's name holds them
def codec_versions() -> Mapping[str, str]:
    """Return the versions of the libraries that decide an image's bytes, by their names."""
    return MappingProxyType({name: version(name) for name in CODECS})


def failed_columns(films: Sequence[FilmRow], failures: Sequence[Failure], paths: Sequence[str]) -> dict[str, Any]:
    """Return the columns of the rows of films that no image could be made of.

    Args:
        films: the rows of the films.
        failures: why, film by film.
        paths: where their images would lie.
    """
    return {
        **image_columns(films, 1, [b""] * len(films), shard=None),
        "path": paths,
        "status": [failure.status for failure in failures],
        "reason": [failure.reason for failure in failures],
        "sha256": [None] * len(films),
        "encoded_bytes": [None] * len(films),
    }


@dataclass(slots=True)
class Published:
    """What a run reports of its rows: of the rows themselves, the parent holds none.

    Attributes:
        rows: how many were written.
        set_aside: films of each status but ok.
        of_shards: rows in each shard.
        sums: what the stage adds up over its images.
    """

    rows: int = 0
    set_aside: Counter[str] = field(default_factory=Counter)
    of_shards: Counter[str] = field(default_factory=Counter)
    sums: Counter[str] = field(default_factory=Counter)

    def add(self, table: pa.Table, of_shards: Mapping[str, int], sums: Mapping[str, float]) -> None:
        """Add the rows of a job, those in each of its shards, and the stage's sums over its images."""
        self.rows += len(table)
        self.set_aside.update(set_aside(table.column("status")))
        self.of_shards.update(of_shards)
        self.sums.update(sums)


def kept_line(folder: ImageFolder, before: Mapping[str, int | str], published: Published, unit: str) -> list[str]:
    """Return a line on what an earlier run had finished; none where it had finished nothing that is still of use.

    Args:
        folder: where the shards lie.
        before: the shards that lay there when the run began, as `folder.shards_on_disk()` gave them.
        published: the rows of the run.
        unit: what a row is, in the plural.
    """
    now, of_rows = folder.shards_on_disk(), published.of_shards
    kept = [name for name in of_rows if now.get(name) == before.get(name)]  # a file written anew has another number
    if not kept:
        return []
    images = sum(of_rows[name] for name in kept)
    return [f"{images:,} of {of_rows.total():,} {unit} kept from before: {len(kept):,} of {len(of_rows):,} shards"]


def key_of(params: Params, films: Sequence[FilmRow]) -> Any:
    """Return all that decides a shard's bytes, as a JSON value: recipe, films, version of tool and codecs."""
    return {
        "bytes_version": BYTES_VERSION,
        "codecs": dict(codec_versions()),
        "params": params.model_dump(mode="json"),
        "films": [[film.film_id, film.path, film.label, film.label_index, film.group_id, film.split] for film in films],
    }


def shard_jobs(
    films: pa.Table, schema: Schema[Film], job_of: Callable[[str, Sequence[Film]], Job], *, films_per_shard: int
) -> Made[Job]:
    """Return a job per shard, each of the rows of its films, which are made when the job is asked for.

    Args:
        films: the rows of all films.
        schema: of the rows.
        job_of: gives the job of a prefix of hashes and the films that have it.
        films_per_shard: the most films that a shard holds.
    """
    planned = list(films_by_prefix(films.column("film_id"), films_per_shard=films_per_shard).items())

    def made(number: int) -> Job:
        prefix, places = planned[number]
        return job_of(prefix, schema.rows(films.take(places)))

    return Made(made, len(planned))


def shard_retry(job_of: Callable[[str, Sequence[Film]], Job]) -> Retry[Job]:
    """Return how the job of a shard goes on without a film: as a new job, whose shard is named after the films left."""
    return Retry(alone=partial(_alone, job_of=job_of), without=partial(_without, job_of=job_of))


def _alone(job: Any, film_id: str, *, job_of: Callable[[str, Sequence[Any]], Any]) -> Any:
    """Return the job of one of a job's films."""
    return job_of(prefix_of(job.shard), [film for film in job.films if film.film_id == film_id])


def _without(job: Any, failures: Mapping[str, Failure], *, job_of: Callable[[str, Sequence[Any]], Any]) -> Any:
    """Return a job without some films."""
    films = [film for film in job.films if film.film_id not in failures]
    failed = tuple((film, failures[film.film_id]) for film in job.films if film.film_id in failures)
    return replace(job_of(prefix_of(job.shard), films), failed=failed)


def withdraw(folder: ImageFolder) -> None:
    """Delete the manifest of image files that are about to be written over: it would claim bytes that are gone.

    In the shards layout it stays until the new one takes its place. A shard's name tells its bytes, so that new shards
    lie beside those that the old manifest claims; an image file's name tells its film alone, and its bytes change.
    """
    if folder.layout == "folder":
        folder.manifest.unlink(missing_ok=True)


def publish(
    folder: ImageFolder,
    tables: Iterable[pa.Table],
    schema: Schema[Row],
    footer: store.Footer,
    *,
    sums: Callable[[pa.Table], Mapping[str, float]],
) -> Published:
    """Write the manifest of the jobs' rows as they come, then delete what it does not claim.

    In this order, a run that is killed between the two leaves files too many and none too few. The rows are in
    the order of the jobs, and so of the films' hashes. The footer gets the versions that made the images, and each
    shard's seal. Of a million rows, the parent keeps what it reports and the names of the files.

    Args:
        folder: where the images lie.
        tables: the rows of each job.
        schema: of the rows.
        footer: without versions and seals.
        sums: what is added up over the images, given some of their rows.
    """
    published, claims = Published(), _Claims(folder)

    def noted() -> Iterator[pa.Table]:
        for table in tables:
            images = ok_rows(table)  # a failed film's row claims no file
            published.add(table, claims.add(images), sums(images))
            yield table

    def completed() -> store.Footer:
        return replace(footer, versions=versions(), files=claims.seals)

    store.write_tables(noted(), schema, folder.manifest, completed)
    folder.remove_others(pa.chunked_array(claims.files, pa.string()))
    return published


@dataclass(slots=True)
class _Claims:
    """What a manifest is going to claim of a folder, noted while its rows go by.

    Attributes:
        folder: where the images lie.
        files: POSIX paths under the folder: of the shards, or of the image files.
        seals: of each shard, by its name.
    """

    folder: ImageFolder
    files: list[pa.Array] = field(default_factory=list)
    seals: dict[str, str] = field(default_factory=dict)

    def add(self, images: pa.Table) -> dict[str, int]:
        """Note some images' files, once the disk has their shards, and return how many images each shard holds."""
        of_shards = tallied(images.column("shard"))
        for name in of_shards:
            self.folder.flush_shard(name)  # here, where waiting for the disk holds up no worker
            self.seals[name] = str(claimed_by(self.folder.path / SHARDS / name))
        if self.folder.layout == "folder":
            self.files += images.column("path").chunks
        else:
            self.files.append(pa.array([f"{SHARDS}/{name}" for name in of_shards], pa.string()))
        return of_shards
