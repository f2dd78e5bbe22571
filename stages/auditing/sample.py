"""Films that the audit looks at as a network would: as many of each class and delivered split, drawn by their paths.

A resize costs as much as a decode, and what 300 films of a class do not show is no shortcut to worry about. A film is
drawn by the hash of its path: whatever order the films come in, and whatever the others are, but for those that have a
smaller hash.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stages.films.specimen import SPECIMEN

OF_A_CLASS = 300  # films of a class in a delivered split
IN_ALL = 6000  # films: with many classes, fewer of each
LEAST = 2  # of a class in a split


def drawn(films: Iterable[tuple[str, str | None, str | None]]) -> set[str]:
    """Return the paths of the films to look at, of the paths, labels and delivered splits of all.

    Films without a label are left out: nothing is asked about them.
    """
    paths: list[str] = []
    ranks, strata = array("Q"), array("q")
    known: dict[tuple[str, str | None], int] = {}
    for path, label, split in films:
        if label is None:
            continue
        paths.append(path)
        digest = hashlib.sha256(path.encode("utf-8", "surrogateescape")).digest()
        ranks.append(int.from_bytes(digest[:8], "big"))
        strata.append(known.setdefault((label, split), len(known)))
    if not paths:
        return set()
    stratum = np.array(strata)
    order = np.lexsort((np.array(ranks), stratum))
    place = np.arange(len(order)) - np.searchsorted(stratum[order], stratum[order])
    wanted = order[place < max(LEAST, min(OF_A_CLASS, IN_ALL // len(known)))]
    return {paths[at] for at in wanted.tolist()}


@dataclass(slots=True)
class Sample:
    """What was kept of the films that were looked at.

    Attributes:
        paths: theirs.
        kept: a SPECIMEN's bytes of each, one behind the other.
    """

    paths: list[str] = field(default_factory=list)
    kept: bytearray = field(default_factory=bytearray)

    def add(self, path: str, specimen: bytes) -> None:
        """Add a film; of one that was not looked at, or could not be, there is nothing to add."""
        if specimen:
            self.paths.append(path)
            self.kept += specimen

    def of(self, films: pa.Table) -> tuple[pa.Table, NDArray[np.void]]:
        """Return those of some films that were looked at, and what was kept of each."""
        place = pc.index_in(films.column("path"), value_set=pa.array(self.paths, pa.string()))
        there = pc.is_valid(place)
        kept = np.frombuffer(bytes(self.kept), SPECIMEN)
        return films.filter(there), kept[place.filter(there).to_numpy().astype(np.int64)]
