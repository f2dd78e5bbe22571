"""Mending a data set in place: what is wrong is made anew by the stage that made it, and nothing else is touched.

Every rebuilt file is compared with what the rest of the set says of it: a manifest with the sha256 that later
manifests hold, a shard with the seal that its manifest holds, an image file with its row. What cannot be made as
it was is left as it lies, and named.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import ValidationError

from manifests import seal, store
from manifests.columns import ManifestError
from manifests.rows import NORMALIZED, SPLIT, AugmentedRow, NormalizedRow, SplitRow
from manifests.shards import SHARDS, ImageFolder, prefix_of
from manifests.verify import Finding
from stages import audit, augment, normalize, paths, split
from stages.contract import CxrError, Machine, Params, Root, StageError
from stages.drawn import AUGMENTED
from stages.films import codec
from stages.films.frame import Frame
from stages.films.geometry import Box
from stages.folder import params_of, versions
from stages.proof.chain import STAGE_OF

FOOTER_STARTS = b'{"facts": '
FEW_BYTES = 16  # a file that differs in no more is the same one, spoilt
FILMS_TRIED = 3


@dataclass(frozen=True, slots=True)
class Bench:
    """What is wrong, where it is mended, and on what machine.

    Attributes:
        findings: what is wrong.
        root: the root.
        machine: the machine.
        pending: manifests that still have to be made anew: what they say proves nothing.
    """

    findings: Sequence[Finding]
    root: Root
    machine: Machine
    pending: set[str]

    def of(self, kind: str, folder: str = "") -> list[Finding]:
        """Return the findings of a kind, in a folder."""
        return [one for one in self.findings if one.kind == kind and one.where.startswith(folder)]

    def footers(self) -> dict[str, store.Footer]:
        """Return the footers of the manifests that can be believed."""
        names = [name for name in STAGE_OF if name not in self.pending and seal.is_whole(self.root / name)]
        return {name: store.read_footer(self.root / name) for name in names}


def mend(findings: Sequence[Finding], root: Root, machine: Machine) -> tuple[list[str], list[str]]:
    """Make anew what is wrong, from raw on down; return what was mended, and what could not be and why."""
    bench = Bench(findings, root, machine, {one.where for one in findings if one.kind in ("manifest", "other")})
    mended: list[str] = []
    failed: list[str] = [f"{one.where}: a raw film cannot be made anew; restore it" for one in bench.of("raw")]
    for one in bench.of("extra"):
        (root / one.where).unlink(missing_ok=True)
        mended.append(f"{one.where} removed")
    files: Mapping[str, Callable[[Bench], Iterator[str]]] = {
        paths.NORMALIZED_MANIFEST: _mend_normalized,
        paths.AUGMENTED_MANIFEST: _mend_augmented,
    }
    for name in STAGE_OF:
        try:
            if name in bench.pending:
                mended.append(_mend_manifest(name, bench))
            elif name in files:
                mended += files[name](bench)
        except (CxrError, ManifestError) as error:
            failed.append(str(error))
    return mended, failed


# --- manifests: the stage run again, with the parameters that it had -------------------------------------------


def _mend_manifest(name: str, bench: Bench) -> str:
    """Run a manifest's stage with each set of parameters that may have made it, until the result is recognized."""
    path = bench.root / name
    if name == paths.PREDICTIONS:
        raise StageError(f"{name}: run `cxr-pipeline evaluate` again: scoring is a look at the test films, and counted")
    old = path.read_bytes() if path.is_file() else None
    witnesses = {footer.sources[name] for footer in bench.footers().values() if name in footer.sources}
    recipes = _recipes(name, old, bench)
    fitting = [params for params in recipes if _fits(params, bench)]
    with _put_back(path, old):
        for params in fitting:
            _set_spoilt_shards_aside(name, bench)
            _run(params, bench)
            digest = store.file_sha256(path)
            if digest in witnesses if witnesses else (len(fitting) == 1 or _recognized(old, path.read_bytes())):
                bench.pending.discard(name)
                told = ", as later manifests say" if witnesses else ""
                return f"{name} made anew by {STAGE_OF[name]}: sha256 {digest[:12]}{told}"
        raise StageError(_not_recognized(name, witnesses, recipes))


@contextmanager
def _put_back(path: Path, old: bytes | None) -> Iterator[None]:
    """Leave a file as it was where what is made of it fails."""
    try:
        yield
    except (CxrError, ManifestError, OSError):
        if old is None:
            path.unlink(missing_ok=True)
        else:
            store.write_bytes(path, old)
        raise


