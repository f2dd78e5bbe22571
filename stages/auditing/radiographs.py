"""Films that are there more than once, radiograph by radiograph: those that contradict themselves first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stages.columns import tallied
from stages.statistics.splits import linked

EXAMPLES = 200
SHOWN = 12  # radiographs shown side by side
FILMS_SHOWN = 6  # of each
CONFLICTS = {"label": "label", "delivered_split": "delivered_split", "patient": "group_id"}  # and their columns


def duplicates(rows: pa.Table, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figures of films that are there more than once."""
    exact, near = rows.column("exact_duplicate_of"), rows.column("near_duplicate_of")
    film, radiograph = _radiographs(rows)
    conflicts = {name: _disagree(rows.column(of).take(film), radiograph) for name, of in CONFLICTS.items()}
    return {
        "exact": len(exact) - exact.null_count,
        "near": len(near) - near.null_count,
        "near_by_kind": dict(sorted(tallied(rows.column("near_duplicate_how")).items())),
        "near_threshold": facts["near_threshold"],
        "near_threshold_siblings": facts["near_threshold_siblings"],
        "near_threshold_source": facts["near_threshold_source"],
        "radiographs": int(radiograph.max(initial=-1)) + 1,
        "conflicts": {name: int(found.sum()) for name, found in conflicts.items()},
        "groups": _groups(rows, film, radiograph, conflicts),
        "examples": _examples(rows),
    }


def _radiographs(rows: pa.Table) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the places of the films that are there more than once, and the number of the radiograph of each.

    Films that the same bytes under two labels set aside are among them, though none points to another.
    """
    pairs = [pair for name in ("exact_duplicate_of", "near_duplicate_of") for pair in _pairs(rows, name)]
    first = linked(len(rows), [*pairs, *_same_bytes(rows)])
    counted = np.bincount(first, minlength=len(rows))
    film = np.flatnonzero(counted[first] > 1)
    film = film[np.argsort(first[film], kind="stable")]
    _, radiograph = np.unique(first[film], return_inverse=True)
    return film, radiograph.astype(np.int64)


def _pairs(rows: pa.Table, name: str) -> list[tuple[int, int]]:
    """Return the places of each film that points to another, and of the one that it points to, by a column's name."""
    twin = np.flatnonzero(pc.is_valid(rows.column(name)))
    named = rows.column(name).take(twin)
    among = np.flatnonzero(pc.is_in(rows.column("path"), value_set=named.combine_chunks()))  # few: the twins alone
    place = pc.index_in(named, value_set=rows.column("path").take(among).combine_chunks())
    return list(zip(twin.tolist(), among[place.to_numpy()].tolist(), strict=True))


def _same_bytes(rows: pa.Table) -> list[tuple[int, int]]:
    """Return each file that a conflict of labels set aside, and the first of the same bytes."""
    film = np.flatnonzero(
        pc.and_(pc.equal(rows.column("status"), "label_conflict"), pc.is_valid(rows.column("film_id")))
    )
    codes = rows.column("film_id").take(film).combine_chunks().dictionary_encode().indices.to_numpy()
    _, first, of = np.unique(codes, return_index=True, return_inverse=True)
    return list(zip(film.tolist(), film[first[of]].tolist(), strict=True))


def _disagree(column: pa.ChunkedArray, radiograph: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return for each radiograph whether its films hold different values; those without a value say nothing."""
    codes = column.combine_chunks().dictionary_encode().indices
    known = np.asarray(pc.is_valid(codes))
    pairs = np.unique(np.stack([radiograph[known], codes.drop_null().to_numpy().astype(np.int64)], axis=1), axis=0)
    return np.bincount(pairs[:, 0], minlength=int(radiograph.max(initial=-1)) + 1) > 1


def _groups(
    rows: pa.Table,
    film: NDArray[np.int64],
    radiograph: NDArray[np.int64],
    conflicts: Mapping[str, NDArray[np.bool_]],
) -> list[dict[str, Any]]:
    """Return the films of the first radiographs to look at: what contradicts itself, and what is there most often."""
    counted = np.bincount(radiograph)
    agree = [~found for found in conflicts.values()]
    # the last key counts first: the conflicts in their order, then how many films there are, then the place
    worst = np.lexsort((np.arange(len(counted)), -counted, *reversed(agree)))
    return [
        {
            "conflicts": [name for name, found in conflicts.items() if found[number]],
            "number": int(counted[number]),
            "films": _films(rows, film[radiograph == number]),
        }
        for number in worst[:SHOWN].tolist()
    ]


def _films(rows: pa.Table, film: NDArray[np.int64]) -> list[dict[str, Any]]:
    """Return what is shown of the films of one radiograph; of many, the first of each label and split come first."""
    told = _how(rows.take(film)).select(["path", "label", "delivered_split", "how", "similarity"])
    kinds = told.select(["label", "delivered_split"]).to_pylist()
    first = [kinds.index(kind) for kind in kinds]
    order = sorted(range(len(film)), key=lambda at: (first[at] != at, at))
    shown: list[dict[str, Any]] = told.take(sorted(order[:FILMS_SHOWN])).to_pylist()
    return shown


def _examples(rows: pa.Table) -> list[dict[str, Any]]:
    """Return the first films that are set aside for their bytes, and the first near duplicates."""
    exact, near = rows.column("exact_duplicate_of"), rows.column("near_duplicate_of")
    places = np.concatenate([np.flatnonzero(pc.is_valid(of))[:EXAMPLES] for of in (exact, near)])[:EXAMPLES]
    shown = _how(rows.take(places)).append_column("of", pc.coalesce(exact, near).take(places))
    examples: list[dict[str, Any]] = shown.select(["path", "of", "how", "similarity"]).to_pylist()
    return examples


def _how(rows: pa.Table) -> pa.Table:
    """Return rows with `how` each film resembles the one that it points to, and by how much."""
    same_bytes = pc.if_else(pc.is_valid(rows.column("exact_duplicate_of")), "same_bytes", None)
    how = pc.coalesce(rows.column("near_duplicate_how"), same_bytes)
    return rows.append_column("how", how).append_column("similarity", rows.column("near_similarity"))
