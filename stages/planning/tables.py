"""What large sets cost a parent beside its workers: measured on made-up rows of two sizes, since few films show none.

A straight line through two sizes for what is done row by row; for what compares all with all, a line for the time
through the number, which is a + b n.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from stages import split
from stages.auditing.duplicates import mark_near_duplicates, set_duplicates_aside
from stages.patients import clusters_of
from stages.planning import made_up
from stages.statistics import neighbours

ROWS = (2_000, 12_000)  # made-up films of the parent's tables
SEARCHED = 1_500  # whose near duplicates are sought
COMPARED = (4_000, 10_000)  # that are compared all with all
NUMBERS = 38  # of each


@dataclass(frozen=True, slots=True)
class Tables:
    """Seconds of the parent, of each film of a large set.

    Attributes:
        audit_s: of the audit's tables.
        split_s: of split's.
        search_s: of the search for near duplicates.
        compare_s: of each film times the number of films, in that search.
    """

    audit_s: float
    split_s: float
    search_s: float
    compare_s: float


def measured() -> Tables:
    """Return what large sets cost the parent."""
    few, many = (_tables_s(films) for films in ROWS)
    audit_s, split_s = (max(0.0, _slope(ROWS, times)) for times in zip(few, many, strict=True))
    each = [clocked(_compared(films)) / films for films in COMPARED]
    compare_s = max(0.0, _slope(COMPARED, each))
    rows, thumbnails = made_up.audited(SEARCHED), made_up.thumbnails(SEARCHED)
    sums = np.zeros(SEARCHED, np.uint64)
    searched_s = clocked(lambda: mark_near_duplicates(rows, thumbnails, sums))
    return Tables(audit_s, split_s, max(0.0, searched_s / SEARCHED - compare_s * SEARCHED), compare_s)


def _tables_s(films: int) -> tuple[float, float]:
    """Return the seconds of the audit's and of split's tables of so many films."""
    rows = made_up.audited(films)
    patients = clusters_of(rows)
    params = split.SplitParams()
    return (
        clocked(lambda: set_duplicates_aside(rows)),
        clocked(
            lambda: split.summarize(split.split_rows(rows, split.assign(rows, patients, params)), patients, params)
        ),
    )


def _compared(films: int) -> Callable[[], Any]:
    numbers = np.random.default_rng(0).normal(size=(films, NUMBERS)).astype(np.float32)
    return lambda: neighbours.candidates(numbers)


def _slope(at: tuple[int, int], found: Any) -> float:
    first, second = found
    return float((second - first) / (at[1] - at[0]))


def clocked(work: Callable[[], Any]) -> float:
    """Return the processor's seconds of some work; of linear algebra in several threads, as if in one."""
    started = time.process_time()
    work()
    return time.process_time() - started
