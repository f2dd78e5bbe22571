"""What a person should look at: films that lie askew, are unlike the others, badly exposed, or written on."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from manifests.rows import Flag
from stages.auditing.features import number
from stages.auditing.figures import nested
from stages.columns import where_ok, with_columns
from stages.films.reference import upright_films
from stages.statistics import mean_film
from stages.statistics.alignment import SIDE, Thumbnails
from stages.statistics.mean_film import TURNS, Bearings

FLAGS: tuple[Flag, ...] = get_args(Flag)
EXAMPLES = 12  # films of a flag that the figures name
FEWEST_FILMS = 20  # of fewer, nobody can say which lie askew
LEAST_LIKENESS = 0.33  # median correlation with drawn chests; chest films have 0.48 to 0.72, other pictures 0.19
LEAD = 0.25  # of a change over upright, in usual margins, from which a film is called turned or inverted
FARTHEST = 6.0  # from the set's other films, in units of the upper quartile's distance from the median ...
DOUBTFUL_FILMS = 20  # ... both in a large set; in one of so few films twice as much
COLOURFUL = 6.0  # grey levels of spread; a tinted film has below 2, a photograph 15 and more
LOW_CONTRAST = 48  # grey levels from the 5th to the 95th percentile
CLIPPED = 0.1  # share of a film within its border that is pure black or white
BORDERED = 0.35  # share of a film that is black from the edge on
TOLD_OF_CHESTS: tuple[Flag, ...] = ("inverted", "rotated_90", "rotated_180", "rotated_270", "burnt_in")
DIGITS = 4  # of what is compared: the last ones of a product depend on how many threads made it
BITMAP = "1"  # the mode of black and white alone, which is all clipped and has no letters apart from the rest

# What a person reads of each; letters are on most films and are nothing odd.
SENTENCES: Mapping[Flag, str] = MappingProxyType(
    {
        "inverted": "inverted: bone is dark and air is bright, unlike in the set's other films",
        "rotated_90": "rotated: it lies turned by 90 degrees clockwise",
        "rotated_180": "rotated: it stands on its head",
        "rotated_270": "rotated: it lies turned by 90 degrees counter-clockwise",
        "unlike": "unlike the other films: another view, another part of the body, or no radiograph",
        "low_contrast": "low contrast: most of its grey levels lie close together",
        "clipped": "clipped: large parts are pure black or white",
        "black_border": "black border: a third of it or more is black from the edge on",
    }
)

Marks = NDArray[np.bool_]  # of each row


def flagged(rows: pa.Table, thumbnails: Thumbnails) -> tuple[pa.Table, dict[str, Any]]:
    """Return the rows with their flags, a warning for each, and how the flags that need the whole set were told.

    Args:
        rows: in the order of their paths.
        thumbnails: of each row.
    """
    seen = pc.and_(pc.is_valid(rows.column("level_50")), pc.not_equal(rows.column("status"), "blank"))
    films = np.flatnonzero(seen)
    bearings, told = _bearings(rows, films, thumbnails)
    marked = {flag: np.zeros(len(rows), np.bool_) for flag in FLAGS}
    marked |= _exposure(rows)
    if bearings is not None:
        for flag, found in _askew(bearings).items():
            marked[flag][films] = found
    marked["unlike"] |= number("colour", rows) > COLOURFUL
    for flag in TOLD_OF_CHESTS:
        marked[flag] &= ~marked["unlike"]
    marked["clipped"] &= ~marked["inverted"]  # whose black border is white
    every = np.stack([marked[flag] & np.asarray(seen) for flag in FLAGS], axis=1)
    rows = with_columns(rows, flags=_lists(every, seen), warning=_warned(rows.column("warning"), every))
    return (rows if bearings is None else _with_bearings(rows, films, bearings)), told


def _with_bearings(rows: pa.Table, films: NDArray[np.intp], bearings: Bearings) -> pa.Table:
    """Return the rows with how each film lies in its set."""
    place = np.full(len(rows), -1)
    place[films] = np.arange(len(films))
    taken = pa.array(place, mask=place < 0)
    rounded = (found.astype(np.float64).round(DIGITS) for found in (bearings.lead, bearings.distance))
    askew, distance = (pa.array(found).take(taken) for found in rounded)
    return with_columns(rows, askew=askew, distance=distance)


def _bearings(
    rows: pa.Table, films: NDArray[np.intp], thumbnails: Thumbnails
) -> tuple[Bearings | None, dict[str, Any]]:
    """Return how films lie in their set, or None where that cannot be told, and why."""
    usable = films[np.asarray(where_ok(rows))[films]]
    if len(usable) < FEWEST_FILMS:
        return None, _told(f"the set has {len(usable)} films; expected {FEWEST_FILMS} or more to compare them with")
    found = mean_film.fit(thumbnails, usable, upright_films(SIDE))
    if found.likeness < LEAST_LIKENESS:
        why = f"the films' median correlation with drawn chests is {found.likeness:.2f}"
        return None, _told(f"{why}; expected {LEAST_LIKENESS} or more", found.likeness)
    return mean_film.bearings(thumbnails, films, found), _told(None, found.likeness)


def _told(why_not: str | None, likeness: float | None = None) -> dict[str, Any]:
    """Return whether films were compared with one another, why not, and how much they look like drawn chests."""
    rounded = None if likeness is None else round(likeness, 4)
    return {"compared": why_not is None, "why_not": why_not, "likeness": rounded}


def _askew(bearings: Bearings) -> dict[Flag, Marks]:
    """Return which films are turned, inverted or unlike the others."""
    doubt = 1 + DOUBTFUL_FILMS / bearings.compared
    sure = bearings.lead > LEAD * doubt
    turn, inverted = bearings.change % TURNS, bearings.change >= TURNS
    return {
        "inverted": sure & inverted,
        "rotated_90": sure & (turn == 1),
        "rotated_180": sure & (turn == 2),
        "rotated_270": sure & (turn == 3),
        "unlike": bearings.distance > FARTHEST * doubt,
    }


def _exposure(rows: pa.Table) -> dict[Flag, Marks]:
    """Return what each film's own grey levels say."""
    grey = np.asarray(pc.not_equal(pc.fill_null(rows.column("mode"), ""), BITMAP))
    return {
        "low_contrast": number("level_95", rows) - number("level_5", rows) < LOW_CONTRAST,
        "clipped": (number("clipped", rows) > CLIPPED) & grey,
        "black_border": number("border", rows) > BORDERED,
        "burnt_in": (number("marks", rows) > 0) & grey,
    }


