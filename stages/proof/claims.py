"""The files that manifests claim: jobs for workers that read them, and what is there that nothing claims."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import PurePosixPath
from typing import Any

from manifests import verify as bytes_of
from manifests.columns import Schema
from manifests.places import AnyPath
from manifests.shards import SHARDS
from manifests.verify import Checked, FileClaim, Finding, Kind, ShardClaim
from stages import paths
from stages.auditing.files import files_under, readable
from stages.columns import ok_rows
from stages.contract import Machine, StageError
from stages.films import codec
from stages.films.frame import Frame
from stages.normalize import raw_folder
from stages.proof.chain import CHAIN, IMAGES, Manifests
from stages.proof.draw import EVERYTHING, Draw

FILES_PER_JOB = 64


# --- one job: some bytes, read by a worker ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Job:
    """A shard, or a few files, and what is claimed of them.

    Attributes:
        folder: that they lie in.
        where: the folder in the findings' words.
        kind: of what would have to be mended.
        schema: of a shard's rows.
        shard: a shard's claim; None for files.
        files: claims of files.
        frame: of the images; None for raw films.
    """

    folder: AnyPath
    where: str
    kind: Kind
    schema: Schema[Any] | None = None
    shard: ShardClaim | None = None
    files: tuple[FileClaim, ...] = ()
    frame: Frame | None = None


def check_one(job: Job, *, pixels: bool) -> Checked:
    """Read a job's bytes, once, and return what is not as claimed."""
    look = None if job.frame is None else partial(_look, frame=job.frame, pixels=pixels)
    if job.shard is not None:
        assert job.schema is not None
        assert look is not None
        return bytes_of.check_shard(job.shard, folder=job.folder, where=job.where, schema=job.schema, look=look)
    return bytes_of.check_files(job.files, folder=job.folder, where=job.where, kind=job.kind, look=look)


def _look(data: bytes, *, frame: Frame, pixels: bool) -> str:
    """Return what is wrong with an encoded image; empty where it has the frame."""
    try:
        found = codec.frame_of_bytes(data, pixels=pixels)
    except ValueError as error:
        return str(error)
    return "" if found == frame else f"an image of {found.height} x {found.width}, not {frame.height} x {frame.width}"


# --- what the manifests claim, and nothing else ----------------------------------------------------------------


def claims(found: Manifests, name: str, draw: Draw = EVERYTHING) -> Iterator[Job]:
    """Yield a job for every shard, or every few files, that a manifest of images claims.

    Args:
        found: the manifests.
        name: of the manifest.
        draw: which shards will be read; the rows of others need no digest.
    """
    footer, folder = found.footers[name], (found.root / name).parent
    where, frame, schema = name.rpartition("/")[0], Frame(**footer.facts["frame"]), CHAIN[name]
    tables = (ok_rows(table) for table in bytes_of.tables_of(schema, found.root / name))
    if footer.params["layout"] == "folder":
        files = [
            FileClaim(path, sha256)
            for table in tables
            for path, sha256 in zip(table.column("path").to_pylist(), table.column("sha256").to_pylist(), strict=True)
        ]
        yield from _file_jobs(files, folder, where, "image", frame)
        return
    for shard, rows in bytes_of.by_shard(tables):
        digest = bytes_of.rows_digest(rows) if draw.takes(f"{where}/{shard}") else ""
        claim = ShardClaim(shard, footer.files.get(shard, ""), len(rows), digest)
        yield Job(folder, where, "shard", schema, claim, frame=frame)


def _file_jobs(
    files: Sequence[FileClaim], folder: AnyPath, where: str, kind: Kind, frame: Frame | None
) -> Iterator[Job]:
    for start in range(0, len(files), FILES_PER_JOB):
        yield Job(folder, where, kind, files=tuple(files[start : start + FILES_PER_JOB]), frame=frame)


def check_shards_known(found: Manifests) -> list[Finding]:
    """Return which manifests name no shard that is there, while others are, and take them out of what is whole."""
    findings = []
    for name in IMAGES:
        if name not in found.footers or found.footers[name].params["layout"] != "shards":
            continue
        there = {path.name for path in (found.root / name).parent.glob(f"{SHARDS}/*.parquet")}
        claimed = set(found.footers[name].files)
        if there and claimed and not there & claimed:
            told = f"names {len(claimed):,} shards, none of which is there, while {len(there):,} others are"
            findings.append(Finding("other", name, told, "the manifest of the shards that are there"))
            del found.footers[name]
    return findings


def check_extra(found: Manifests, jobs: Sequence[Job]) -> list[Finding]:
    """Return the files in the stages' folders that nothing claims."""
    findings = []
    for name in CHAIN:
        where = name.rpartition("/")[0]
        folder = found.root / where
        if not folder.is_dir() or (name in IMAGES and name not in found.footers):
            continue  # nothing tells what a spoilt manifest claims: making it anew removes what it does not
        of_folder = [job for job in jobs if job.where == where]
        claimed = {f"{SHARDS}/{job.shard.name}" for job in of_folder if job.shard is not None}
        claimed |= {claim.path for job in of_folder for claim in job.files}
        findings += bytes_of.extra_files(folder, {*claimed, PurePosixPath(name).name}, where)
    return findings


def raw_jobs(found: Manifests, machine: Machine) -> tuple[list[Job], list[Finding]]:
    """Return jobs for the raw films, and findings for files that the audit has not seen.

    Nothing of either where there is no raw folder: a set can be checked without it.
    """
    footer = found.footers[paths.AUDIT]
    raw = raw_folder(footer.facts, found.root, machine)
    if not raw.is_dir():
        return [], []
    table = found.table(paths.AUDIT)
    known = dict(zip(table.column("path").to_pylist(), table.column("film_id").to_pylist(), strict=True))
    files = [FileClaim(path, film_id) for path, film_id in known.items() if film_id is not None]
    try:
        there = {readable(path) for path in files_under(raw)}
    except StageError:  # an empty folder: all films are missing, and are found to be
        there = set()
    where = str(machine.raw or footer.facts["raw"])
    told = set(footer.facts.get("beside", ()))
    new = [
        Finding("raw", f"{where}/{path}", "a raw file that the audit has not seen", "one row in the audit")
        for path in sorted(there - set(known) - told)
    ]
    return list(_file_jobs(files, raw, where, "raw", None)), new


def drawn(jobs: Sequence[Job], draw: Draw) -> list[Job]:
    """Return the jobs of the shards and files that a draw takes."""
    if draw == EVERYTHING:
        return list(jobs)
    parts = [_part(job, draw) for job in jobs]
    return [job for job in parts if job.shard is not None or job.files]


def _part(job: Job, draw: Draw) -> Job:
    """Return a job without what a draw does not take."""
    if job.shard is not None:
        return job if draw.takes(f"{job.where}/{job.shard.name}") else replace(job, shard=None)
    return replace(job, files=tuple(claim for claim in job.files if draw.takes(f"{job.where}/{claim.path}")))
