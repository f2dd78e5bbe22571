"""audit: one row per raw file, good or bad: what it is, what it shows, whose it is, what is odd about it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field, field_validator

from manifests import store
from manifests.places import AnyPath, named_from, scratch_near
from manifests.rows import AUDITED
from stages import nih, paths
from stages.auditing import census, checks, figures, pictured
from stages.auditing import summary as audit_summary
from stages.auditing.duplicates import mark_near_duplicates, said, set_duplicates_aside, warn_of_groups_in_test
from stages.auditing.examine import AuditJob, audit_job, without
from stages.auditing.files import files_under, readable
from stages.auditing.quality import flagged
from stages.auditing.rows import classified, film_row
from stages.auditing.sample import Sample, drawn
from stages.auditing.thumbnails import Thumbnails
from stages.contract import Machine, Made, Params, Report, Retry, Root, Stage
from stages.films import identity
from stages.films.frame import Frame
from stages.films.placement import Policy
from stages.films.specimen import Aim
from stages.labels import Labels, LabelSource, choose
from stages.labels_csv import CsvNames
from stages.memory import give_back
from stages.pictures import addresses, raw_pictures
from stages.statistics.duplicates import Threshold

PATIENT_KEY = "CXR_PATIENT_KEY"  # the variable that holds the key of the hash that stands for a patient
ROWS_AT_ONCE = 1024  # objects, before they become columns
PICTURE_SIDE = 150  # pixels
GATE = ("fail_on", "limits")  # they decide no row: later stages need not run again for them


class AuditParams(Params):
    """What the films are taken for."""

    labels: LabelSource = Field(
        "auto",
        description="Where labels come from: kermany (file names such as person12_virus_30.jpeg), folder "
        "(split/class/ or class/), csv (path,label[,group][,split]), nih (Data_Entry_2017*.csv); auto takes the CSV "
        "where there is one, else NIH's, else kermany where half of the names fit, else folder.",
    )
    labels_csv: str = Field("labels.csv", description="The labels CSV, relative to the raw folder.")
    csv_columns: Mapping[Literal["path", "label", "group", "split"], str] = Field(
        {},
        description="What the labels CSV calls these columns, where it has other names for them, as in "
        "{path: file, group: Patient ID}. A group of another name is taken for a patient's id, and hashed.",
    )
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
    height: int = Field(
        256, ge=1, le=4096, description="Height in pixels of the frame that normalization is judged by."
    )
    width: int = Field(300, ge=1, le=4096, description="Width in pixels of the frame that normalization is judged by.")
    policy: Policy = Field(
        "cover",
        description="How films come into that frame where their pixels are searched for shortcuts, as in normalize; "
        "what it costs is told of all four policies.",
    )
    finding: str = Field(
        "",
        description="NIH's finding that makes a class, against films without any and films with others alone; "
        "empty: a class for each finding, and films of several are set aside.",
    )

    fail_on: str = Field(
        "",
        description="Checks, comma-separated, that fail the run (exit 1) where more is found than `limits` allow: all, "
        f"or some of {', '.join(check.name for check in checks.CHECKS)}; empty: none.",
    )
    limits: checks.Limits = Field(checks.Limits(), description="What the checks let pass.")

    @field_validator("fail_on")
    @classmethod
    def _known_checks(cls, fail_on: str) -> str:
        checks.named(fail_on)
        return fail_on

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
class LookedAt:
    """What came of looking at every file.

    Attributes:
        rows: in the order of the paths, their classes open.
        labels: the way films are named.
        found: the labels of those files that are images, since a folder of other files makes no class.
        sample: what was seen of the films that were searched for shortcuts.
        sums: (files,) the sum of each film's levels (`examine.levels_sum`).
    """

    rows: pa.Table
    labels: Labels
    found: set[str]
    sample: Sample
    sums: NDArray[np.uint64]


def look_at_all(params: AuditParams, raw: AnyPath, machine: Machine, thumbnails: Thumbnails) -> LookedAt:
    """Examine every file under the raw folder, and lay down a thumbnail of each."""
    files = files_under(raw)
    key = patient_key()  # here, and not where the work is done: other hosts have variables of their own
    labels = _labels(params, files, raw, key)
    if labels.listed or labels.beside:
        files = sorted({*files, *labels.listed} - {*labels.beside})
    retry = Retry(alone=lambda job, _path: job, without=without)
    wanted, sample, sums = _drawn(files, labels), Sample(), np.zeros(len(files), np.uint64)
    jobs = Made(lambda number: AuditJob(files[number], sampled=files[number] in wanted), len(files))
    work = partial(audit_job, raw=raw, ahead=machine.ahead, key=key, aim=params.aim)
    examined = machine.fan_out(work, jobs, total=len(files), retry=retry)
    found: set[str] = set()
    tables, seen = [AUDITED.table([])], 0
    looked = zip(map(readable, files), examined, strict=True)
    while some := list(islice(looked, ROWS_AT_ONCE)):
        named = [labels.name(path) for path, _ in some]
        rows = [film_row(path, told, name, params.frame) for (path, told), name in zip(some, named, strict=True)]
        tables.append(AUDITED.table(rows))
        sums[seen : seen + len(some)] = [told.levels_sum for _, told in some]
        seen += len(some)
        for (path, told), name in zip(some, named, strict=True):
            thumbnails.add(told.thumbnail)
            sample.add(path, told.specimen)
            if told.status == "ok" and name.label is not None:
                found.add(name.label)
    return LookedAt(pa.concat_tables(tables), labels, found, sample, sums)


def _labels(params: AuditParams, files: Sequence[str], raw: AnyPath, key: bytes) -> Labels:
    """Return the way to name the files: NIH's where its CSV is the one to take, else as `labels.choose` finds."""
    found = nih.labels(params.labels, files, raw, labels_csv=params.labels_csv, finding=params.finding, key=key)
    return found or choose(
        params.labels,
        files,
        raw,
        labels_csv=params.labels_csv,
        group_pattern=params.group_pattern,
        called=CsvNames({str(name): theirs for name, theirs in params.csv_columns.items()}, key),
    )


