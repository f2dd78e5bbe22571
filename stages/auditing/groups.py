"""Patient groups: how many films each has, which cross the delivered splits, and what the rule that finds them does.

Numbers alone raise false alarms. Where they restart, in every class or series, the same number in train and in test is
two persons; who leaves class or series out of the patient's name finds a leak that is none. So the same crossing is
counted again with parts of the name left out, and what only then crosses is a false alarm.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stages.auditing.figures import DELIVERED, UNDELIVERED

LISTED = 50  # patients that cross
EXAMPLES = 5
OWN = r"^film/[0-9a-f]{12}$"  # the patient of a film that names none (`rows.classified`)
SIZES = {"1": (1, 1), "2": (2, 2), "3-5": (3, 5), "6-10": (6, 10), "more": (11, None)}
KERMANY = ("class", "series", "number")


def groups(films: pa.Table, label_source: str = "", group_pattern: str = "") -> dict[str, Any]:
    """Return the figures of the patients of the usable films.

    Args:
        films: the usable ones.
        label_source: where their labels come from, as in `labels.LabelSource`.
        group_pattern: the regular expression that finds the patient in a path; empty where there is none.
    """
    group, in_test = films.column("group_id"), pc.equal(pc.fill_null(films.column("delivered_split"), ""), "test")
    counted = pc.value_counts(group)
    largest = int(np.argmax(counted.field("counts"))) if len(counted) else None
    tested, pooled = (pc.unique(group.filter(one)) for one in (in_test, pc.invert(in_test)))
    crossing = _crossing(films)
    return {
        "count": len(counted),
        "largest": 0 if largest is None else counted[largest]["counts"].as_py(),
        "largest_id": "" if largest is None else counted[largest]["values"].as_py(),
        "crossing_delivered_splits": pc.sum(pc.is_in(tested, value_set=pooled)).as_py() or 0,
        "crossing_any": len(crossing),
        "crossing": _listed(films, crossing),
        "sizes": _sizes(counted.field("counts").to_numpy()) if len(counted) else {},
        "rule": _rule(films),
        "false_alarms": _false_alarms(films, parts_of(label_source, group_pattern)),
    }


def parts_of(label_source: str, group_pattern: str) -> tuple[str, ...]:
    """Return what the parts of a patient's name are, from left to right; empty where there are none to leave out."""
    if not group_pattern:
        return KERMANY if label_source == "kermany" else ()
    compiled = re.compile(group_pattern)
    named = tuple(compiled.groupindex)
    return named or tuple(f"part {number}" for number in range(1, compiled.groups + 1))


def _sizes(films_of: NDArray[np.int64]) -> dict[str, int]:
    """Return how many patients have one film, two, and so on."""
    return {
        name: int(((films_of >= least) & (films_of <= (most or films_of.max()))).sum())
        for name, (least, most) in SIZES.items()
    }


def _crossing(films: pa.Table) -> pa.Array:
    """Return the patients with films in more than one delivered split, in the order of the alphabet."""
    names, counts = _distinct(films, DELIVERED)
    several = names.filter(pa.array((counts > 0).sum(axis=0) > 1))
    return several.take(pc.sort_indices(several))


def _listed(films: pa.Table, crossing: pa.Array) -> list[dict[str, Any]]:
    """Return the first of the patients that cross, with their films in each split."""
    some = crossing.slice(0, LISTED)
    theirs = films.filter(pc.is_in(films.column("group_id"), value_set=some)) if len(some) else films.slice(0, 0)
    split = pc.fill_null(theirs.column("delivered_split"), UNDELIVERED)
    counts: dict[tuple[str, str], int] = {}
    for pair in zip(theirs.column("group_id").to_pylist(), split.to_pylist(), strict=True):
        counts[pair] = counts.get(pair, 0) + 1
    return [
        {
            "group": name,
            "films": {where: n for where in (*DELIVERED, UNDELIVERED) if (n := counts.get((name, where), 0))},
        }
        for name in some.to_pylist()
    ]


def _rule(films: pa.Table) -> dict[str, Any]:
    """Return how many films the rule names a patient of, and some of either kind."""
    alone = np.asarray(pc.match_substring_regex(films.column("group_id"), OWN), np.bool_)
    matched, left = np.flatnonzero(~alone), np.flatnonzero(alone)
    names = films.select(["path", "group_id"])
    return {
        "matched": len(matched),
        "left_alone": len(left),
        "examples": names.take(_spread(matched)).to_pylist(),
        "left_alone_examples": names.column("path").take(_spread(left)).to_pylist(),
    }


def _spread(films: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return EXAMPLES of the films from all over the folder: the first ones would all be of one class."""
    places = np.linspace(0, len(films) - 1, min(EXAMPLES, len(films)))
    return films[places.astype(np.int64)]


def _false_alarms(films: pa.Table, parts: Sequence[str]) -> list[dict[str, Any]]:
    """Return how many patients would seem to be in train and in test, with each choice of leading parts left out.

    The last part, the number, always stays. Only patients whose names have all parts count. Of the names that cross
    then, those are real that a patient who crosses by the whole name has; the others are false alarms.
    """
    if len(parts) < 2:
        return []
    names, counts = _distinct(films, ("train", "test"))
    told = pc.split_pattern(names, "/")
    whole = pc.equal(pc.list_value_length(told), len(parts))
    names, told, counts = names.filter(whole), told.filter(whole), counts[:, np.asarray(whole)]
    crosses = counts.all(axis=0)
    found = []
    for left_out in _choices(len(parts)):
        kept = [pc.list_element(told, at) for at in range(len(parts)) if at not in left_out]
        keys = pc.binary_join_element_wise(*kept, "/").dictionary_encode()
        of_name = keys.indices.to_numpy()
        crossing, real = (
            np.logical_and(*(np.bincount(of_name, weights=side, minlength=len(keys.dictionary)) > 0 for side in sides))
            for sides in (counts, counts * crosses)
        )
        false = keys.dictionary.filter(pa.array(crossing & ~real))
        found.append(
            {
                "ignored": [parts[at] for at in left_out],
                "crossing": int(crossing.sum()),
                "real": int(crossing.sum()) - len(false),
                "false": len(false),
                "example": _example(pc.min(false).as_py(), names, keys) if len(false) else None,
            }
        )
    return found


def _choices(parts: int) -> list[tuple[int, ...]]:
    """Return which leading parts may be left out: each alone, all together, and what lies between."""
    leading = range(parts - 1)
    return [chosen for size in range(1, parts) for chosen in combinations(leading, size)]


def _distinct(films: pa.Table, splits: Sequence[str]) -> tuple[pa.Array, NDArray[np.int64]]:
    """Return each patient's name, and its films in some splits: shape (splits, patients)."""
    encoded = films.column("group_id").combine_chunks().dictionary_encode()
    split = films.column("delivered_split").combine_chunks()
    inside = [np.asarray(pc.fill_null(pc.equal(split, name), False), np.bool_) for name in splits]
    of_film, names = encoded.indices.to_numpy(), encoded.dictionary
    return names, np.stack([np.bincount(of_film[one], minlength=len(names)) for one in inside])


def _example(key: str, names: pa.Array, keys: pa.DictionaryArray) -> dict[str, Any]:
    """Return what a false alarm takes for one patient."""
    same = pc.equal(keys.indices, pc.index(keys.dictionary, key))
    return {"name": key, "patients": sorted(names.filter(same).to_pylist())[:EXAMPLES]}
