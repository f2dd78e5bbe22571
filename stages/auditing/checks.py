"""Checks: what an audit found, each beside the limit that the parameters set; a gate for data sets in CI."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from stages.auditing.quality import SENTENCES
from stages.columns import set_aside
from stages.contract import Params
from stages.films.decode import EXTENSIONS
from stages.reporting import text

ALL = "all"
# Statuses of files that are, or should be, films and show none; a text file beside the films is none of them.
BROKEN = (
    "empty",
    "truncated",
    "undecodable",
    "unreadable",
    "unsupported",
    "too_large",
    "missing",
    "crashed",
    "timed_out",
)
SHOWS_NOTHING = ("blank",)
ODD = tuple(SENTENCES)  # flags; letters are on most films and are nothing odd
ENDINGS = sorted({ending for endings in EXTENSIONS.values() for ending in endings} | {".dcm", ".dicom"})
IMAGE_ENDINGS = rf"(?i)({'|'.join(map(re.escape, ENDINGS))})$"


class Limits(Params):
    """How much of each is let pass: more, and the check fails."""

    corrupt: int = Field(0, ge=0, description="Files that cannot be used: empty, cut off, undecodable, blank, missing.")
    unlabelled: int = Field(0, ge=0, description="Films of no known class.")
    conflicts: int = Field(
        0, ge=0, description="Films whose class contradicts their folder or a film of the same bytes."
    )
    duplicates: int = Field(0, ge=0, description="Films that are there more than once, byte for byte or nearly.")
    leakage: int = Field(
        0,
        ge=0,
        description="Patients in the delivered test and outside it, and radiographs in several delivered splits.",
    )
    quality: int = Field(0, ge=0, description="Films that lie askew, are badly exposed, or are unlike the others.")
    shortcuts: float = Field(
        0.8, ge=0.5, le=1, description="AUC with which file, border or traces may tell a class from the rest."
    )
    shift: float = Field(0.7, ge=0.5, le=1, description="AUC with which the test may be told from train, in any class.")


@dataclass(frozen=True, slots=True)
class Check:
    """A question whose answer is a number: the more, the worse.

    Attributes:
        name: of its limit as well.
        section: of the page, where more is said.
        found: the number, of the rows and of the figures; None where it cannot be told.
        told: what the number is of, as a sentence's end.
    """

    name: str
    section: str
    found: Callable[[pa.Table, Mapping[str, Any]], float | None]
    told: str


def _corrupt(rows: pa.Table, _summary: Mapping[str, Any]) -> int:
    status, path = rows.column("status"), rows.column("path")
    foreign = pc.and_(pc.equal(status, "not_an_image"), pc.match_substring_regex(path, IMAGE_ENDINGS))
    broken = pc.is_in(status, value_set=pa.array([*BROKEN, *SHOWS_NOTHING]))
    return int(pc.sum(pc.or_(foreign, broken)).as_py() or 0)


def _unlabelled(rows: pa.Table, _summary: Mapping[str, Any]) -> int:
    return set_aside(rows.column("status")).get("unlabelled", 0)


def _conflicts(rows: pa.Table, summary: Mapping[str, Any]) -> int:
    """Return the radiographs under several labels, and the films whose name and folder contradict one another.

    Films set aside because their very bytes have two labels are one radiograph, and counted as such.
    """
    contradicted = rows.column("film_id").filter(pc.equal(rows.column("status"), "label_conflict"))
    alone = int(pc.sum(pc.equal(pc.value_counts(contradicted).field("counts"), 1)).as_py() or 0)
    return alone + int(summary["duplicates"]["conflicts"]["label"])


def _duplicates(_rows: pa.Table, summary: Mapping[str, Any]) -> int:
    return int(summary["duplicates"]["exact"] + summary["duplicates"]["near"])


def _leakage(_rows: pa.Table, summary: Mapping[str, Any]) -> int:
    crossing: int = summary["groups"]["crossing_delivered_splits"]
    return crossing + int(summary["duplicates"]["conflicts"]["delivered_split"])


def _quality(rows: pa.Table, _summary: Mapping[str, Any]) -> int:
    flags = rows.column("flags").combine_chunks()
    odd = pc.is_in(pc.list_flatten(flags), value_set=pa.array(ODD))
    return len(pc.unique(pc.list_parent_indices(flags).filter(odd)))


def _shortcuts(_rows: pa.Table, summary: Mapping[str, Any]) -> float | None:
    found = summary["shortcuts"]
    told = [of_class for of_split in found["features"].values() for of_class in of_split.values()]
    told += [of_class for source in found["joint"].values() for of_class in source["within"].values()]
    return max((abs(one["auc"] - 0.5) + 0.5 for of_class in told for one in of_class.values()), default=None)


def _shift(_rows: pa.Table, summary: Mapping[str, Any]) -> float | None:
    told = [
        found["auc"]
        for of_class in summary["shift"]["by_class"].values()
        for found in of_class.values()
        if "auc" in found
    ]
    return max(told, default=None)


CHECKS = (
    Check("corrupt", "set_aside", _corrupt, "files that cannot be used"),
    Check("unlabelled", "set_aside", _unlabelled, "films of no known class"),
    Check("conflicts", "duplicates", _conflicts, "films or radiographs of contradicting classes"),
    Check("duplicates", "duplicates", _duplicates, "films that are there already"),
    Check("leakage", "patients", _leakage, "patients or radiographs in several delivered splits"),
    Check("quality", "quality", _quality, "films that a person should look at"),
    Check("shortcuts", "shortcuts", _shortcuts, "AUC with which file, border or traces tell a class"),
    Check("shift", "shift", _shift, "AUC with which the test's films of a class are told from train's"),
)


def named(names: str) -> tuple[str, ...]:
    """Return the checks that a comma-separated text names.

    Raises:
        ValueError: where it names one that is none.
    """
    known = [check.name for check in CHECKS]
    asked = [part.strip() for part in names.split(",") if part.strip()]
    for name in asked:
        if name not in (ALL, *known):
            near = get_close_matches(name, known, n=1)
            meant = f"did you mean '{near[0]}'?" if near else f"expected {ALL}, or some of {', '.join(known)}"
            raise ValueError(f"'{name}' is no check; {meant}")
    return tuple(known) if ALL in asked else tuple(dict.fromkeys(asked))


def checked(rows: pa.Table, summary: Mapping[str, Any], limits: Limits) -> list[dict[str, Any]]:
    """Return what each check found beside its limit; one that cannot be told passes, and says so by null."""
    found = [(check, check.found(rows, summary), getattr(limits, check.name)) for check in CHECKS]
    return [
        {
            "name": check.name,
            "found": number if number is None or isinstance(number, int) else round(number, 4),
            "limit": limit,
            "passed": number is None or number <= limit,
            "told": check.told,
            "section": check.section,
        }
        for check, number, limit in found
    ]


def failed(checks: Sequence[Mapping[str, Any]], asked: Sequence[str]) -> str:
    """Return why the checks that are asked for fail, in words; empty where none does."""
    over = [check for check in checks if check["name"] in asked and not check["passed"]]
    return "; ".join(f"{check['name']}: {check['found']:,} {check['told']}, limit {check['limit']:,}" for check in over)


def _shown(value: object, limit: object) -> str:
    """Return a count, or an AUC with two digits: `1` would be taken for one film."""
    return text.number(value) if isinstance(limit, float) else text.plain(value)


def lines(checks: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a table of the checks for the terminal; those over their limit say what they are about."""
    table = [["check", "found", "limit"]]
    table += [
        [check["name"], *(_shown(check[column], check["limit"]) for column in ("found", "limit"))] for check in checks
    ]
    heading, *rows = text.aligned(table)
    over = ["" if check["passed"] else f"  over: {check['told']}" for check in checks]
    return [heading, *(f"{row}{told}" for row, told in zip(rows, over, strict=True))]
