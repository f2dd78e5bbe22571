"""The mean film: which films are turned, inverted or unlike the others, however many of the set are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from stages.statistics import mean_film
from stages.statistics.mean_film import CHANGES, GRID, UPRIGHT, Bearings, changed, undone, unit_films

SIDE = 32
Levels = NDArray[np.uint8]  # (films, SIDE x SIDE)


def chests(films: int, seed: int) -> Levels:
    """Return pictures with a dark pair of fields, a bright foot and something of their own."""
    words = np.random.default_rng(seed)
    down, across = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    drawn = []
    for _ in range(films):
        x, y, wide = words.uniform(0.4, 0.5), words.uniform(-0.25, -0.05), words.uniform(0.25, 0.35)
        fields = sum(np.exp(-(((across - side * x) / wide) ** 2) - ((down - y) / 0.5) ** 2) for side in (-1, 1))
        own = words.normal(0, 6, (4, 4)).repeat(SIDE // 4, axis=0).repeat(SIDE // 4, axis=1)
        drawn.append(np.clip(150 - 110 * fields + 40 * down + own, 0, 255))
    return np.asarray(np.stack(drawn), np.uint8).reshape(films, -1)


def askew(levels: Levels, change: int) -> Levels:
    """Return pictures turned clockwise, and inverted, as a change says."""
    squares = np.rot90(levels.reshape(-1, SIDE, SIDE), -(change % 4), axes=(1, 2)).reshape(len(levels), -1)
    return np.ascontiguousarray(squares if change < 4 else 255 - squares)


def lying(levels: Levels) -> Bearings:
    """Return how pictures lie, compared with one another."""
    films = np.arange(len(levels))
    return mean_film.bearings(levels, films, mean_film.fit(levels, films, chests(12, 999)))


@given(st.integers(0, CHANGES - 1), st.integers(0, 99))
def test_a_change_that_is_undone_gives_the_film_back(change: int, seed: int) -> None:
    films = np.random.default_rng(seed).normal(size=(3, GRID * GRID)).astype(np.float32)
    assert np.array_equal(undone(changed(films, change), change), films)


def test_changes_turn_clockwise_and_the_later_four_invert() -> None:
    film = np.zeros((1, GRID * GRID), np.float32)
    film[0, 0] = 1  # at the top left
    assert [int(np.abs(changed(film, change)).argmax()) for change in range(4)] == [
        0,
        GRID - 1,
        GRID * GRID - 1,
        GRID * (GRID - 1),
    ]
    assert changed(film, 5)[0, GRID - 1] == -1


def test_films_are_unit_vectors_about_their_mean_and_blank_ones_are_zeros() -> None:
    films = unit_films(np.concatenate([chests(2, 0), np.full((1, SIDE * SIDE), 90, np.uint8)]))
    assert films.shape == (3, GRID * GRID)
    assert films.sum(axis=1) == pytest.approx(0, abs=1e-4)
    assert np.linalg.norm(films, axis=1) == pytest.approx([1, 1, 0])


def test_films_that_are_turned_or_inverted_are_found_among_those_that_are_not() -> None:
    levels = chests(80, 1)
    for change in range(CHANGES):
        levels[change] = askew(levels[change : change + 1], change)[0]
    found = lying(levels)
    assert found.change[:CHANGES].tolist() == list(range(CHANGES))
    assert (found.change[CHANGES:] == UPRIGHT).all()
    assert found.lead[1:CHANGES].min() > 0.5
    assert not found.lead[CHANGES:].any()


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_the_reference_says_what_is_upright_where_half_or_all_of_the_set_is_not(share: float) -> None:
    levels = chests(60, 2)
    wrong = round(share * len(levels))
    levels[:wrong] = askew(levels[:wrong], 4)
    assert lying(levels).change.tolist() == [4] * wrong + [UPRIGHT] * (len(levels) - wrong)


def test_what_is_no_chest_lies_far_from_the_others_however_it_is_turned() -> None:
    levels = chests(80, 3)
    page = np.full((SIDE, SIDE), 250, np.uint8)
    page[::4, :20] = 30
    levels[0], levels[1] = page.ravel(), page.T.ravel()
    found = lying(levels)
    assert found.distance[:2].min() > 2 * found.distance[2:].max()


@pytest.mark.parametrize("symmetric", [False, True])
def test_films_that_all_look_the_same_are_like_one_another_and_one_that_does_not_is_far(*, symmetric: bool) -> None:
    picture = chests(1, 6)
    if symmetric:
        square = picture.reshape(SIDE, SIDE)
        picture = np.maximum(square, square[:, ::-1]).reshape(1, -1)
    levels = np.repeat(picture, 40, axis=0)
    levels[3] = np.random.default_rng(0).integers(0, 256, SIDE * SIDE)
    found = lying(levels)
    assert np.isfinite(found.distance).all()
    assert np.abs(np.delete(found.distance, 3)).max() < 1
    assert found.distance[3] > 6


def test_a_film_lies_as_it_does_wherever_it_stands_in_the_set() -> None:
    levels = chests(50, 4)
    levels[7] = askew(levels[7:8], 2)[0]
    one, other = lying(levels), lying(levels[::-1].copy())
    assert np.array_equal(one.change, other.change[::-1])
    assert one.lead == pytest.approx(other.lead[::-1], abs=0.05)


def test_few_films_at_once_give_what_all_at_once_give(monkeypatch: pytest.MonkeyPatch) -> None:
    levels, films = chests(40, 5), np.arange(40)
    found = mean_film.fit(levels, films, chests(12, 999))
    whole = mean_film.bearings(levels, films, found)
    monkeypatch.setattr(mean_film, "BLOCK", 7)
    parts = mean_film.bearings(levels, films, found)
    assert np.array_equal(whole.change, parts.change)
    assert parts.distance == pytest.approx(whole.distance, abs=1e-4)