def _lists(every: Marks, seen: pa.ChunkedArray) -> pa.ListArray:
    """Return the names of each row's flags, null where there is no picture."""
    ends = np.concatenate([[0], np.cumsum(every.sum(axis=1))]).astype(np.int32)
    names = pa.array(FLAGS, pa.string()).take(pa.array(np.nonzero(every)[1]))
    nothing = pa.array(~np.asarray(seen))
    return pa.ListArray.from_arrays(pa.array(ends), names, mask=nothing)


def _warned(warning: pa.ChunkedArray, every: Marks) -> pa.ChunkedArray:
    """Return the warnings with a sentence more for each flag that has one."""
    for flag, sentence in SENTENCES.items():
        added = pc.coalesce(pc.binary_join_element_wise(warning, sentence, "; "), sentence)
        warning = pc.if_else(pa.array(every[:, FLAGS.index(flag)]), added, warning)
    return warning


def quality(films: pa.Table, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figures of the flags, and of what they are made of."""
    return {
        "quality": {
            **facts["quality"],
            "flags": {flag: _flag(films, flag) for flag in FLAGS if _with(films, flag).any()},
            "levels": nested(films, _levels),
        }
    }


def _with(films: pa.Table, flag: Flag) -> Marks:
    """Return whether each film has a flag."""
    flags = films.column("flags")
    have = np.zeros(len(films), np.bool_)
    named = pc.equal(pc.list_flatten(flags), flag)
    have[pc.list_parent_indices(flags).filter(named).to_numpy()] = True
    return have


def _flag(films: pa.Table, flag: Flag) -> dict[str, Any]:
    """Return how many films have a flag, of which splits and classes, and the paths of the worst."""
    found = films.filter(pa.array(_with(films, flag)))
    worst = np.argsort(-_worse(found, flag), kind="stable")[:EXAMPLES]
    return {
        "films": len(found),
        "by_class": nested(found, len),
        "examples": found.column("path").take(pa.array(worst)).to_pylist(),
    }


def _worse(films: pa.Table, flag: Flag) -> NDArray[np.float64]:
    """Return a number of each film that is the larger the worse the film is, by its flag."""
    if flag == "low_contrast":
        return number("level_5", films) - number("level_95", films)
    if flag in ("clipped", "black_border", "burnt_in"):
        return number({"black_border": "border", "burnt_in": "marks"}.get(flag, flag), films)
    if flag == "unlike":
        return np.nan_to_num(number("distance", films)) + np.nan_to_num(number("colour", films))
    return number("askew", films)


def _levels(films: pa.Table) -> dict[str, Any]:
    contrast = number("level_95", films) - number("level_5", films)
    known = contrast[~np.isnan(contrast)]
    if not len(known):
        return {"films": 0}
    return {
        "films": len(known),
        "contrast_median": float(np.median(known)),
        "contrast_min": float(known.min()),
        "middle_median": float(np.nanmedian(number("level_50", films))),
        "clipped_max": round(float(np.nanmax(number("clipped", films))), 4),
    }