def _drawn(files: Sequence[str], labels: Labels) -> set[str]:
    """Return the files that are searched for shortcuts."""
    named = ((path, labels.name(readable(path))) for path in files)
    return drawn((path, name.label if name.status == "ok" else None, name.delivered_split) for path, name in named)


def survey(params: AuditParams, root: Root, machine: Machine) -> tuple[pa.Table, dict[str, Any], Sample]:
    """Examine every file under the raw folder, write the manifest, and return its rows, facts and sample."""
    raw = machine.raw or root / paths.RAW
    with Thumbnails(scratch_near((root / paths.AUDIT).parent)) as thumbnails:
        seen = look_at_all(params, raw, machine, thumbnails)
        classes = params.classes or seen.labels.classes or tuple(sorted(seen.found))
        rows = warn_of_groups_in_test(set_duplicates_aside(classified(seen.rows, classes)))
        labels, sample, sums = seen.labels, seen.sample, seen.sums
        del seen  # or the rows would be there twice while duplicates are searched for
        give_back()  # what the rows were made from
        rows, threshold = mark_near_duplicates(rows, thumbnails, sums)
        rows, flags = flagged(rows, thumbnails)
    give_back()  # the search's blocks
    facts = _facts(raw, root, labels, rows, classes, threshold) | {"quality": flags}
    of_rows = params.model_dump(mode="json", exclude=set(GATE))
    store.write(rows, AUDITED, root / paths.AUDIT, store.Footer(params=of_rows, facts=facts))
    return rows, facts, sample


def run(params: AuditParams, root: Root, machine: Machine) -> Report:
    """Examine every file under the raw folder and write the manifest, the summary and the page.

    All of them are written where a check fails the run as well: whoever mends the set needs to see them.
    """
    return _report(_shown(params, *survey(params, root, machine)), params, root, machine)


def _facts(
    raw: AnyPath, root: Root, labels: Labels, rows: pa.Table, classes: Sequence[str], threshold: Threshold
) -> dict[str, Any]:
    return {
        "raw": named_from(root, raw),
        "classes": list(classes),
        "label_source": labels.source,
        "label_source_reason": labels.reason,
        "group_source": labels.group_reason + ("" if labels.source == "nih" else _by_tags(rows)),
        "beside": sorted(labels.beside),
        "near_threshold": round(threshold.agreement, 6),
        "near_threshold_siblings": round(threshold.siblings, 6),
        "near_threshold_source": said(threshold),
    }


def _by_tags(rows: pa.Table) -> str:
    """Return what is to be said of the patients whom DICOMs name, where any made a group."""
    hashed = pc.starts_with(pc.fill_null(rows.column("group_id"), ""), identity.PREFIX)
    films = pc.sum(pc.and_(hashed, pc.equal(pc.fill_null(rows.column("format"), ""), "DICOM"))).as_py() or 0
    how = f"under the key of {PATIENT_KEY}" if patient_key() else f"without a key ({PATIENT_KEY} is not set)"
    return f"; where that is silent, the patient id of {films:,} DICOMs, hashed {how}" if films else ""


def patient_key() -> bytes:
    """Return the key of the hash that stands for a patient, empty where there is none."""
    return os.environ.get(PATIENT_KEY, "").encode()


@dataclass(frozen=True, slots=True)
class _Shown:
    """What is left of the rows for the page and the terminal: small, so that no row is held while the page is drawn.

    Attributes:
        summary: what `reports/audit.json` holds.
        plotted: the films whose sizes the page plots.
        lines: of the terminal.
    """

    summary: Mapping[str, Any]
    plotted: Sequence[Mapping[str, Any]]
    lines: Sequence[str]


def _shown(params: AuditParams, rows: pa.Table, facts: Mapping[str, Any], sample: Sample) -> _Shown:
    films = figures.usable(rows)
    summary = audit_summary.summarize(rows, films, facts, params.aim, sample, group_pattern=params.group_pattern)
    summary["checks"] = checks.checked(rows, summary, params.limits)
    lines = [
        *audit_summary.lines(films, summary),
        *audit_summary.findings(summary),
        *checks.lines(summary["checks"]),
    ]
    return _Shown(summary, census.sizes_to_plot(films), lines)


def _report(shown: _Shown, params: AuditParams, root: Root, machine: Machine) -> Report:
    from stages.reporting import audit_page  # noqa: PLC0415 - jinja2: keep workers light

    store.write_json(root / paths.AUDIT_SUMMARY, shown.summary)
    pictures = raw_pictures(
        pictured.paths_of(shown.summary), machine.raw or root / paths.RAW, machine, side=PICTURE_SIDE
    )
    page = audit_page.audit_page({**shown.summary, "films": shown.plotted}, addresses(pictures))
    store.write_bytes(root / paths.AUDIT_PAGE, page.encode())
    over = checks.failed(shown.summary["checks"], checks.named(params.fail_on))
    return Report(
        done=shown.summary["files"],
        unit="files",
        set_aside=shown.summary["set_aside"],
        lines=shown.lines,
        written=(paths.AUDIT_PAGE, paths.AUDIT),
        verdict=over,
        failed=bool(over),
    )


STAGE = Stage(
    "audit",
    AuditParams,
    reads=(paths.RAW,),
    writes=(paths.AUDIT, paths.AUDIT_SUMMARY, paths.AUDIT_PAGE),
    run=run,
)
