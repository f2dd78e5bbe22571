"""audit: one row per raw file, good or bad: what it is, what it shows, whose it is, what is odd about it."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
from PIL import Image
from pydantic import Field, field_validator

from manifests import source, store
from manifests.rows import AUDITED
from stages import paths
from stages.ahead import Ahead
from stages.auditing import census
from stages.auditing import summary as audit_summary
from stages.auditing.duplicates import mark_near_duplicates, set_duplicates_aside, warn_of_groups_in_test
from stages.auditing.rows import Examined, classified, film_row
from stages.auditing.sample import Sample, drawn
from stages.auditing.thumbnails import Thumbnails
from stages.contract import Failure, Machine, Made, Params, Report, Retry, Root, Stage, StageError, begin
from stages.films import decode, look
from stages.films.frame import Frame, Gray
from stages.films.placement import Placement, Policy
from stages.films.specimen import Aim, specimen
from stages.labels import Labels, LabelSource, choose
from stages.memory import give_back
from stages.statistics.duplicates import SIDE

ROWS_AT_ONCE = 1024  # objects, before they become columns


class AuditParams(Params):
    """What the films are taken for."""

    labels: LabelSource = Field(
        "auto",
        description="Where labels come from: kermany (file names such as person12_virus_30.jpeg), folder "
        "(split/class/ or class/), csv (path,label[,group][,split]); auto takes the CSV where there is one, "
        "else kermany where half of the names fit, else folder.",
    )
    labels_csv: str = Field("labels.csv", description="The labels CSV, relative to the raw folder.")
    classes: tuple[str, ...] = Field(
        (), description="Classes in the order of label_index; empty: Kermany's, or sorted names."
    )
    group_pattern: str = Field(
        "",
        description="Regular expression that finds the patient in a path: its named groups, such as "
        "(?P<series>...) and (?P<patient>...), else its capturing groups, else the whole match. It overrides Kermany's "
        "rule; a CSV's column 'group' overrides it. Empty: Kermany's rule for Kermany's names, else every film is a "
        "patient of its own.",
    )
    height: int = Field(256, ge=1, description="Height in pixels of the frame that normalization is judged by.")
    width: int = Field(300, ge=1, description="Width in pixels of the frame that normalization is judged by.")
    policy: Policy = Field(
        "cover",
        description="How films come into that frame where their pixels are searched for shortcuts, as in normalize; "
        "what it costs is told of all four policies.",
    )

    @field_validator("group_pattern")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from error
        return pattern

    @property
    def frame(self) -> Frame:
        """The frame that normalization is judged by."""
        return Frame(height=self.height, width=self.width)

    @property
    def aim(self) -> Aim:
        """Where films are searched for shortcuts."""
        return Aim(self.frame, self.policy)


@dataclass(frozen=True, slots=True)
class AuditJob:
    """One file; with what is known of it, if it ended the process that examined it."""

    path: str
    failure: Failure | None = None
    sampled: bool = False  # whether it is searched for shortcuts, as a network would see it


def audit_job(job: AuditJob, *, raw: Path, ahead: Ahead | None = None, aim: Aim | None = None) -> Examined:
    """Return what the bytes of a job's file say; one that is known to have failed is hashed, and not looked into."""
    if job.failure is None:
        return audit_one(job.path, raw=raw, ahead=ahead, aim=aim if job.sampled else None)
    try:
        data = source.read(raw / job.path)
    except source.SourceError:
        return Examined(job.failure.status, job.failure.reason)
    return Examined(job.failure.status, job.failure.reason, hashlib.sha256(data).hexdigest(), len(data))


def without(job: AuditJob, failures: Mapping[str, Failure]) -> AuditJob:
    """Return a file's job with what is known of it."""
    return replace(job, failure=failures[job.path])


def audit_one(path: str, *, raw: Path, ahead: Ahead | None = None, aim: Aim | None = None) -> Examined:
    """Return what the bytes of one file say; a file that cannot be used says why.

    Where there is an aim, it is the film's turn to be searched for shortcuts.
    """
    begin(path)
    if readable(path) != path:
        return Examined("unreadable", "the name is no UTF-8, so no manifest can hold it; rename the file")
    try:
        data = source.read(raw / path)
    except source.SourceError as error:
        return Examined(error.status, str(error), file_bytes=error.file_bytes)
    film_id = hashlib.sha256(data).hexdigest()
    try:
        header, image = decode.decode(data)
    except decode.DecodeError as error:
        return Examined(error.status, str(error), film_id, len(data), error.header)
    kept = ahead.keep(film_id, image) if ahead is not None else None
    small = look.reduced(image)
    seen = _specimen(image, aim, kept if ahead is not None and Aim(ahead.frame, ahead.policy) == aim else None)
    return Examined("ok", None, film_id, len(data), header, look.thumbnail(small, side=SIDE), seen)


def _specimen(image: Image.Image, aim: Aim | None, kept: tuple[Gray, Placement] | None) -> bytes:
    """Return what is kept of a film in the frame, as it was laid down for normalize where that is the same frame."""
    if aim is None:
        return b""
    return specimen(*kept) if kept is not None else aim.specimen(image)


def files_under(raw: Path) -> list[str]:
    """Return the POSIX path of every file under the raw folder, sorted; linked folders are followed once.

    Raises:
        StageError: where the folder is missing or holds no file.
    """
    if not raw.is_dir():
        raise StageError(
            f"{raw}: no such folder; put the films there, point --raw at them, or run `cxr-pipeline phantom`"
        )
    found = sorted(source.walk(raw))
    if not found:
        raise StageError(f"{raw}: holds no file; put the films there, or run `cxr-pipeline phantom`")
    return found


