"""Who goes where: assignment by rank of a keyed hash within each class, so that it is exact and repeatable."""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

Name = TypeVar("Name", bound=Hashable)


def rank_key(seed: int, purpose: str, name: str) -> str:
    """Return the digest by which a name is ranked; two purposes rank the same names independently."""
    return hashlib.sha256(f"{seed}/{purpose}/{name}".encode()).hexdigest()


def rounded_share(share: float, number: int) -> int:
    """Return share x number, rounded half up as for decimals: 0.29 x 50 is 14.5, though not in binary."""
    return math.floor(share * number + 0.5 + 1e-9)


def draw_number(names: Iterable[str], number: int, *, seed: int, purpose: str) -> set[str]:
    """Return the first names in the order of their keyed hash.

    A name that joins moves at most the names at the boundary, since the order of the others stays as it was.
    """
    return set(sorted(set(names), key=lambda name: rank_key(seed, purpose, name))[:number])


def draw_share(names_by_class: Mapping[str, Iterable[str]], share: float, *, seed: int, purpose: str) -> set[str]:
    """Return the first `share` of each class's names in the order of their keyed hash (`draw_number`)."""
    drawn: set[str] = set()
    for names in map(set, names_by_class.values()):
        drawn |= draw_number(names, rounded_share(share, len(names)), seed=seed, purpose=purpose)
    return drawn


def linked(names: Iterable[str], pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return each name's cluster, named by its smallest member; the names of a pair share a cluster.

    Groups that show one patient under two names (the same radiograph filed twice) are held together so.
    """
    parent = {name: name for name in names}

    def root(name: str) -> str:
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for first, second in pairs:
        low, high = sorted((root(first), root(second)))
        parent[high] = low
    return {name: root(name) for name in parent}


def gathered(keys: Sequence[str], values: Sequence[Name]) -> dict[str, list[Name]]:
    """Return the values of each key, in their order."""
    found: dict[str, list[Name]] = defaultdict(list)
    for key, value in zip(keys, values, strict=True):
        found[key].append(value)
    return dict(found)
