"""A raw file's row in the audit: what its bytes say, what its name says, and what follows from the classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from manifests.rows import AuditedRow, Status
from stages.columns import where_ok, with_columns
from stages.contract import StageError
from stages.films import decode
from stages.films.frame import Frame
from stages.films.placement import place
from stages.films.quality import Quality
from stages.named import Named

# what a row takes from its file's header as it is
TOLD = (
    *("width", "height", "mode", "format", "jpeg_quality", "bits", "jpeg_subsampling", "progressive", "exif_tags"),
    *("transfer_syntax", "photometric", "windowing"),
)
MEASURES = (*TOLD, "bits_per_pixel", "crop_lost", "pad_added")
MOST_CLASSES = 2**15  # as many as `label_index` has room for
QUALITY = tuple(field.name for field in fields(Quality))


@dataclass(frozen=True, slots=True)
class Examined:
    """What one file's bytes say."""

    status: Status
    reason: str | None
    film_id: str | None = None
    file_bytes: int | None = None
    header: decode.Header | None = None
    thumbnail: bytes = b""
    levels_sum: int = 0
    quality: Quality | None = None
    specimen: bytes = b""  # of a film of the sample alone

    @property
    def group(self) -> str | None:
        """The patient by the file's own word, hashed."""
        return self.header.group if self.header is not None else None


def film_row(path: str, examined: Examined, named: Named, frame: Frame) -> AuditedRow:
    """Return a file's row: what its bytes say first, since a label does not mend a broken file.

    Label and patient are as named: which labels are classes is known once all files were looked at (`classified`).
    """
    status, reason = examined.status, examined.reason
    if status == "ok" and examined.quality is not None and examined.quality.is_blank:
        status, reason = "blank", f"found one grey level, {examined.quality.level_50}; expected a picture"
    if status == "ok":
        status, reason = named.status, named.reason
    return AuditedRow(
        film_id=examined.film_id,
        path=path,
        label=named.label,
        label_index=None,
        group_id=named.group or examined.group,
        split=None,
        status=status,
        reason=reason,
        file_bytes=examined.file_bytes,
        exact_duplicate_of=None,
        near_duplicate_of=None,
        near_duplicate_how=None,
        near_similarity=None,
        delivered_split=named.delivered_split,
        warning=_warning(path, examined.header),
        **_measures(examined, frame),
        **_seen(examined),
    )


def classified(rows: pa.Table, classes: Sequence[str]) -> pa.Table:
    """Return the rows with the class of each film, the unlabelled set aside, and patients of those that have none.

    Raises:
        StageError: where there are more classes than a manifest can number.
    """
    if len(classes) > MOST_CLASSES:
        found = (
            f"found {len(classes):,} classes, from '{classes[0]}' to '{classes[-1]}'; expected {MOST_CLASSES:,} at most"
        )
        raise StageError(
            f"{found}; where folders are patients, name the classes in a CSV (--labels csv) or in params.yaml (classes)"
        )
    label = rows.column("label")
    index = pc.index_in(label, value_set=pa.array(classes, pa.string()))
    known = pc.is_valid(index)
    unknown = pc.and_(where_ok(rows), pc.invert(known))
    why = pc.binary_join_element_wise("label '", label, f"' is none of the classes {', '.join(classes)}", "")
    first_twelve = pc.utf8_slice_codeunits(pc.coalesce(rows.column("film_id"), rows.column("path")), 0, 12)
    own = pc.binary_join_element_wise("film", first_twelve, "/")
    return with_columns(
        rows,
        label=pc.if_else(known, label, None),
        label_index=index,
        group_id=pc.coalesce(rows.column("group_id"), pc.if_else(known, own, None)),
        status=pc.if_else(unknown, "unlabelled", rows.column("status")),
        reason=pc.if_else(unknown, why, rows.column("reason")),
    )


def _measures(examined: Examined, frame: Frame) -> dict[str, Any]:
    """Return the columns that follow from a file's header; all null where there is none."""
    header = examined.header
    if header is None or examined.file_bytes is None:
        return dict.fromkeys(MEASURES)
    crop = place(header.frame, frame=frame, policy="crop")
    return {
        **{name: getattr(header, name) for name in TOLD},
        "bits_per_pixel": 8 * examined.file_bytes / (header.width * header.height),
        "crop_lost": crop.lost,
        "pad_added": crop.padded,
    }


def _seen(examined: Examined) -> dict[str, Any]:
    """Return the columns that follow from a film's grey levels; all null where there are none."""
    seen = dict.fromkeys(QUALITY) if examined.quality is None else asdict(examined.quality)
    colour = None if examined.header is None else examined.header.colour
    return {**seen, "colour": colour, "askew": None, "distance": None, "flags": None}


def _warning(path: str, header: decode.Header | None) -> str | None:
    """Return what is odd about the file, each thing's kind before a colon: figures count the kinds (`summary`)."""
    if header is None:
        return None
    suffix = PurePosixPath(path).suffix.lower()
    if header.format in decode.EXTENSIONS:
        wrong = suffix not in decode.EXTENSIONS[header.format]
    else:  # a DICOM is called anything, as by its uid, but should not be called as other films are
        wrong = any(suffix in others for others in decode.EXTENSIONS.values())
    shown = suffix.replace("; ", ";")  # that parts warnings
    extension = (f"wrong extension: the name ends in '{shown}', the bytes are {header.format}",) if wrong else ()
    return "; ".join((*extension, *header.oddities)) or None