def readable(path: str) -> str:
    r"""Return a path as manifests hold it: bytes that are no UTF-8 are spelled out, as in `caf\xe9.jpeg`."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def look_at_all(
    params: AuditParams, raw: Path, machine: Machine, thumbnails: Thumbnails
) -> tuple[pa.Table, Labels, set[str], Sample]:
    """Examine every file under the raw folder, and lay down a thumbnail of each.

    Returns:
        The rows in the order of the paths, their classes open; the way films are named; the labels of those that are
        images, since a folder of other files makes no class; and what was seen of those that were searched for
        shortcuts.
    """
    files = files_under(raw)
    labels = choose(params.labels, files, raw, labels_csv=params.labels_csv, group_pattern=params.group_pattern)
    if labels.source == "csv":
        files = sorted({*files, *labels.listed} - {params.labels_csv})
    retry = Retry(alone=lambda job, _path: job, without=without)
    wanted, sample = _drawn(files, labels), Sample()
    jobs = Made(lambda number: AuditJob(files[number], sampled=files[number] in wanted), len(files))
    work = partial(audit_job, raw=raw, ahead=machine.ahead, aim=params.aim)
    examined = machine.fan_out(work, jobs, total=len(files), retry=retry)
    found: set[str] = set()
    tables = [AUDITED.table([])]
    looked = zip(map(readable, files), examined, strict=True)
    while some := list(islice(looked, ROWS_AT_ONCE)):
        named = [labels.name(path) for path, _ in some]
        rows = [film_row(path, told, name, params.frame) for (path, told), name in zip(some, named, strict=True)]
        tables.append(AUDITED.table(rows))
        for (path, told), name in zip(some, named, strict=True):
            thumbnails.add(told.thumbnail)
            sample.add(path, told.specimen)
            found |= {name.label} if told.status == "ok" and name.label is not None else set()
    return pa.concat_tables(tables), labels, found, sample


def _drawn(files: Sequence[str], labels: Labels) -> set[str]:
    """Return the files that are searched for shortcuts."""
    named = ((path, labels.name(readable(path))) for path in files)
    return drawn((path, name.label if name.status == "ok" else None, name.delivered_split) for path, name in named)


def survey(params: AuditParams, root: Root, machine: Machine) -> tuple[pa.Table, dict[str, Any], Sample]:
    """Examine every file under the raw folder, write the manifest, and return its rows, facts and sample."""
    raw = machine.raw or root / paths.RAW
    with Thumbnails((root / paths.AUDIT).parent) as thumbnails:
        rows, labels, found, sample = look_at_all(params, raw, machine, thumbnails)
        classes = params.classes or labels.classes or tuple(sorted(found))
        rows = warn_of_groups_in_test(set_duplicates_aside(classified(rows, classes)))
        give_back()  # what the rows were made from
        rows, threshold = mark_near_duplicates(rows, thumbnails)
    give_back()  # the search's blocks
    facts = _facts(raw, root, labels, classes, threshold)
    store.write(rows, AUDITED, root / paths.AUDIT, store.Footer(params=params.model_dump(mode="json"), facts=facts))
    return rows, facts, sample


def run(params: AuditParams, root: Root, machine: Machine) -> Report:
    """Examine every file under the raw folder and write the manifest, the summary and the page."""
    return _report(_told(params, *survey(params, root, machine)), root)


def _facts(raw: Path, root: Root, labels: Labels, classes: Sequence[str], threshold: float) -> dict[str, Any]:
    inside = raw.resolve().is_relative_to(root.resolve())
    return {
        "raw": raw.resolve().relative_to(root.resolve()).as_posix() if inside else str(raw.resolve()),
        "classes": list(classes),
        "label_source": labels.source,
        "label_source_reason": labels.reason,
        "group_source": labels.group_reason,
        "near_threshold": round(threshold, 6),
    }


@dataclass(frozen=True, slots=True)
class _Told:
    """What is left of the rows for the page and the terminal: small, so that no row is held while the page is drawn."""

    summary: Mapping[str, Any]
    plotted: Sequence[Mapping[str, Any]]
    lines: Sequence[str]


def _told(params: AuditParams, rows: pa.Table, facts: Mapping[str, Any], sample: Sample) -> _Told:
    summary = audit_summary.summarize(rows, facts, params.aim, sample, group_pattern=params.group_pattern)
    lines = [*audit_summary.lines(rows, facts), *audit_summary.findings(summary)]
    return _Told(summary, census.sizes_to_plot(rows), lines)


def _report(told: _Told, root: Root) -> Report:
    from stages.reporting import audit_page  # noqa: PLC0415 - jinja2 and matplotlib: keep workers light

    store.write_json(root / paths.AUDIT_SUMMARY, told.summary)
    store.write_bytes(root / paths.AUDIT_PAGE, audit_page.audit_page({**told.summary, "films": told.plotted}).encode())
    return Report(
        done=told.summary["files"],
        unit="files",
        set_aside=told.summary["set_aside"],
        lines=told.lines,
        written=(paths.AUDIT_PAGE, paths.AUDIT),
    )


STAGE = Stage(
    "audit",
    AuditParams,
    reads=(paths.RAW,),
    writes=(paths.AUDIT, paths.AUDIT_SUMMARY, paths.AUDIT_PAGE),
    run=run,
)
