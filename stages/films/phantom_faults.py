"""Faulty phantom files, planted among the good ones so that a test knows what must be found."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from manifests.rows import DeliveredSplit, Status
from stages.films.phantom_plan import LABELS, Fault, PhantomFilm, Register

FAULTS: tuple[Fault, ...] = ("truncated", "empty", "wrong_extension", "duplicate", "sibling_across_splits")

_Films = list[PhantomFilm]


def with_faults(
    good: Sequence[PhantomFilm], faults: Sequence[Fault], *, seed: int, longest_side_px: int
) -> list[PhantomFilm]:
    """Return the good films and after them at least two files of every fault asked for."""
    register = Register(seed=seed, longest_side_px=longest_side_px, films=good)
    planned = list(good)
    for fault in FAULTS:
        if fault in faults:
            planned = _PLANTERS[fault](planned, list(good), register)
    return planned


def _how_many(good: _Films) -> int:
    return max(2, round(0.02 * len(good)))


def _new_files(good: _Films, register: Register, fault: Fault, status: Status) -> _Films:
    """Return films of new patients, one in test and the others in train, the classes in turn."""
    others: list[DeliveredSplit] = ["train"] * (_how_many(good) - 1)
    turn = FAULTS.index(fault)
    films = [
        register.film(register.patient(LABELS[(turn + index) % len(LABELS)]), split, 0)
        for index, split in enumerate(["test", *others])
    ]
    return [replace(film, fault=fault, expected_status=status) for film in films]


def _plant_truncated(planned: _Films, good: _Films, register: Register) -> _Films:
    return planned + _new_files(good, register, "truncated", "truncated")


def _plant_empty(planned: _Films, good: _Films, register: Register) -> _Films:
    return planned + _new_files(good, register, "empty", "empty")


def _plant_wrong_extension(planned: _Films, good: _Films, register: Register) -> _Films:
    return planned + _new_files(good, register, "wrong_extension", "ok")


def _plant_duplicates(planned: _Films, good: _Films, register: Register) -> _Films:
    """Return the films and copies of some training films; the path that sorts first is the one kept."""
    for original in _spread([film for film in good if film.delivered_split == "train"], _how_many(good)):
        patient = register.patient(original.label)
        copy = replace(original, path=register.path(patient, "train", 0), patient=patient)
        kept, other = sorted((original, copy), key=lambda film: film.path)
        set_aside = replace(other, fault="duplicate", expected_status="duplicate", duplicate_of=kept.path)
        planned = [film for film in planned if film.path != original.path] + [kept, set_aside]
    return planned


def _plant_siblings(planned: _Films, good: _Films, register: Register) -> _Films:
    """Return the films and, in train, one more film of some patients of the test."""
    last_films = {film.patient: film for film in good if film.delivered_split == "test"}
    siblings = [
        register.film(last.patient, "train", last.film + 1)
        for last in _spread(list(last_films.values()), _how_many(good))
    ]
    fault: Fault = "sibling_across_splits"
    return planned + [replace(film, fault=fault, expected_status="crosses_test") for film in siblings]


def _spread(films: _Films, count: int) -> _Films:
    """Return some of the films, evenly spread over the inside of the list."""
    chosen = min(count, len(films))
    return [films[(2 * index + 1) * len(films) // (2 * chosen)] for index in range(chosen)]


_PLANTERS: Mapping[Fault, Callable[[_Films, _Films, Register], _Films]] = MappingProxyType(
    {
        "truncated": _plant_truncated,
        "empty": _plant_empty,
        "wrong_extension": _plant_wrong_extension,
        "duplicate": _plant_duplicates,
        "sibling_across_splits": _plant_siblings,
    }
)
