"""Rows true to the rows that they came from: no film lost or twice, each image once, no patient in several splits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from manifests import verify as bytes_of
from manifests.verify import Finding
from stages import paths
from stages.augment_params import AugmentParams
from stages.columns import ok_rows, rows_with
from stages.drawn import AUGMENTED
from stages.folder import params_of
from stages.leaks import leak_warning
from stages.patients import clusters_of
from stages.proof.chain import Manifests
from stages.split import crossing_clusters

FROM_THE_FILM = ("label", "label_index", "group_id", "split")  # what every image says of its film


def check_rows(found: Manifests) -> list[Finding]:
    """Return where rows contradict the rows that they came from, manifest by manifest."""
    findings: list[Finding] = []
    if found.have(paths.AUDIT, paths.SPLIT):
        audited, divided = found.table(paths.AUDIT), found.table(paths.SPLIT)
        columns = ("path", "label", "label_index", "group_id", "delivered_split")
        findings += _children(divided, ok_rows(audited), columns, (paths.SPLIT, paths.AUDIT))
        findings += _crossing(found)
    if found.have(paths.SPLIT, paths.NORMALIZED_MANIFEST):
        normalized = found.table(paths.NORMALIZED_MANIFEST)
        parents = ok_rows(found.table(paths.SPLIT))
        findings += _children(normalized, parents, FROM_THE_FILM, (paths.NORMALIZED_MANIFEST, paths.SPLIT))
    if found.have(paths.NORMALIZED_MANIFEST, paths.AUGMENTED_MANIFEST):
        findings += _check_copies(found)
    if found.have(paths.NORMALIZED_MANIFEST, paths.PREDICTIONS):
        predicted, parents = found.table(paths.PREDICTIONS), found.table(paths.NORMALIZED_MANIFEST)
        places = (paths.PREDICTIONS, paths.NORMALIZED_MANIFEST)
        for model in predicted.column("model").unique():  # a film has one row for each
            of_model = predicted.filter(pc.equal(predicted.column("model"), model))
            findings += _children(of_model, parents, FROM_THE_FILM, places, every=False)
    return findings


def _children(
    rows: pa.Table, parents: pa.Table, columns: Sequence[str], places: tuple[str, str], *, every: bool = True
) -> list[Finding]:
    """Return where rows have no parent, contradict it, come twice, or are missing; one row per film."""
    where, source = places
    films = rows.column("film_id")
    findings = _contradictions(rows, parents, columns, places)
    if pc.count_distinct(films).as_py() < len(rows):
        twice = pc.value_counts(films).filter(pc.greater(pc.value_counts(films).field("counts"), 1))
        findings.append(Finding("manifest", where, f"film {twice[0]['values'].as_py()[:12]} comes twice", "each once"))
    missing = parents.filter(pc.invert(pc.is_in(parents.column("film_id"), value_set=films.combine_chunks())))
    if every and len(missing):
        one = missing.column("film_id")[0].as_py()[:12]
        told = f"holds no row of film {one}" + (f" and {len(missing) - 1} others" if len(missing) > 1 else "")
        findings.append(Finding("manifest", where, told, f"a row of every film that {source} passes on"))
    return findings


def _contradictions(
    rows: pa.Table, parents: pa.Table, columns: Sequence[str], places: tuple[str, str]
) -> list[Finding]:
    """Return where rows have no parent, or hold something else than theirs in one of the columns."""
    where, source = places
    position = pc.index_in(rows.column("film_id"), value_set=parents.column("film_id").combine_chunks())
    orphans = rows.filter(pc.is_null(position))
    findings = []
    if len(orphans):
        one = orphans.column("film_id")[0].as_py()[:12]
        findings.append(
            Finding(
                "manifest", where, f"{len(orphans):,} rows, such as of film {one}", f"films that {source} passes on"
            )
        )
        rows, position = rows.filter(pc.is_valid(position)), pc.drop_null(position)
    theirs = parents.take(position)
    for name in columns:
        mine, of_parent = rows.column(name), theirs.column(name)
        at = pc.index(_same(mine, of_parent), value=False).as_py()
        if at >= 0:
            film = rows.column("film_id")[at].as_py()[:12]
            told, expected = (repr(column[at].as_py()) for column in (mine, of_parent))
            findings.append(
                Finding("manifest", where, f"{name} of film {film} is {told}", f"{expected}, as in {source}")
            )
    return findings


def _same(one: pa.ChunkedArray, other: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return for each row whether two columns hold the same; null is the same as null."""
    neither = pc.and_(pc.is_null(one), pc.is_null(other))
    return pc.or_(pc.fill_null(pc.equal(one, other), fill_value=False), neither)


def _crossing(found: Manifests) -> list[Finding]:
    """Return which patients lie in several splits; none is wrong where films were drawn one by one on purpose."""
    patients = clusters_of(found.table(paths.AUDIT))
    try:
        crossing = crossing_clusters(found.table(paths.SPLIT), patients)
    except KeyError as error:  # a group that the audit does not know, which is a finding of its own
        return [Finding("manifest", paths.SPLIT, f"names the patient {error}", "a patient that the audit knows")]
    if not crossing or leak_warning(found.footers[paths.SPLIT].facts):
        return []
    told = f"{len(crossing)} patients lie in several of train, val and test, such as {crossing[0]}"
    return [Finding("manifest", paths.SPLIT, told, "each patient in one")]


def _check_copies(found: Manifests) -> list[Finding]:
    """Return where a training film has not each of its images once, or where a row contradicts its film.

    A film that ended its process has one row, of copy 0, and no images.
    """
    where = paths.AUGMENTED_MANIFEST
    films = rows_with(found.table(paths.NORMALIZED_MANIFEST), status="ok", split="train")
    copies = params_of(AugmentParams, found.footers[where], where).copies
    ids = films.column("film_id").combine_chunks()
    seen = np.zeros((len(films), copies + 1), np.int32)
    findings: list[Finding] = []
    for rows in bytes_of.tables_of(AUGMENTED, found.root / where):
        findings += _contradictions(rows, films, FROM_THE_FILM, (where, paths.NORMALIZED_MANIFEST))
        asked_for = pc.less_equal(rows.column("copy"), copies)
        if beyond := len(rows.filter(pc.invert(asked_for))):
            findings.append(Finding("manifest", where, f"{beyond:,} rows of copies above {copies}", f"0 to {copies}"))
        known = rows.filter(pc.and_(pc.is_in(rows.column("film_id"), value_set=ids), asked_for))
        film = pc.index_in(known.column("film_id"), value_set=ids).to_numpy()
        np.add.at(seen, (film, known.column("copy").to_numpy()), 1)
        failed = pc.not_equal(known.column("status"), "ok").to_numpy()
        seen[film[failed], 1:] += 1
    if len(wrong := np.argwhere(seen != 1)):
        place, copy = wrong[0].tolist()
        told = f"copy {copy} of film {ids[place].as_py()[:12]} comes {seen[place, copy]} times ({len(wrong):,} such)"
        findings.append(Finding("manifest", where, told, f"each film's images 0 to {copies}, each once"))
    return findings
