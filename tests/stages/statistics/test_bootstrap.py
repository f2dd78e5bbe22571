from collections.abc import Sequence
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from stages.statistics import bootstrap
from stages.statistics.bootstrap import FilmSet, Interval, draw_recalls, draw_weights, find_patients, interval
from stages.statistics.summary import accuracy_draws

CLASSES = 3
FILM = st.tuples(st.integers(0, 6), st.integers(0, CLASSES - 1), st.integers(0, CLASSES - 1))  # group, truth, said
Film = tuple[int, int, int]


def accuracy_interval(films: Sequence[Film], *, draws: int = 200, seed: int = 0) -> Interval:
    group, truth, said = (np.array(column) for column in zip(*films, strict=True))
    patients = find_patients([f"person{number}" for number in group], truth)
    of_films = FilmSet(patients.of_film, truth, said)
    (drawn,) = draw_recalls([of_films], patients, classes=CLASSES, draws=draws, seed=seed)
    return interval(accuracy_draws(of_films, drawn))


@given(st.lists(FILM, min_size=1, max_size=40))
def test_an_interval_is_ordered_and_lies_within_zero_and_one(films: list[Film]) -> None:
    low, high = accuracy_interval(films)
    assert 0 <= low <= high <= 1 + 1e-12


@given(st.lists(FILM, min_size=1, max_size=40), st.randoms(use_true_random=False))
def test_the_order_of_the_films_does_not_matter(films: list[Film], random: Random) -> None:
    shuffled = list(films)
    random.shuffle(shuffled)
    assert accuracy_interval(shuffled) == accuracy_interval(films)


@given(st.lists(FILM, min_size=1, max_size=20), st.integers(0, 2**64 - 1))
def test_the_seed_decides_the_interval(films: list[Film], seed: int) -> None:
    assert accuracy_interval(films, seed=seed) == accuracy_interval(films, seed=seed)


def test_another_seed_gives_other_draws_of_nearly_the_same_interval() -> None:
    films = [(number, 0, int(number % 4 == 0)) for number in range(200)]
    first, second = (accuracy_interval(films, draws=4000, seed=seed) for seed in (1, 2))
    assert np.allclose(first, second, atol=0.01)
    assert not np.array_equal(next(draw_weights(50, draws=5, key=1)), next(draw_weights(50, draws=5, key=2)))


@settings(max_examples=20)
@given(st.integers(1, 300), st.integers(1, 60))
def test_every_draw_holds_as_many_patients_as_there_are(patients: int, draws: int) -> None:
    weights = np.concatenate(list(draw_weights(patients, draws=draws, key=7)))
    assert weights.shape == (draws, patients)
    assert (weights.sum(axis=1) == patients).all()


def test_draws_do_not_depend_on_how_many_are_made_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = np.concatenate(list(draw_weights(11, draws=30, key=5)))
    monkeypatch.setattr(bootstrap, "CELLS_AT_ONCE", 40)
    parts = list(draw_weights(11, draws=30, key=5))
    assert len(parts) == 10
    assert np.array_equal(np.concatenate(parts), whole)


def test_patients_are_drawn_alike_often() -> None:
    weights = np.concatenate(list(draw_weights(8, draws=20_000, key=3)))
    assert weights.mean(axis=0) == pytest.approx(1, abs=0.03)
    assert weights.var(axis=0) == pytest.approx(1 - 1 / 8, abs=0.05)  # of a multinomial's count


def test_a_class_with_one_patient_keeps_its_recall_in_every_draw() -> None:
    films = [(1, 0, 0), (1, 0, 1), (2, 1, 1), (3, 1, 0), (4, 1, 1)]
    group, truth, said = (np.array(column) for column in zip(*films, strict=True))
    patients = find_patients([str(number) for number in group], truth)
    (drawn,) = draw_recalls([FilmSet(patients.of_film, truth, said)], patients, classes=3, draws=100, seed=0)
    assert set(drawn[:, 0]) == {0.5}
    assert len(set(drawn[:, 1])) > 2
    assert set(drawn[:, 2]) == {0.0}  # no film has this class


def test_a_group_with_films_of_two_classes_is_a_patient_of_either() -> None:
    patients = find_patients(["a", "a", "b"], np.array([0, 1, 1]))
    assert patients.count == 3
    assert [(stratum.label, len(stratum.patients)) for stratum in patients.strata] == [(0, 1), (1, 2)]


def test_no_films_have_no_patients() -> None:
    patients = find_patients([], np.array([], np.int64))
    assert patients.count == 0
    assert patients.strata == ()


def test_a_patient_with_films_in_two_sets_is_drawn_for_both_at_once() -> None:
    groups = [str(number) for number in range(30)] * 2
    truth, sets = np.zeros(60, np.int64), np.repeat([0, 1], 30)
    said = np.tile(np.arange(30) % 2, 2)
    patients = find_patients(groups, truth, sets)
    both = [FilmSet(patients.of_film[sets == index], truth[:30], said[:30]) for index in (0, 1)]
    first, second = draw_recalls(both, patients, classes=1, draws=300, seed=0)
    assert np.array_equal(first, second)
    assert len(set(first[:, 0])) > 5


def test_disjoint_sets_are_drawn_independently_and_whatever_else_is_scored() -> None:
    groups = [str(number) for number in range(80)]
    truth, sets = np.zeros(80, np.int64), np.repeat([0, 1], 40)
    said = np.arange(80) % 2
    patients = find_patients(groups, truth, sets)
    both = [FilmSet(patients.of_film[sets == index], truth[:40], said[:40]) for index in (0, 1)]
    first, second = draw_recalls(both, patients, classes=1, draws=2000, seed=0)
    assert abs(np.corrcoef(first[:, 0], second[:, 0])[0, 1]) < 0.08
    (alone,) = draw_recalls(both[1:], patients, classes=1, draws=2000, seed=0)
    assert np.array_equal(alone, second)


def clustered(words: np.random.Generator, patients: int, films: int) -> list[Film]:
    """Return films whose network is right for a patient's films mostly or hardly, 70 % of them in the mean."""
    chance = words.beta(1.4, 0.6, patients)
    right: NDArray[np.bool_] = words.random((patients, films)) < chance[:, None]
    return [(patient, 0, int(not hit)) for patient in range(patients) for hit in right[patient]]


def test_the_interval_holds_the_truth_about_as_often_as_it_says_where_films_come_in_clusters() -> None:
    words = np.random.Generator(np.random.Philox(key=11))
    by_patient, by_film = 0, 0
    for _ in range(200):
        films = clustered(words, patients=60, films=6)
        low, high = accuracy_interval(films, draws=300)
        by_patient += low <= 0.7 <= high
        loners = [(number, truth, said) for number, (_, truth, said) in enumerate(films)]
        low, high = accuracy_interval(loners, draws=300)
        by_film += low <= 0.7 <= high
    assert 0.89 <= by_patient / 200 <= 0.99
    assert by_film / 200 < 0.85  # films taken for independent promise too much


def test_the_interval_of_independent_films_is_the_binomial_one() -> None:
    films = [(number, 0, int(number < 100)) for number in range(500)]
    low, high = accuracy_interval(films, draws=4000)
    half = 1.96 * np.sqrt(0.8 * 0.2 / 500)
    assert (low, high) == pytest.approx((0.8 - half, 0.8 + half), abs=0.006)
