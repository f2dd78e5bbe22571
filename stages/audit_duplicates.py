"""What the audit says of films that are the same, or nearly: in their bytes, in their pixels, in their patients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from manifests.rows import AuditedRow
from stages.statistics import duplicates
from stages.statistics.splits import gathered, linked


def set_duplicates_aside(rows: Sequence[AuditedRow]) -> list[AuditedRow]:
    """Return the rows with one film of each set of byte-identical ones kept.

    Kept is a film of the delivered test split before others, since the test is not to be touched, then the
    first by path. Where the labels of the same bytes differ, none can be trusted: all are set aside, but a
    delivered test film, which stays as it was delivered.
    """
    usable = [row for row in rows if row.status == "ok"]
    changed: dict[str, AuditedRow] = {}
    for same in gathered([str(row.film_id) for row in usable], usable).values():
        kept, *others = sorted(same, key=lambda row: (row.delivered_split != "test", row.path))
        labels = sorted({str(row.label) for row in same})
        if len(labels) > 1 and kept.delivered_split != "test":
            reason = f"the same bytes are labelled {' and '.join(labels)}; expected one label"
            changed |= {row.path: replace(row, status="label_conflict", reason=reason) for row in same}
            continue
        for row in others:
            note = "" if row.label == kept.label else f" (there labelled {kept.label})"
            reason = f"same bytes as {kept.path}{note}"
            changed[row.path] = replace(row, status="duplicate", reason=reason, exact_duplicate_of=kept.path)
    return [changed.get(row.path, row) if row.status == "ok" else row for row in rows]


def warn_of_groups_in_test(rows: Sequence[AuditedRow]) -> list[AuditedRow]:
    """Return the rows with a warning on films whose patient is in the delivered test split as well."""
    tested = {row.group_id for row in rows if row.status == "ok" and row.delivered_split == "test"}
    text = "patient group is also in the delivered test split"
    return [
        replace(row, warning=f"{row.warning}; {text}" if row.warning else text)
        if row.status == "ok" and row.delivered_split != "test" and row.group_id in tested
        else row
        for row in rows
    ]


def mark_near_duplicates(rows: Sequence[AuditedRow], thumbnails: Mapping[str, bytes]) -> tuple[list[AuditedRow], float]:
    """Return the rows with near duplicates pointing to the first film of their kind, and the threshold.

    Films that resemble one another through a third are of one kind: so whoever links each film to the one it
    points to holds all of them together.
    """
    usable = [row for row in rows if row.status == "ok"]
    pixels = np.frombuffer(b"".join(thumbnails[row.path] for row in usable), np.uint8)
    vectors = duplicates.Descriptors(pixels.reshape(len(usable), duplicates.SIDE**2))
    found = duplicates.calibrated_threshold(vectors, [str(row.group_id) for row in usable])
    threshold = duplicates.LEAST if found is None else found
    pairs = duplicates.pairs_above(vectors, threshold)
    first = linked(thumbnails, ((usable[one].path, usable[other].path) for one, other in pairs))
    return [
        replace(row, near_duplicate_of=first[row.path]) if row.status == "ok" and first[row.path] != row.path else row
        for row in rows
    ], threshold