def _not_recognized(name: str, witnesses: set[str], recipes: Sequence[Params]) -> str:
    stage = STAGE_OF[name]
    again = f"run `cxr-pipeline {stage}` and what follows again"
    if not recipes:
        return f"{name}: nothing tells the parameters it was made by; {again}"
    expected = f"sha256 {', '.join(sorted(one[:12] for one in witnesses))}" if witnesses else "what is there"
    return (
        f"{name}: {stage} no longer gives {expected} (the films, the parameters or the codecs' versions are others "
        f"now); {again}"
    )


def _set_spoilt_shards_aside(name: str, bench: Bench) -> None:
    """Delete the shards that are known to be wrong: the stage would take over a whole one under another's name."""
    for one in bench.of("shard", name.removesuffix(store.MANIFEST)):
        (bench.root / one.where).unlink(missing_ok=True)


def _run(params: Params, bench: Bench) -> None:
    root, machine = bench.root, bench.machine
    if isinstance(params, audit.AuditParams):
        told = [footer.facts["raw"] for footer in bench.footers().values() if "raw" in footer.facts]
        audit.survey(params, root, replace(machine, raw=machine.raw or root / next(iter(told), paths.RAW)))
    elif isinstance(params, split.SplitParams):
        split.divide(params, root)
    elif isinstance(params, normalize.NormalizeParams):
        normalize.run(params, root, machine)
    elif isinstance(params, augment.AugmentParams):
        augment.run(params, root, machine)


def _recipes(name: str, old: bytes | None, bench: Bench) -> list[Params]:
    """Return the parameters that may have made a manifest, each once, the best witness's first."""
    stage, told = STAGE_OF[name], list[Mapping[str, Any]]()
    told += [footer.recipes[stage] for footer in bench.footers().values() if stage in footer.recipes]
    told += _of_shards((bench.root / name).parent)
    told += [footer["params"] for footer in salvaged(old or b"") if isinstance(footer.get("params"), dict)]
    return _valid(stage, told) or _valid(stage, [bench.machine.sections.get(stage, {})])


def _valid(stage: str, told: Iterable[Mapping[str, Any]]) -> list[Params]:
    found: list[Params] = []
    for one in told:
        try:
            params = _PARAMS[stage].model_validate(one)
        except ValidationError:  # the byte that was changed stood here
            continue
        if params not in found:
            found.append(params)
    return found


_PARAMS: Mapping[str, type[Params]] = {
    "audit": audit.AuditParams,
    "split": split.SplitParams,
    "normalize": normalize.NormalizeParams,
    "augment": augment.AugmentParams,
}


def _of_shards(folder: Path) -> list[dict[str, Any]]:
    """Return the parameters that whole shards tell, the most frequent first."""
    images = ImageFolder(folder, "shards")
    names = [path.name for path in (folder / SHARDS).glob("*.parquet")]
    told = Counter(json.dumps(recipe, sort_keys=True) for name in names if (recipe := images.recipe_of(name)))
    return [json.loads(recipe) for recipe, _ in told.most_common()]


def salvaged(data: bytes) -> Iterator[dict[str, Any]]:
    """Yield the footers that can still be read in a spoilt manifest, which holds a spare one."""
    at = data.find(FOOTER_STARTS)
    while at >= 0:
        with suppress(ValueError):  # the byte that was changed stood here
            yield json.JSONDecoder().raw_decode(data[at:].decode("utf-8", "replace"))[0]
        at = data.find(FOOTER_STARTS, at + 1)


def _recognized(old: bytes | None, new: bytes) -> bool:
    """Return whether a rebuilt file is the spoilt one but for the damage: a few bytes, or a missing end."""
    if old is None:
        return False
    if len(old) < len(new):
        return bool(old) and new.startswith(old)
    if len(old) > len(new):
        return old.startswith(new)
    one, other = np.frombuffer(old, np.uint8), np.frombuffer(new, np.uint8)
    return int((one != other).sum()) <= FEW_BYTES


# --- whether parameters are those of the images that lie there -------------------------------------------------


