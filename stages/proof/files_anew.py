"""Shards and image files made anew: the stage's own work on the films that they hold, compared with the manifest."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from manifests import seal, store
from manifests.checks import ManifestError
from manifests.objects import ObjectPath
from manifests.places import AnyPath, scratch
from manifests.rows import NORMALIZED, AugmentedRow, NormalizedRow, SplitRow
from manifests.shards import SHARDS, ImageFolder, prefix_of
from manifests.verify import Finding
from stages import augment, normalize, paths
from stages.augment_params import AugmentParams
from stages.contract import CxrError, Machine, Root, StageError
from stages.drawn import AUGMENTED
from stages.films import codec
from stages.films.frame import Frame
from stages.films.geometry import Box
from stages.folder import params_of, versions
from stages.proof.bench import Bench, films_divided, films_for_training, source_of


def mend_normalized(bench: Bench) -> Iterator[str]:
    """Make the normalized shards and image files that are wrong anew; yield what was mended.

    Raises:
        StageError: what could not be made anew, and why.
    """
    shards, images = bench.of("shard", f"{paths.NORMALIZED}/"), bench.of("image", f"{paths.NORMALIZED}/")
    if not shards and not images:
        return
    root, machine = bench.root, bench.machine
    footer = store.read_footer(root / paths.NORMALIZED_MANIFEST)
    params = params_of(normalize.NormalizeParams, footer, paths.NORMALIZED_MANIFEST)
    raw = normalize.raw_folder(footer.facts, root, machine)
    rows = store.read_table(NORMALIZED, root / paths.NORMALIZED_MANIFEST)
    films = {film.film_id: film for film in films_divided(root)}
    if shards:
        work = partial(normalize.normalize_shard, params=params, raw=raw, root=root)
        jobs = _jobs(rows, films, partial(normalize.job_of, params=params))
        yield from _mend_shards(shards, work, jobs, _Place(paths.NORMALIZED, footer, root, machine))
    if images:
        broken = NORMALIZED.rows(_rows_of(images, rows, paths.NORMALIZED))
        remake = partial(_mend_normalized_file, films=films, params=params, raw=raw, root=root)
        yield from _together(list(machine.fan_out(remake, broken, unit="images")))


def mend_augmented(bench: Bench) -> Iterator[str]:
    """Make the shards and image files of copies that are wrong anew; yield what was mended.

    Raises:
        StageError: what could not be made anew, and why.
    """
    shards, images = bench.of("shard", f"{paths.AUGMENTED}/"), bench.of("image", f"{paths.AUGMENTED}/")
    if not shards and not images:
        return
    root, machine = bench.root, bench.machine
    footer = store.read_footer(root / paths.AUGMENTED_MANIFEST)
    params = params_of(AugmentParams, footer, paths.AUGMENTED_MANIFEST)
    source, frame = source_of(root)
    rows = store.read_table(AUGMENTED, root / paths.AUGMENTED_MANIFEST)
    films = {film.film_id: film for film in films_for_training(root)}
    if shards:
        work = partial(augment.augment_shard, params=params, source=source, frame=frame, root=root)
        jobs = _jobs(rows, films, partial(augment.job_of, params=params, frame=frame))
        yield from _mend_shards(shards, work, jobs, _Place(paths.AUGMENTED, footer, root, machine))
    if images:
        broken = AUGMENTED.rows(_rows_of(images, rows, paths.AUGMENTED))
        remake = partial(_mend_copy_file, films=films, params=params, source=source, frame=frame, root=root)
        yield from _together(list(machine.fan_out(remake, broken, unit="images")))


def _rows_of(findings: Sequence[Finding], rows: pa.Table, folder: str) -> pa.Table:
    """Return the rows of the image files that are wrong."""
    wanted = pa.array(sorted(_claimed(findings, folder)))
    return rows.filter(pc.is_in(rows.column("path"), value_set=wanted))


def _jobs(rows: pa.Table, films: Mapping[str, Any], job_of: Callable[[str, Sequence[Any]], Any]) -> dict[str, Any]:
    """Return the job of every shard that rows name, of the films that they name: not of those that failed.

    A shard that is left out has another name by now: the films, the parameters or the codecs are others.
    """
    inside: dict[str, dict[str, None]] = {}
    for shard, film_id in zip(rows.column("shard").to_pylist(), rows.column("film_id").to_pylist(), strict=True):
        if shard is not None:
            inside.setdefault(shard, {})[film_id] = None
    jobs = [job_of(prefix_of(shard), [films[one] for one in ids if one in films]) for shard, ids in inside.items()]
    return {job.shard: job for job in jobs}


def _claimed(findings: Sequence[Finding], folder: str) -> set[str]:
    """Return the paths of findings, relative to a stage's folder."""
    return {one.where.removeprefix(f"{folder}/") for one in findings}


