"""Who is one patient, and what a split draws and holds together: numbers for names, an array for all films."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stages.columns import tallied
from stages.statistics.splits import linked

NAMES_AT_ONCE = 4096


@dataclass(frozen=True, slots=True)
class Patients:
    """The patient groups of all files, and which of them are taken for one patient.

    Attributes:
        groups: their names, each once, in the order of the alphabet.
        cluster: (groups,) of each group, the place of the first of those groups that are one patient with it.
    """

    groups: pa.StringArray
    cluster: NDArray[np.int64]

    def of(self, films: pa.Table) -> NDArray[np.int64]:
        """Return (films,) the patient of each film, as the place of the first of their groups.

        Raises:
            KeyError: where a film's group is none of them.
        """
        group = pc.index_in(films.column("group_id"), value_set=self.groups)
        if group.null_count:
            raise KeyError(films.column("group_id").filter(pc.is_null(group))[0].as_py())
        return np.asarray(self.cluster[group.to_numpy()])


def clusters_of(rows: pa.Table) -> Patients:
    """Return the patients of audited films: groups that share a radiograph are taken for one patient.

    Raises:
        KeyError: where a row's twin is no row that has a group.
    """
    groups = pc.unique(rows.column("group_id").drop_null())
    groups = groups.take(pc.sort_indices(groups))
    alone = Patients(groups, np.arange(len(groups)))
    pairs = [pair for name in ("exact_duplicate_of", "near_duplicate_of") for pair in _twins(rows, name, alone)]
    return Patients(groups, linked(len(groups), pairs))


def _twins(rows: pa.Table, name: str, alone: Patients) -> Iterator[tuple[int, int]]:
    """Return the places of both groups of each pair of films of which one names the other, in a column, as its twin."""
    films = rows.filter(pc.is_valid(rows.column(name)))
    others = rows.filter(pc.is_in(rows.column("path"), value_set=films.column(name)))  # few: the twins alone
    place = pc.index_in(films.column(name), value_set=others.column("path").combine_chunks())
    if place.null_count:
        raise KeyError(films.column(name).filter(pc.is_null(place))[0].as_py())
    return zip(alone.of(films).tolist(), alone.of(others)[place.to_numpy()].tolist(), strict=True)


@dataclass(frozen=True, slots=True)
class Names(Collection[str]):
    """Names in a column, of which NAMES_AT_ONCE are Python's objects while one goes through them."""

    column: pa.StringArray

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.column)

    def __iter__(self) -> Iterator[str]:
        """Go through them in their order."""
        for first in range(0, len(self.column), NAMES_AT_ONCE):
            yield from self.column.slice(first, NAMES_AT_ONCE).to_pylist()

    def __contains__(self, name: object) -> bool:
        """Return whether a name is one of them."""
        return any(name == one for one in self)


@dataclass(frozen=True, slots=True)
class Units:
    """What is drawn and held together, patients or films, and of which class it is.

    Attributes:
        names: by which they are drawn.
        of_film: (films,) the place of each film's unit.
        labels: the classes of the films, in the order of the alphabet.
        label: (films,) the place of each film's class.
    """

    names: pa.StringArray
    of_film: NDArray[np.int64]
    labels: Sequence[str]
    label: NDArray[np.int64]

    def by_class(self, films: NDArray[np.bool_]) -> dict[str, Names]:
        """Return the units of some films, by class: a patient whose films disagree counts for the most frequent.

        Of classes as frequent, it counts for the first in the alphabet.
        """
        number = len(self.labels)
        pairs, shown = np.unique(self.of_film[films] * number + self.label[films], return_counts=True)
        pairs = pairs[np.lexsort((-shown, pairs // number))]
        units, first = np.unique(pairs // number, return_index=True)
        of_unit = pairs[first] % number
        return {name: Names(self.names.take(units[of_unit == at])) for at, name in enumerate(self.labels)}

    def among(self, drawn: set[str]) -> NDArray[np.bool_]:
        """Return for each film whether its unit was drawn."""
        found = pc.is_in(self.names, value_set=pa.array(drawn, pa.string()))
        return np.asarray(found)[self.of_film]


def patients_as_units(films: pa.Table, patients: Patients) -> Units:
    """Return the patients of some films as units to draw."""
    return Units(patients.groups, patients.of(films), *_labels(films))


def films_as_units(films: pa.Table) -> Units:
    """Return some films as units to draw, each its own."""
    return Units(films.column("film_id").combine_chunks(), np.arange(len(films)), *_labels(films))


def _labels(films: pa.Table) -> tuple[Sequence[str], NDArray[np.int64]]:
    labels = sorted(tallied(films.column("label")))
    place = pc.index_in(films.column("label"), value_set=pa.array(labels, pa.string()))
    return labels, place.to_numpy().astype(np.int64)