def _fits(params: Params, bench: Bench) -> bool:
    """Return whether the images that lie there are those that the parameters give, or none lie there."""
    root = bench.root
    if isinstance(params, normalize.NormalizeParams):
        films = {film.film_id: film for film in _divided(root)}
        folder = ImageFolder(root / paths.NORMALIZED, params.layout)
        if params.layout == "shards":
            return _names_fit(folder, films, partial(normalize.job_of, params=params))
        raw = normalize.raw_folder(store.read_footer(root / paths.SPLIT).facts, root, bench.machine)
        return _files_fit(folder, films.values(), partial(_normalized_of, params=params, raw=raw))
    if isinstance(params, augment.AugmentParams):
        copied = {film.film_id: film for film in _training(root)}
        source, frame = _source(root)
        folder = ImageFolder(root / paths.AUGMENTED, params.layout)
        if params.layout == "shards":
            return _names_fit(folder, copied, partial(augment.job_of, params=params, frame=frame))
        return _files_fit(folder, copied.values(), partial(_copies_of, params=params, source=source, frame=frame))
    return True


def _names_fit(folder: ImageFolder, films: Mapping[str, Any], job_of: Callable[[str, Sequence[Any]], Any]) -> bool:
    """Return whether the parameters give most of the shards the names that they have, of the films within them."""
    fit = []
    for name in folder.shards_on_disk():
        try:
            ids = dict.fromkeys(pq.read_table(folder.path / SHARDS / name, columns=["film_id"])[0].to_pylist())
        except (OSError, pa.ArrowException):
            continue  # spoilt: it tells nothing
        known = [films[film_id] for film_id in ids if film_id in films]
        fit.append(job_of(prefix_of(name), known).shard == name)
    return 2 * sum(fit) >= len(fit) if fit else _holds_nothing(folder, but=SHARDS)


def _files_fit(folder: ImageFolder, films: Iterable[Any], images_of: Callable[[Any], Mapping[str, bytes]]) -> bool:
    """Return whether the parameters give a film's files as they lie there; a few films are tried, for one is spoilt."""
    if _holds_nothing(folder):
        return True
    made = ([(folder.path / path, data) for path, data in images_of(film).items()] for film in films)
    there = ([(file, data) for file, data in images if file.is_file()] for images in made)
    tried = islice((images for images in there if images), FILMS_TRIED)
    return any(file.read_bytes() == data for images in tried for file, data in images)


def _holds_nothing(folder: ImageFolder, *, but: str = "") -> bool:
    """Return whether a folder holds no file beside the manifest, and those of one folder in it."""
    files = [path.relative_to(folder.path).parts for path in folder.path.rglob("*") if path.is_file()]
    return all(parts[0] in {store.MANIFEST, but} for parts in files)


def _normalized_of(film: SplitRow, *, params: normalize.NormalizeParams, raw: Path) -> dict[str, bytes]:
    """Return a film's normalized image by its path."""
    image, _ = normalize.normalize_film(film, params=params, raw=raw)
    return {normalize.path_of(film, params): codec.encode(image, encoding=params.encoding)}


def _copies_of(
    film: NormalizedRow, *, params: augment.AugmentParams, source: ImageFolder, frame: Frame
) -> dict[str, bytes]:
    """Return a film's original and copies by their paths."""
    ((_, encoded),) = source.read_images([film])
    image = augment.pixels_of(film, encoded, frame)
    made = augment.augment_one(film, image, chain=params.chain(frame), params=params)
    return dict(zip(augment.paths_of(film, params.copies + 1, params), made.images, strict=True))


# --- what the manifests that are whole tell --------------------------------------------------------------------


def _source(root: Root) -> tuple[ImageFolder, Frame]:
    """Return where the normalized films lie, and their frame."""
    footer = store.read_footer(root / paths.NORMALIZED_MANIFEST)
    return ImageFolder(root / paths.NORMALIZED, footer.params["layout"]), Frame(**footer.facts["frame"])


def _divided(root: Root) -> list[SplitRow]:
    return [film for film in store.read(SPLIT, root / paths.SPLIT) if film.status == "ok"]


def _training(root: Root) -> list[NormalizedRow]:
    films = store.read(NORMALIZED, root / paths.NORMALIZED_MANIFEST)
    return [film for film in films if film.split == "train" and film.status == "ok"]


# --- shards and image files: the stage's own work on the films that they hold ----------------------------------