@dataclass(frozen=True, slots=True)
class _Place:
    """Where shards are mended, and what the manifest says of them."""

    folder: str
    footer: store.Footer
    root: Root
    machine: Machine


def _mend_shards(
    findings: Sequence[Finding], work: Callable[[Any], pa.Table], jobs: Mapping[str, Any], place: _Place
) -> Iterator[str]:
    """Make shards anew and compare their seals with the manifest's; one that comes out otherwise is left as it was."""
    names = sorted(_claimed(findings, f"{place.folder}/{SHARDS}"))
    unknown = [name for name in names if name not in jobs]
    if unknown:
        raise StageError(f"{place.folder}/{SHARDS}/{unknown[0]}: {_why_unknown(place.footer)}")
    inside = place.root / place.folder / SHARDS
    spare = partial(_mend_shard, work=work, jobs=jobs, folder=inside, seals=place.footer.files)
    results = place.machine.fan_out(spare, names, unit="shards")
    yield from _together([(f"{place.folder}/{SHARDS}/{text}", well) for text, well in results])


def _why_unknown(footer: store.Footer) -> str:
    now = versions()
    others = [f"{name} {old}" for name, old in footer.versions.items() if now.get(name) != old]
    if others:
        return f"was made by {', '.join(others)}: install these to make it anew, or run all stages again"
    return "no film of the set belongs into it: the manifests contradict each other; run all stages again"


def _mend_shard(
    name: str, *, work: Callable[[Any], pa.Table], jobs: Mapping[str, Any], folder: AnyPath, seals: Mapping[str, str]
) -> tuple[str, bool]:
    """Make one shard anew; the spoilt one is kept until it is there, and put back where it cannot be made."""
    path = folder / name
    with _aside(path) as put_back:
        try:
            work(jobs[name])
            made = seal.claimed_by(path)
            if made == seals.get(name):
                return f"{name} made anew: seal {str(made)[:12]}, as the manifest says", True
            problem = f"made anew it has the seal {str(made)[:12]}, the manifest says {seals.get(name, 'none')[:12]}"
        except (CxrError, ManifestError) as error:
            problem = f"cannot be made anew: {error}"
        put_back()
    return f"{name} {problem}", False


@contextmanager
def _aside(path: AnyPath) -> Iterator[Callable[[], object]]:
    """Take away what lies at a path, and yield what puts it back: nothing, where nothing lay there."""
    if isinstance(path, ObjectPath):
        with scratch() as folder:
            copy = folder / path.name
            with suppress(FileNotFoundError):
                path.download(copy)
            path.unlink(missing_ok=True)
            yield lambda: path.upload(copy) if copy.exists() else path.unlink(missing_ok=True)
        return
    aside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    spoilt = path.exists()
    if spoilt:
        path.replace(aside)
    try:
        yield lambda: aside.replace(path) if spoilt else path.unlink(missing_ok=True)
    finally:
        aside.unlink(missing_ok=True)


def _together(results: Sequence[tuple[str, bool]]) -> Iterator[str]:
    """Yield what went well, then raise what did not."""
    yield from (text for text, well in results if well)
    if failures := [text for text, well in results if not well]:
        raise StageError("; ".join(failures))


def _mend_normalized_file(
    row: NormalizedRow, *, films: Mapping[str, SplitRow], params: normalize.NormalizeParams, raw: AnyPath, root: Root
) -> tuple[str, bool]:
    where = f"{paths.NORMALIZED}/{row.path}"
    try:
        image, _ = normalize.normalize_film(films[row.film_id], params=params, raw=raw)
    except CxrError as error:
        return f"{where} cannot be made anew: {error}", False
    return _put(root / where, where, codec.encode(image, encoding=params.encoding), row.sha256)


def _mend_copy_file(
    row: AugmentedRow,
    *,
    films: Mapping[str, NormalizedRow],
    params: AugmentParams,
    source: ImageFolder,
    frame: Frame,
    root: Root,
) -> tuple[str, bool]:
    where, film = f"{paths.AUGMENTED}/{row.path}", films[row.film_id]
    try:
        ((_, encoded),) = source.read_images([film])
        original = augment.pixels_of(film, encoded, frame)
    except (StageError, ManifestError) as error:
        return f"{where} cannot be made anew: {error}", False
    shown = Box(film.film_left, film.film_top, film.film_right, film.film_bottom)
    image, _ = params.chain(frame).apply(original, row.drawn, film=shown)
    return _put(root / where, where, codec.encode(image, encoding=params.encoding, quality=params.quality), row.sha256)


def _put(path: AnyPath, where: str, data: bytes, sha256: str) -> tuple[str, bool]:
    """Write an image file that was made anew, if it is the one of its row."""
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        return f"{where} comes out with sha256 {found[:12]}, its row says {sha256[:12]}: other codecs made it", False
    store.write_bytes(path, data)
    return f"{where} made anew: sha256 {found[:12]}, as its row says", True
