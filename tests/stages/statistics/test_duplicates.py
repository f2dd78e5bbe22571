"""Duplicates: the same radiograph in other bytes is found, other radiographs are not."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from stages import audit
from stages.labels import kermany_name
from stages.statistics import duplicates
from stages.statistics.duplicates import (
    LEAST,
    SIDE,
    Descriptors,
    calibrated_threshold,
    nearest_other_group,
    pairs_above,
)

Vectors = NDArray[np.float32]


def descriptors(thumbnails: Sequence[NDArray[np.uint8]]) -> Vectors:
    pixels = np.array(thumbnails, np.uint8).reshape(len(thumbnails), SIDE * SIDE)
    return Descriptors(pixels, np.arange(len(pixels)))[:]


def chest_like(number: int, *, alike: float, seed: int = 0) -> Vectors:
    """Return descriptors of films that share a structure: the correlation of any two is about `alike`."""
    words = np.random.default_rng(seed)
    shared = words.normal(size=SIDE * SIDE)
    own = words.normal(size=(number, SIDE * SIDE))
    films = np.sqrt(alike) * shared + np.sqrt(1 - alike) * own
    levels = np.clip(128 + 30 * films, 0, 255).astype(np.uint8)
    return descriptors(list(levels))


def own_groups(number: int) -> list[str]:
    return [f"p{film}" for film in range(number)]


def test_products_of_descriptors_are_correlations() -> None:
    films = np.random.default_rng(1).integers(0, 256, (6, SIDE, SIDE)).astype(np.uint8)
    vectors = descriptors(list(films))
    assert vectors @ vectors.T == pytest.approx(np.corrcoef(films.reshape(6, -1)), abs=1e-5)


def test_brightness_and_contrast_leave_a_descriptor_as_it_is() -> None:
    film = np.random.default_rng(1).integers(0, 100, (SIDE, SIDE)).astype(np.uint8)
    one, other = descriptors([film, 2 * film + 40])
    assert one @ other == pytest.approx(1, abs=1e-5)


def test_a_blank_film_correlates_with_nothing_not_even_with_itself() -> None:
    vectors = descriptors([np.full((SIDE, SIDE), level, np.uint8) for level in (0, 77, 255)])
    assert not vectors.any()
    assert list(pairs_above(vectors, LEAST)) == []


def test_some_vectors_are_those_that_all_hold() -> None:
    films = np.random.default_rng(1).integers(0, 256, (9, SIDE * SIDE)).astype(np.uint8)
    some = Descriptors(films, np.array([8, 1, 2, 3, 5, 4]))
    assert len(some) == 6
    np.testing.assert_array_equal(some[2:5], some[:][2:5])
    np.testing.assert_array_equal(some[np.array([4, 0])], Descriptors(films, np.array([5, 8]))[:])


def test_no_films_give_no_descriptors_and_no_pairs() -> None:
    assert descriptors([]).shape == (0, SIDE * SIDE)
    assert list(pairs_above(descriptors([]), LEAST)) == []
    assert calibrated_threshold(descriptors([]), []) is None


@pytest.mark.parametrize("block", [1, 3, 7, 2048])
def test_each_pair_is_found_once_whatever_the_block(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(duplicates, "BLOCK", block)
    vectors = chest_like(20, alike=0.5)
    correlation = vectors @ vectors.T
    expected = {(one, other) for other in range(20) for one in range(other) if correlation[one, other] >= 0.5}
    found = list(pairs_above(vectors, 0.5))
    assert len(found) == len(set(found))
    assert set(found) == expected
    assert 20 < len(expected) < 190


@pytest.mark.parametrize("threshold", [0.9, LEAST, 0.995, 0.9999])
def test_no_pair_is_missed_for_being_looked_at_in_few_dimensions(threshold: float) -> None:
    """Smooth films, as radiographs are, and rough ones; each again with a little noise."""
    words = np.random.default_rng(3)
    smooth = np.kron(words.normal(size=(60, 8, 8)), np.ones((1, 4, 4))).reshape(60, -1)
    films = np.concatenate([smooth, words.normal(size=(60, SIDE * SIDE))])
    noisy = [films + words.normal(size=films.shape) * size for size in (0, 0.01, 0.1, 0.3)]
    vectors = descriptors(list(np.clip(128 + 30 * np.concatenate(noisy), 0, 255).astype(np.uint8)))
    expected = {tuple(pair) for pair in np.argwhere(np.triu(vectors @ vectors.T, 1) >= threshold).tolist()}
    assert set(pairs_above(vectors, threshold)) == expected
    assert expected


@pytest.mark.parametrize("block", [3, 2048])
def test_the_nearest_film_is_sought_among_other_groups_alone(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(duplicates, "NEIGHBOURS", block)
    vectors = chest_like(20, alike=0.5)
    groups = [f"p{film // 3}" for film in range(20)]
    other = np.array([[one != two for one in groups] for two in groups])
    expected = np.where(other, vectors @ vectors.T, -1).max(axis=1)
    found = nearest_other_group(vectors, groups, seed=0)
    assert np.sort(found) == pytest.approx(np.sort(expected), abs=1e-5)
    assert len(nearest_other_group(vectors, groups, seed=0, sample=5)) == 5


@pytest.mark.parametrize(("groups", "known"), [(1, False), (7, False), (8, True)])
def test_too_few_patients_tell_no_threshold(groups: int, *, known: bool) -> None:
    vectors = chest_like(24, alike=0.5)
    threshold = calibrated_threshold(vectors, [f"p{film % groups}" for film in range(24)])
    assert (threshold is not None) is known


def test_films_that_differ_much_take_the_least_threshold() -> None:
    assert calibrated_threshold(chest_like(60, alike=0.6), own_groups(60)) == LEAST


def test_films_that_are_all_alike_raise_the_threshold_beyond_their_likeness() -> None:
    vectors = chest_like(200, alike=0.993)
    threshold = calibrated_threshold(vectors, own_groups(200))
    correlation = vectors @ vectors.T - 2 * np.eye(200, dtype=np.float32)
    assert correlation.max() > LEAST
    assert threshold is not None
    assert correlation.max() < threshold < 1


def test_duplicates_among_the_films_do_not_hide_themselves() -> None:
    vectors = chest_like(200, alike=0.9)
    vectors[100:120] = vectors[:20]  # one film in ten a second time, under another patient's name
    threshold = calibrated_threshold(vectors, own_groups(200))
    assert threshold is not None
    assert set(pairs_above(vectors, threshold)) == {(film, film + 100) for film in range(20)}


def test_a_set_that_is_there_twice_over_does_not_hide_its_duplicates() -> None:
    vectors = chest_like(100, alike=0.9)
    noise = np.random.default_rng(3).normal(size=vectors.shape).astype(np.float32)
    twice = np.concatenate([vectors, vectors + 0.02 * noise / np.sqrt(SIDE * SIDE)])  # 0.9998 with the first
    twice /= np.linalg.norm(twice, axis=1, keepdims=True)
    threshold = calibrated_threshold(twice, own_groups(200))
    assert threshold == LEAST  # as if each were there once
    assert set(pairs_above(twice, threshold)) == {(film, film + 100) for film in range(100)}


def test_the_threshold_does_not_depend_on_the_run() -> None:
    vectors, groups = chest_like(50, alike=0.993), own_groups(50)
    assert calibrated_threshold(vectors, groups) == calibrated_threshold(vectors, groups)


# --- real films ------------------------------------------------------------------------------------------------


def real_descriptors(folder: Path, names: list[str]) -> Vectors:
    examined = [audit.audit_one(name, raw=folder) for name in names]
    assert {one.status for one in examined} == {"ok"}
    return descriptors([np.frombuffer(one.thumbnail, np.uint8) for one in examined])


@pytest.mark.real
def test_variants_of_real_films_are_found_and_no_two_patients_are_taken_for_one(real_films: Path) -> None:
    folder = real_films / "kermany-raw"
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.jpeg"))
    vectors = real_descriptors(folder, names)
    groups = [str(kermany_name(name)) for name in names]
    threshold = calibrated_threshold(vectors, groups) or LEAST
    assert [pair for pair in pairs_above(vectors, threshold) if groups[pair[0]] != groups[pair[1]]] == []

    variants = real_films / "kermany-variants"
    with (variants / "variants.csv").open(newline="") as file:
        lines = [line for line in csv.DictReader(file) if line["same_radiograph_as"] in names]
    assert len(lines) >= 5
    correlation = real_descriptors(variants, [line["file"] for line in lines]) @ vectors.T
    for line, row in zip(lines, correlation, strict=True):
        assert [names[film] for film in np.flatnonzero(row >= threshold)] == [line["same_radiograph_as"]]


@pytest.mark.real
def test_variants_are_found_beside_their_originals(real_films: Path) -> None:
    variants = real_films / "kermany-variants"
    with (variants / "variants.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    found = 0
    for line in lines:
        original = f"originals/{Path(line['same_radiograph_as']).name}"
        if (variants / original).exists():
            one, other = real_descriptors(variants, [line["file"], original])
            assert one @ other >= LEAST, line["file"]
            found += 1
    assert found >= 15
