"""audit: one row per raw file, good or bad: what it is, what it shows, whose it is, what is odd about it."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image
from pydantic import Field, field_validator

from manifests import source, store
from manifests.rows import AUDITED, AuditedRow, Status
from stages import audit_summary, paths
from stages.ahead import Ahead
from stages.audit_duplicates import mark_near_duplicates, set_duplicates_aside, warn_of_groups_in_test
from stages.contract import Failure, Machine, Params, Report, Retry, Root, Stage, StageError, begin, counts
from stages.films import decode
from stages.films.frame import Frame
from stages.films.placement import place
from stages.labels import Labels, LabelSource, Named, choose
from stages.statistics import duplicates

LOOK = 4 * duplicates.SIDE  # pixels on the shorter side that are enough for a film's thumbnail


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
        description="Regular expression that finds the patient in a path (its capturing groups, if any), for "
        "labels from folders or a CSV without groups; empty: every film is a patient of its own.",
    )
    height: int = Field(256, ge=1, description="Height in pixels of the crop whose losses are reported.")
    width: int = Field(300, ge=1, description="Width in pixels of the crop whose losses are reported.")

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
        """The frame of the crop that is judged."""
        return Frame(height=self.height, width=self.width)


@dataclass(frozen=True, slots=True)
class Examined:
    """What one file's bytes say."""

    status: Status
    reason: str | None
    film_id: str | None = None
    file_bytes: int | None = None
    header: decode.Header | None = None
    thumbnail: bytes = b""


@dataclass(frozen=True, slots=True)
class AuditJob:
    """One file; with what is known of it, if it ended the process that examined it."""

    path: str
    failure: Failure | None = None


def audit_job(job: AuditJob, *, raw: Path, ahead: Ahead | None = None) -> Examined:
    """Return what the bytes of a job's file say; one that is known to have failed is hashed, and not looked into."""
    if job.failure is None:
        return audit_one(job.path, raw=raw, ahead=ahead)
    try:
        data = source.read(raw / job.path)
    except source.SourceError:
        return Examined(job.failure.status, job.failure.reason)
    return Examined(job.failure.status, job.failure.reason, hashlib.sha256(data).hexdigest(), len(data))


def without(job: AuditJob, failures: Mapping[str, Failure]) -> AuditJob:
    """Return a file's job with what is known of it."""
    return replace(job, failure=failures[job.path])


def audit_one(path: str, *, raw: Path, ahead: Ahead | None = None) -> Examined:
    """Return what the bytes of one file say; a file that cannot be used says why."""
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
    if ahead is not None:
        ahead.keep(film_id, image)
    return Examined("ok", None, film_id, len(data), header, thumbnail_of(image))


