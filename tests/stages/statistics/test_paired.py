"""Paired tests: exact to the enumeration, blind to the order of models, fair where nothing differs."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import product
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.statistics.paired import alone, halves, holm, mcnemar, sign_flip

P_VALUES = st.lists(st.floats(1e-9, 1.0), max_size=12)
FILMS = st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 8)), min_size=1, max_size=40)


def columns(films: list[tuple[bool, bool, int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    first, second, patients = zip(*films, strict=True)
    return np.array(first), np.array(second), np.array(patients)


def enumerated(films: list[tuple[bool, bool, int]]) -> float:
    """Return the p-value by trying every exchange of the models' answers."""
    differences: dict[int, int] = {}
    for one, other, patient in films:
        differences[patient] = differences.get(patient, 0) + other - one
    found = abs(sum(differences.values()))
    sizes = list(differences.values())
    exchanges = product((1, -1), repeat=len(sizes))
    sums = [abs(sum(sign * size for sign, size in zip(signs, sizes, strict=True))) for signs in exchanges]
    return sum(each >= found for each in sums) / len(sums)


@given(FILMS)
def test_the_flips_p_value_is_that_of_trying_every_exchange(films: list[tuple[bool, bool, int]]) -> None:
    assert sign_flip(*columns(films)) == pytest.approx(enumerated(films), rel=1e-9)


@given(FILMS)
def test_p_is_a_chance_and_which_model_comes_first_does_not_matter(films: list[tuple[bool, bool, int]]) -> None:
    first, second, patients = columns(films)
    assert 0 < sign_flip(first, second, patients) <= 1
    assert sign_flip(first, second, patients) == sign_flip(second, first, patients)
    counts = alone(first, second)
    assert 0 < mcnemar(*counts) <= 1
    assert mcnemar(*counts) == mcnemar(*counts[::-1])


@given(FILMS)
def test_a_model_does_not_differ_from_itself(films: list[tuple[bool, bool, int]]) -> None:
    first, _, patients = columns(films)
    assert sign_flip(first, first, patients) == mcnemar(*alone(first, first)) == 1


@given(FILMS)
def test_with_one_film_of_each_patient_flips_are_mcnemars_test(films: list[tuple[bool, bool, int]]) -> None:
    first, second, _ = columns(films)
    flips = sign_flip(first, second, np.arange(len(films)))
    assert flips == pytest.approx(mcnemar(*alone(first, second)), rel=1e-9)


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_twice_the_smaller_tail_in_whole_numbers(first: int, second: int) -> None:
    ways = sum(math.comb(first + second, heads) for heads in range(min(first, second) + 1))
    exact = min(Fraction(1), Fraction(2 * ways, 2 ** (first + second)))
    assert mcnemar(first, second) == pytest.approx(float(exact), rel=1e-9)


def test_five_of_twenty_changed_answers_are_as_rare_as_pascals_triangle_says() -> None:
    assert mcnemar(5, 15) == pytest.approx(2 * (1 + 20 + 190 + 1140 + 4845 + 15504) / 2**20, rel=1e-12)


def test_thousands_of_films_neither_overflow_nor_give_a_p_of_zero() -> None:
    assert halves(20_001).sum() == pytest.approx(1)
    normal = math.erfc((400 - 1) / math.sqrt(20_000) / math.sqrt(2))  # with continuity correction
    assert mcnemar(9_800, 10_200) == pytest.approx(normal, rel=0.01)
    assert 0 < mcnemar(0, 20_000) < 1e-300
    right = np.ones(5000, np.bool_)
    assert 0 < sign_flip(~right, right, np.arange(5000) // 2) < 1e-300


def test_patients_of_many_films_weigh_less_than_their_films() -> None:
    first, second = np.zeros(40, np.bool_), np.zeros(40, np.bool_)
    first[:10], second[10:] = True, True
    patients = np.repeat(np.arange(4), 10)
    assert mcnemar(*alone(first, second)) < 0.01
    assert sign_flip(first, second, patients) == pytest.approx(10 / 16)  # of 16 exchanges, 10 sums are 20 or more


def test_drawn_exchanges_agree_with_the_exact_distribution() -> None:
    words = np.random.Philox(key=3)
    answers = (words.random_raw(4 * 300) >> np.uint64(63)).astype(np.bool_).reshape(4, 300)
    first, second = answers[0] | answers[1], answers[2] | (answers[3] & answers[1])
    patients = np.arange(300) // 3
    differences = np.bincount(patients, weights=second.astype(int) - first.astype(int))
    signs = 1 - 2 * (words.random_raw(100 * 20_000) >> np.uint64(63)).astype(np.float64).reshape(20_000, 100)
    drawn = float(np.mean(np.abs(signs @ differences) >= abs(differences.sum())))
    exact = sign_flip(first, second, patients)
    assert abs(drawn - exact) < 5 * math.sqrt(exact * (1 - exact) / 20_000)


def test_where_models_do_not_differ_small_p_values_come_as_often_as_they_should() -> None:
    found = []
    for key in range(400):
        # a patient's films share most of each answer: a cluster, under which films are no draws of their own
        words = np.random.Philox(key=key).random_raw(2 * 60 + 2 * 180).astype(np.float64) / 2.0**64
        of_patient, of_film = words[:120].reshape(2, 60), words[120:].reshape(2, 180)
        patients = np.arange(180) // 3
        first, second = (0.7 * of_patient[:, patients] + 0.3 * of_film) < 0.6
        found.append(sign_flip(first, second, patients))
    p_values = np.array(found)
    for level, slack in ((0.05, 0.033), (0.2, 0.06), (0.5, 0.075)):  # 3 standard errors of 400 draws
        assert abs(np.mean(p_values <= level) - level) < slack


# --- Holm --------------------------------------------------------------------------------------------------------


def test_holm_gives_what_the_textbook_gives() -> None:
    # four times the smallest, three times the next, twice the third; the largest stays, but not below the third's
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([0.02]) == [0.02]


@given(P_VALUES)
def test_holm_keeps_the_order_never_lowers_and_is_never_above_bonferroni(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    for one, after in zip(p_values, adjusted, strict=True):
        assert one <= after <= min(1.0, one * len(p_values)) * (1 + 1e-12)
    by_rank = sorted(range(len(p_values)), key=lambda place: p_values[place])
    assert [adjusted[place] for place in by_rank] == sorted(adjusted)


@given(P_VALUES, st.randoms())
def test_holm_does_not_ask_in_which_order_contrasts_are_named(p_values: list[float], words: Random) -> None:
    places = list(range(len(p_values)))
    words.shuffle(places)
    assert holm([p_values[place] for place in places]) == [holm(p_values)[place] for place in places]