def _mend_normalized(bench: Bench) -> Iterator[str]:
    shards, images = bench.of("shard", f"{paths.NORMALIZED}/"), bench.of("image", f"{paths.NORMALIZED}/")
    if not shards and not images:
        return
    root, machine = bench.root, bench.machine
    footer = store.read_footer(root / paths.NORMALIZED_MANIFEST)
    params = params_of(normalize.NormalizeParams, footer, paths.NORMALIZED_MANIFEST)
    raw = normalize.raw_folder(footer.facts, root, machine)
    rows = store.read_table(NORMALIZED, root / paths.NORMALIZED_MANIFEST)
    films = {film.film_id: film for film in _divided(root)}
    if shards:
        work = partial(normalize.normalize_shard, params=params, raw=raw, root=root)
        jobs = _jobs(rows, films, partial(normalize.job_of, params=params))
        yield from _mend_shards(shards, work, jobs, _Place(paths.NORMALIZED, footer, root, machine))
    if images:
        broken = NORMALIZED.rows(_rows_of(images, rows, paths.NORMALIZED))
        remake = partial(_mend_normalized_file, films=films, params=params, raw=raw, root=root)
        yield from _together(list(machine.fan_out(remake, broken, unit="images")))


def _mend_augmented(bench: Bench) -> Iterator[str]:
    shards, images = bench.of("shard", f"{paths.AUGMENTED}/"), bench.of("image", f"{paths.AUGMENTED}/")
    if not shards and not images:
        return
    root, machine = bench.root, bench.machine
    footer = store.read_footer(root / paths.AUGMENTED_MANIFEST)
    params = params_of(augment.AugmentParams, footer, paths.AUGMENTED_MANIFEST)
    source, frame = _source(root)
    rows = store.read_table(AUGMENTED, root / paths.AUGMENTED_MANIFEST)
    films = {film.film_id: film for film in _training(root)}
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
    name: str, *, work: Callable[[Any], pa.Table], jobs: Mapping[str, Any], folder: Path, seals: Mapping[str, str]
) -> tuple[str, bool]:
    """Make one shard anew; the spoilt one is kept until it is there, and put back where it cannot be made."""
    path = folder / name
    aside = path.with_name(f".{name}.{os.getpid()}.partial")
    spoilt = path.exists()
    if spoilt:
        path.replace(aside)
    try:
        work(jobs[name])
        made = seal.claimed_by(path)
        if made == seals.get(name):
            aside.unlink(missing_ok=True)
            return f"{name} made anew: seal {str(made)[:12]}, as the manifest says", True
        problem = f"made anew it has the seal {str(made)[:12]}, the manifest says {seals.get(name, 'none')[:12]}"
    except (CxrError, ManifestError) as error:
        problem = f"cannot be made anew: {error}"
    if spoilt:
        aside.replace(path)
    else:
        path.unlink(missing_ok=True)
    return f"{name} {problem}", False


def _together(results: Sequence[tuple[str, bool]]) -> Iterator[str]:
    """Yield what went well, then raise what did not."""
    yield from (text for text, well in results if well)
    if failures := [text for text, well in results if not well]:
        raise StageError("; ".join(failures))


def _mend_normalized_file(
    row: NormalizedRow, *, films: Mapping[str, SplitRow], params: normalize.NormalizeParams, raw: Path, root: Root
) -> tuple[str, bool]:
    where = f"{paths.NORMALIZED}/{row.path}"
    try:
        image, _ = normalize.normalize_one(normalize.read_raw(raw, films[row.film_id]), params=params)
    except CxrError as error:
        return f"{where} cannot be made anew: {error}", False
    return _put(root / where, where, codec.encode(image, encoding=params.encoding), row.sha256)


def _mend_copy_file(
    row: AugmentedRow,
    *,
    films: Mapping[str, NormalizedRow],
    params: augment.AugmentParams,
    source: ImageFolder,
    frame: Frame,
    root: Root,
) -> tuple[str, bool]:
    where, film = f"{paths.AUGMENTED}/{row.path}", films[row.film_id]
    try:
        ((_, encoded),) = source.read_images([film])
    except ManifestError as error:
        return f"{where} cannot be made anew: {error}", False
    shown = Box(film.film_left, film.film_top, film.film_right, film.film_bottom)
    image, _ = params.chain(frame).apply(codec.decode(encoded), row.drawn, film=shown)
    return _put(root / where, where, codec.encode(image, encoding=params.encoding, quality=params.quality), row.sha256)


def _put(path: Path, where: str, data: bytes, sha256: str) -> tuple[str, bool]:
    """Write an image file that was made anew, if it is the one of its row."""
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        return f"{where} comes out with sha256 {found[:12]}, its row says {sha256[:12]}: other codecs made it", False
    store.write_bytes(path, data)
    return f"{where} made anew: sha256 {found[:12]}, as its row says", True
