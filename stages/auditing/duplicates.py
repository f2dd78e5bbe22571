"""What the audit says of films that are the same, or nearly: in their bytes, in their pixels, in their patients."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby, islice

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from manifests.rows import AUDITED, NEAR_KINDS, AuditedRow
from stages.columns import put, where_ok, with_columns
from stages.statistics import duplicates
from stages.statistics.alignment import Thumbnails
from stages.statistics.difference import Difference, difference
from stages.statistics.splits import linked

ROWS_AT_ONCE = 1024  # objects, before they become columns again
OTHER_GREY_LEVELS = 4.0  # mean difference; recompressing and resizing come to 3.3, brightness and gamma to 5 and more
CROPPED = 0.013  # of a side: a border that moved so far was cut; resizing comes to 0.008, a crop of 2 % to 0.02
SIMILARITY_DIGITS = 4


def set_duplicates_aside(rows: pa.Table) -> pa.Table:
    """Return the rows with one film of each set of byte-identical ones kept (`one_kept`)."""
    ok, film_id = where_ok(rows), rows.column("film_id")
    counted = pc.value_counts(film_id.filter(ok))
    several = counted.field("values").filter(pc.greater(counted.field("counts"), 1))
    places = np.flatnonzero(pc.and_kleene(ok, pc.is_in(film_id, value_set=several)))
    places = places[pc.sort_indices(film_id.take(places)).to_numpy()]  # a set's films one behind the other
    told = (row for same in _sets(rows, places) for row in one_kept(same))
    tables = [AUDITED.table([])]
    while some := list(islice(told, ROWS_AT_ONCE)):
        tables.append(AUDITED.table(some))
    return put(rows, places, pa.concat_tables(tables), "status", "reason", "exact_duplicate_of")


def _sets(rows: pa.Table, places: NDArray[np.intp]) -> Iterator[list[AuditedRow]]:
    """Yield the rows at some places, those of one hash together, of which some are objects at a time."""
    starts = range(0, len(places), ROWS_AT_ONCE)
    films = (row for start in starts for row in AUDITED.rows(rows.take(places[start : start + ROWS_AT_ONCE])))
    yield from (list(same) for _, same in groupby(films, lambda row: row.film_id))


def one_kept(same: Sequence[AuditedRow]) -> list[AuditedRow]:
    """Return the rows of films of the same bytes, all set aside but one.

    Kept is a film of the delivered test split before others, since the test is not to be touched, then the
    first by path. Where the labels of the same bytes differ, none can be trusted: all are set aside, but a
    delivered test film, which stays as it was delivered.
    """
    kept = min(same, key=lambda row: (row.delivered_split != "test", row.path))
    labels = sorted({str(row.label) for row in same})
    if len(labels) > 1 and kept.delivered_split != "test":
        reason = f"the same bytes are labelled {' and '.join(labels)}; expected one label"
        return [replace(row, status="label_conflict", reason=reason) for row in same]
    return [row if row is kept else _duplicate(row, kept) for row in same]


def _duplicate(row: AuditedRow, kept: AuditedRow) -> AuditedRow:
    note = "" if row.label == kept.label else f" (there labelled {kept.label})"
    return replace(row, status="duplicate", reason=f"same bytes as {kept.path}{note}", exact_duplicate_of=kept.path)


def warn_of_groups_in_test(rows: pa.Table) -> pa.Table:
    """Return the rows with a warning on films whose patient is in the delivered test split as well."""
    ok, group, warning = where_ok(rows), rows.column("group_id"), rows.column("warning")
    delivered = pc.equal(pc.fill_null(rows.column("delivered_split"), ""), "test")
    tested = pc.unique(group.filter(pc.and_(ok, delivered)))
    warned = pc.and_(pc.and_(ok, pc.invert(delivered)), pc.is_in(group, value_set=tested))
    text = "patient group is also in the delivered test split"
    with_text = pc.coalesce(pc.binary_join_element_wise(warning, text, "; "), text)
    return with_columns(rows, warning=pc.if_else(warned, with_text, warning))


def mark_near_duplicates(
    rows: pa.Table, thumbnails: Thumbnails, sums: NDArray[np.uint64]
) -> tuple[pa.Table, duplicates.Threshold]:
    """Return the rows with near duplicates pointing to the first film of their kind, and the threshold.

    Films that resemble one another through a third are of one kind: so whoever links each film to the one it
    points to holds all of them together.

    Args:
        rows: in the order of their paths.
        thumbnails: of each row.
        sums: of each row's grey levels (`examine.levels_sum`).
    """
    films = np.flatnonzero(where_ok(rows))
    looks = duplicates.Looks.of(thumbnails, films)
    groups = rows.column("group_id").take(films).combine_chunks().dictionary_encode().indices.to_numpy()
    found = duplicates.twins(looks, groups)
    first = linked(len(films), zip(found.pairs.first.tolist(), found.pairs.second.tolist(), strict=True))
    twin = np.flatnonzero(first != np.arange(len(films)))
    told = difference(looks, first[twin], twin)
    ones, others = (rows.select(["path", "width", "height"]).take(films[at]) for at in (twin, first[twin]))
    resized = ~np.asarray(pc.and_(*(pc.equal(ones.column(of), others.column(of)) for of in ("width", "height"))))
    kinds = _kinds(told, resized, found.threshold)
    alike = told.same & ~resized & (sums[films[twin]] == sums[films[first[twin]]])
    kinds[alike] = NEAR_KINDS.index("same_pixels")
    marks = {
        "near_duplicate_of": others.column("path"),
        "near_duplicate_how": pa.array(NEAR_KINDS, pa.string()).take(pa.array(kinds)),
        "near_similarity": pa.array(np.round(told.agreement.astype(np.float64), SIMILARITY_DIGITS)),
    }
    return put(rows, films[twin], pa.table(marks), *marks), found.threshold


def _kinds(told: Difference, resized: NDArray[np.bool_], threshold: duplicates.Threshold) -> NDArray[np.int8]:
    """Return what tells each film from the first of its kind, as a place in NEAR_KINDS: of several things, the last."""
    holds = {
        "resized": resized,
        "grey_levels": told.grey > OTHER_GREY_LEVELS,
        "cropped": told.border > CROPPED,
        "flipped": told.mirrored,
        "linked": told.agreement < threshold.agreement,
    }
    kinds = np.full(len(resized), NEAR_KINDS.index("recompressed"), np.int8)
    for kind in NEAR_KINDS:
        if kind in holds:
            kinds[holds[kind]] = NEAR_KINDS.index(kind)
    return kinds


def said(threshold: duplicates.Threshold) -> str:
    """Return how the threshold was found, as a sentence without its full stop."""
    if threshold.told is None:
        return "too few patients to tell it, so a usual one, from 5,840 chest films"
    told = f"by the nearest of other patients to {threshold.films:,} films {threshold.told:.3f} would do"
    bound = {"films": "", "least": "never less; ", "most": "never more; "}
    return bound[threshold.source] + told
