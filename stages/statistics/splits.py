"""Who goes where: assignment by rank of a keyed hash within each class, so that it is exact and repeatable."""

from __future__ import annotations

import hashlib
import math
import re
from array import array
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from heapq import nsmallest
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Value = TypeVar("Value")
NUMBERED = re.compile(r"(?P<series>.*?)(?P<number>[0-9]+)", re.DOTALL)


def rank_key(seed: int, purpose: str, name: str) -> str:
    """Return the digest by which a name is ranked; two purposes rank the same names independently."""
    return hashlib.sha256(f"{seed}/{purpose}/{name}".encode()).hexdigest()


def rounded_share(share: float, number: int) -> int:
    """Return share x number, rounded half up as for decimals: 0.29 x 50 is 14.5, though not in binary."""
    return math.floor(share * number + 0.5 + 1e-9)


def draw_number(names: Iterable[str], number: int, *, seed: int, purpose: str) -> set[str]:
    """Return the first of some names, each given once, in the order of their keyed hash.

    A name that joins moves at most the names at the boundary, since the order of the others stays as it was.
    """
    return set(nsmallest(number, names, key=lambda name: rank_key(seed, purpose, name)))


def draw_share(names_by_class: Mapping[str, Collection[str]], share: float, *, seed: int, purpose: str) -> set[str]:
    """Return the first `share` of each class's names in the order of their keyed hash (`draw_number`)."""
    drawn: set[str] = set()
    for names in names_by_class.values():
        drawn |= draw_number(names, rounded_share(share, len(names)), seed=seed, purpose=purpose)
    return drawn


def draw_blocks(names_by_class: Mapping[str, Iterable[str]], share: float, *, seed: int, purpose: str) -> set[str]:
    """Return the `share` of each class's names, as a block of consecutive names in each of its series.

    A keyed hash decides where in its series a block begins.
    """
    drawn: set[str] = set()
    for label, names in names_by_class.items():
        of_series = series_of(names)
        sizes = {name: len(members) for name, members in of_series.items()}
        lengths = apportioned(rounded_share(share, sum(sizes.values())), sizes)
        for name, members in of_series.items():
            places = len(members) - lengths[name] + 1
            start = int(rank_key(seed, purpose, f"{label}/{name}")[:8], 16) * places >> 32
            drawn |= set(members[start : start + lengths[name]])
    return drawn


def series_of(names: Iterable[str]) -> dict[str, list[str]]:
    """Return the names by series: those that differ in the number at their end alone, in the order of that number.

    What is left makes one series, called by the empty string and last of all: first the names that are numbers alone,
    in their order, then those without a number at the end and those that share their beginning with no other, in the
    order of the alphabet.
    """
    each = set(names)
    numbered: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for name in each:
        if found := NUMBERED.fullmatch(name):
            numbered[found["series"]].append((int(found["number"]), name))
    series = {name: [member for _, member in sorted(of)] for name, of in sorted(numbered.items()) if len(of) > 1}
    others = sorted(each.difference(*series.values()))
    unnamed = series.pop("", []) + others
    return series | ({"": unnamed} if unnamed else {})


def apportioned(number: int, sizes: Mapping[str, int]) -> dict[str, int]:
    """Return how many of `number` fall to each name in proportion to its size, `number` in all.

    By largest remainders (Hamilton's method), so that none is off by one or more; the first name wins a tie.
    """
    total = max(sum(sizes.values()), 1)
    shares = {name: number * size // total for name, size in sizes.items()}
    by_remainder = sorted(sizes, key=lambda name: -(number * sizes[name] % total))
    for name in by_remainder[: number - sum(shares.values())]:
        shares[name] += 1
    return shares


def linked(number: int, pairs: Iterable[tuple[int, int]]) -> NDArray[np.int64]:
    """Return for each of `number` things the first of its cluster; the things of a pair share a cluster.

    So groups are held together that are one patient under two names: the same radiograph was filed under both.
    """
    parent = array("q", range(number))

    def root(one: int) -> int:
        while parent[one] != one:
            parent[one] = parent[parent[one]]
            one = parent[one]
        return one

    for one, other in pairs:
        low, high = sorted((root(one), root(other)))
        parent[high] = low
    return np.fromiter(map(root, range(number)), np.int64, number)


def gathered(keys: Sequence[str], values: Sequence[Value]) -> dict[str, list[Value]]:
    """Return the values of each key, in their order."""
    found: dict[str, list[Value]] = defaultdict(list)
    for key, value in zip(keys, values, strict=True):
        found[key].append(value)
    return dict(found)
