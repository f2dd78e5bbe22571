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


def draw_share(names_by_class: Mapping[str, Iterable[str]], share: float, *, seed: int, purpose: str) -> set[str]:
    """Return the first `share` of each class's names in the order of their keyed hash.

    The number drawn is share x n, rounded half up. A name that joins a class moves at most the names at the
    boundary, since the order of the others stays as it was.
    """
    drawn: set[str] = set()
    for names in names_by_class.values():
        ranked = sorted(set(names), key=lambda name: rank_key(seed, purpose, name))
        drawn.update(ranked[: math.floor(share * len(ranked) + 0.5)])
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