def thumbnail_of(image: Image.Image) -> bytes:
    """Return the grey levels of a film by which near duplicates are found, SIDE x SIDE of them.

    Means of whole blocks first: smoothing a film of a million pixels straight to 32 x 32 takes three times as long.
    """
    block = max(1, min(image.size) // LOOK)
    small = image.reduce(block) if block > 1 else image
    return small.resize((duplicates.SIDE, duplicates.SIDE), Image.Resampling.BILINEAR).tobytes()


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


def film_row(path: str, examined: Examined, named: Named, classes: Sequence[str], frame: Frame) -> AuditedRow:
    """Return a file's row: what its bytes say first, since a label does not mend a broken file."""
    status, reason = examined.status, examined.reason
    if status == "ok":
        status, reason = named.status, named.reason
    if status == "ok" and named.label not in classes:
        status, reason = "unlabelled", f"label '{named.label}' is none of the classes {', '.join(classes)}"
    known = named.label in classes
    return AuditedRow(
        film_id=examined.film_id,
        path=path,
        label=named.label if known else None,
        label_index=classes.index(str(named.label)) if known else None,
        group_id=named.group or (f"film/{(examined.film_id or path)[:12]}" if known else None),
        split=None,
        status=status,
        reason=reason,
        file_bytes=examined.file_bytes,
        exact_duplicate_of=None,
        near_duplicate_of=None,
        delivered_split=named.delivered_split,
        warning=_warning(path, examined.header),
        **_measures(examined, frame),
    )


def _measures(examined: Examined, frame: Frame) -> dict[str, Any]:
    """Return the columns that follow from a file's header; all null where there is none."""
    header = examined.header
    if header is None or examined.file_bytes is None:
        names = (
            "width",
            "height",
            "mode",
            "format",
            "bits_per_pixel",
            "jpeg_quality",
            "crop_lost",
            "pad_added",
        )
        return dict.fromkeys(names)
    crop = place(header.frame, frame=frame, policy="crop")
    return {
        "width": header.width,
        "height": header.height,
        "mode": header.mode,
        "format": header.format,
        "bits_per_pixel": 8 * examined.file_bytes / (header.width * header.height),
        "jpeg_quality": header.jpeg_quality,
        "crop_lost": crop.lost,
        "pad_added": crop.padded,
    }


def _warning(path: str, header: decode.Header | None) -> str | None:
    """Return what is odd about the file, the kind before a colon; the page counts the kinds."""
    if header is None:
        return None
    suffix = PurePosixPath(path).suffix.lower()
    wrong = suffix not in decode.EXTENSIONS.get(header.format, (suffix,))
    extension = (f"wrong extension: the name ends in '{suffix}', the bytes are {header.format}",) if wrong else ()
    return "; ".join((*extension, *header.oddities)) or None


def classes_of(params: AuditParams, labels: Labels, named: Sequence[Named]) -> tuple[str, ...]:
    """Return the classes in the order of label_index: as asked for, as the naming fixes them, or sorted.

    Args:
        params: may hold the classes.
        labels: the way to name films.
        named: what is known of the files that are images: a folder of other files makes no class.
    """
    found = sorted({one.label for one in named if one.label is not None})
    return params.classes or labels.classes or tuple(found)


def survey(params: AuditParams, root: Root, machine: Machine) -> tuple[list[AuditedRow], dict[str, Any]]:
    """Examine every file under the raw folder, write the manifest, and return its rows and facts."""
    raw = machine.raw or root / paths.RAW
    films = files_under(raw)
    labels = choose(params.labels, films, raw, labels_csv=params.labels_csv, group_pattern=params.group_pattern)
    if labels.source == "csv":
        films = sorted({*films, *labels.listed} - {params.labels_csv})
    retry = Retry(alone=lambda job, _path: job, without=without)
    jobs = [AuditJob(path) for path in films]
    work = partial(audit_job, raw=raw, ahead=machine.ahead)
    examined = list(machine.fan_out(work, jobs, unit="files", retry=retry))
    films = [readable(path) for path in films]
    named = [labels.name(path) for path in films]
    images = [of_name for of_bytes, of_name in zip(examined, named, strict=True) if of_bytes.status == "ok"]
    classes = classes_of(params, labels, images)
    rows = [
        film_row(path, of_bytes, of_name, classes, params.frame)
        for path, of_bytes, of_name in zip(films, examined, named, strict=True)
    ]
    rows = warn_of_groups_in_test(set_duplicates_aside(rows))
    looked = zip(films, examined, strict=True)
    thumbnails = {path: of_bytes.thumbnail for path, of_bytes in looked if of_bytes.status == "ok"}
    rows, threshold = mark_near_duplicates(rows, thumbnails)
    facts = _facts(raw, root, labels, classes, threshold)
    store.write(rows, AUDITED, root / paths.AUDIT, store.Footer(params=params.model_dump(mode="json"), facts=facts))
    return rows, facts


def run(params: AuditParams, root: Root, machine: Machine) -> Report:
    """Examine every file under the raw folder and write the manifest, the summary and the page."""
    return _report(*survey(params, root, machine), params, root)


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


def _report(rows: Sequence[AuditedRow], facts: Mapping[str, Any], params: AuditParams, root: Root) -> Report:
    from stages.reporting import page  # noqa: PLC0415 - jinja2 and matplotlib: keep workers light

    summary = audit_summary.summarize(rows, facts, params.frame)
    store.write_json(root / paths.AUDIT_SUMMARY, summary)
    films = audit_summary.sizes_to_plot(rows)
    store.write_bytes(root / paths.AUDIT_PAGE, page.audit_page({**summary, "films": films}).encode())
    return Report(
        done=len(rows),
        unit="files",
        set_aside=counts(row.status for row in rows),
        lines=audit_summary.lines(rows, facts),
        written=(paths.AUDIT_PAGE, paths.AUDIT),
    )


STAGE = Stage(
    "audit",
    AuditParams,
    reads=(paths.RAW,),
    writes=(paths.AUDIT, paths.AUDIT_SUMMARY, paths.AUDIT_PAGE),
    run=run,
)
