import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from stages.statistics.thresholds import fit_bias, in_second_half, refitted

EVEN = np.array([0.4, 0.35, 0.25])


def judged(films: int, *, bias: tuple[float, ...] = (0, 0, 0), key: int = 1) -> tuple[NDArray[np.float64], list[int]]:
    """Return log-probabilities that know the class more or less, and are off by a bias."""
    words = np.random.Generator(np.random.Philox(key=key))
    labels = [film % 3 for film in range(films)]
    logits = words.normal(size=(films, 3)) + 1.5 * np.eye(3)[labels] + bias
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)), labels


def accuracy(logs: NDArray[np.float64], labels: NDArray[np.int64], bias: NDArray[np.float64]) -> float:
    said = (logs + bias).argmax(axis=1)
    counted = [index for index in range(3) if (labels == index).any()]
    return float(sum(EVEN[index] * np.mean(said[labels == index] == index) for index in counted))


def test_a_bias_that_was_planted_is_found_on_the_other_half_of_the_patients() -> None:
    logs, labels = judged(3000, bias=(-2.5, 0, 0))
    truth = np.array(labels)
    right, _ = judged(3000)
    said = refitted(np.exp(logs), truth, [f"p{film // 2}" for film in range(3000)], EVEN, seed=0)
    won = accuracy(np.eye(3)[said], truth, np.zeros(3))
    assert accuracy(logs, truth, np.zeros(3)) < 0.6
    assert won == pytest.approx(accuracy(right, truth, np.zeros(3)), abs=0.02)


@given(st.integers(1, 40), st.integers(0, 1000), st.lists(st.integers(0, 2), min_size=40, max_size=40))
def test_the_search_never_ends_below_where_it_began_and_finds_the_same_again(
    films: int, key: int, labels: list[int]
) -> None:
    logs, _ = judged(films, key=key)
    truth = np.array(labels[:films])
    bias = fit_bias(logs, truth, EVEN)
    assert accuracy(logs, truth, bias) >= accuracy(logs, truth, np.zeros(3)) - 1e-9
    assert np.array_equal(fit_bias(logs, truth, EVEN), bias)
    assert np.isfinite(bias).all()


@given(st.integers(2, 25), st.integers(0, 1000))
def test_no_bias_of_a_single_class_is_better_than_the_one_found(films: int, key: int) -> None:
    logs, labels = judged(films, key=key)
    truth = np.array(labels)
    bias = fit_bias(logs, truth, EVEN)
    best = accuracy(logs, truth, bias)
    for index in range(3):
        for value in np.linspace(-12, 12, 97):
            tried = bias.copy()
            tried[index] = value
            assert accuracy(logs, truth, tried) <= best + 1e-9


def test_where_nothing_can_be_won_the_bias_stays_at_nothing() -> None:
    truth = np.array([0, 1, 2] * 10)
    assert np.array_equal(fit_bias(np.log(np.eye(3)[truth] + 0.1), truth, EVEN), np.zeros(3))
    assert np.array_equal(fit_bias(np.zeros((0, 3)), np.zeros(0, np.int64), EVEN), np.zeros(3))
    assert np.array_equal(fit_bias(np.zeros((4, 1)), np.zeros(4, np.int64), np.ones(1)), np.zeros(1))


def test_of_biases_that_are_as_good_the_smallest_is_taken() -> None:
    # the first class is left by the films in turn at -1, -3 and -5: right twice below -5, and from -3 to -1
    logs, truth = np.array([[5.0, 0.0], [3.0, 0.0], [1.0, 0.0]]), np.array([1, 0, 1])
    assert fit_bias(logs, truth, np.array([1 / 3, 2 / 3])) == pytest.approx([-2, 0])


def test_the_bias_is_fitted_to_the_shares_that_it_is_told() -> None:
    logs, labels = judged(900)
    truth = np.array(labels)
    rare, frequent = (fit_bias(logs, truth, np.array(shares)) for shares in ((0.02, 0.49, 0.49), (0.9, 0.05, 0.05)))
    assert rare[0] - rare[1:].mean() < 0 < frequent[0] - frequent[1:].mean()


@given(st.lists(st.integers(0, 12), min_size=1, max_size=60), st.integers(0, 9))
def test_halves_keep_patients_whole_and_split_each_class_evenly(patients: list[int], seed: int) -> None:
    groups = [f"p{patient}" for patient in patients]
    labels = np.array([patient % 3 for patient in patients])
    second = in_second_half(groups, labels, seed=seed)
    for label in range(3):
        sides: dict[str, set[bool]] = {}
        for group, of_film, here in zip(groups, labels, second, strict=True):
            if of_film == label:
                sides.setdefault(group, set()).add(bool(here))
        assert all(len(found) == 1 for found in sides.values())
        inside = sum(True in found for found in sides.values())
        assert inside == len(sides) // 2


def test_a_patient_with_films_of_two_classes_stays_in_one_half() -> None:
    groups = [f"p{film // 3}" for film in range(60)]
    labels = np.array([0, 0, 1] * 20)
    second = in_second_half(groups, labels, seed=3)
    assert all(len(set(second[start : start + 3])) == 1 for start in range(0, 60, 3))
    assert 0 < second.sum() < 60


def test_a_films_own_label_has_no_part_in_how_it_is_judged() -> None:
    logs, labels = judged(60, bias=(-1, 0, 0))
    truth, groups = np.array(labels), [str(film) for film in range(60)]
    first = ~in_second_half(groups, truth, seed=0)
    said = refitted(np.exp(logs), truth, groups, EVEN, seed=0)
    swapped = logs.copy()
    swapped[first] = -swapped[first][:, ::-1]  # other films on this side: the bias for it comes from the other side
    again = refitted(np.exp(swapped), truth, groups, EVEN, seed=0)
    bias = fit_bias(logs[~first], truth[~first], EVEN)
    assert np.array_equal(said[first], (logs[first] + bias).argmax(axis=1))
    assert np.array_equal(again[first], (np.log(np.exp(swapped[first])) + bias).argmax(axis=1))


def test_a_probability_of_nought_is_a_very_small_one() -> None:
    probabilities = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1]] * 4, np.float32)
    truth = np.array([0, 1, 2] * 4)
    said = refitted(probabilities, truth, [str(film) for film in range(12)], EVEN, seed=0)
    assert np.array_equal(said, truth)
