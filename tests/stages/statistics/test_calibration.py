import math
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from stages.statistics import calibration

Told = tuple[NDArray[np.float64], NDArray[np.int64]]


@st.composite
def told(draw: st.DrawFn, least: int = 1) -> Told:
    """Draw probabilities of some films and their classes."""
    classes = draw(st.integers(2, 4))
    films = draw(st.integers(least, 30))
    weights = draw(
        st.lists(st.lists(st.integers(0, 50), min_size=classes, max_size=classes), min_size=films, max_size=films)
    )
    labels = draw(st.lists(st.integers(0, classes - 1), min_size=films, max_size=films))
    raised = np.array(weights, np.float64).reshape(films, classes) + 1e-9
    return raised / raised.sum(axis=1, keepdims=True), np.array(labels, np.int64)


def sure(labels: NDArray[np.int64], classes: int = 3) -> NDArray[np.float64]:
    return np.eye(classes)[labels]


LABELS = np.array([0, 1, 2, 1])


def test_a_network_that_is_sure_and_right_has_no_loss_of_any_kind() -> None:
    assert calibration.brier(sure(LABELS), LABELS) == 0
    assert calibration.log_loss(sure(LABELS), LABELS) == 0
    assert calibration.calibration_error(calibration.reliability(sure(LABELS), LABELS)) == 0


def test_a_network_that_is_sure_and_wrong_has_the_most_there_is() -> None:
    wrong = sure((LABELS + 1) % 3)
    assert calibration.brier(wrong, LABELS) == 2
    assert calibration.log_loss(wrong, LABELS) == pytest.approx(-math.log(2**-23))
    assert calibration.calibration_error(calibration.reliability(wrong, LABELS)) == 1


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_equal_probabilities_score_as_the_docstring_says(classes: int) -> None:
    equal = np.full((4, classes), 1 / classes)
    labels = np.array([0, 1, 1, 0])
    assert calibration.brier(equal, labels) == pytest.approx(1 - 1 / classes)
    assert calibration.log_loss(equal, labels) == pytest.approx(math.log(classes))


def test_scores_of_a_few_films_are_what_they_are_by_hand() -> None:
    probabilities = np.array([[0.7, 0.2, 0.1], [0.5, 0.3, 0.2]], np.float32)
    labels = np.array([0, 2])
    assert calibration.brier(probabilities, labels) == pytest.approx((0.14 + 0.98) / 2)
    assert calibration.log_loss(probabilities, labels) == pytest.approx(-(math.log(0.7) + math.log(0.2)) / 2)
    bins = calibration.reliability(probabilities, labels)
    assert calibration.calibration_error(bins) == pytest.approx((0.3 + 0.5) / 2)


@given(told())
def test_every_film_lies_in_the_one_bin_that_holds_its_confidence(films: Told) -> None:
    probabilities, labels = films
    bins = calibration.reliability(probabilities, labels)
    assert sum(place["films"] for place in bins) == len(labels)
    right = sum(place["films"] * place["accuracy"] for place in bins)
    assert right == pytest.approx((probabilities.argmax(axis=1) == labels).sum())
    for place in bins:
        assert place["low"] - 1e-12 <= place["confidence"] <= place["high"] + 1e-12
        assert place["high"] - place["low"] == pytest.approx(1 / calibration.BINS)


@given(told(), st.integers(1, 20))
def test_the_calibration_error_lies_between_that_of_one_bin_and_one(films: Told, bins: int) -> None:
    probabilities, labels = films
    together = abs(probabilities.max(axis=1).mean() - (probabilities.argmax(axis=1) == labels).mean())
    found = calibration.calibration_error(calibration.reliability(probabilities, labels, bins=bins))
    assert found is not None
    assert together - 1e-9 <= found <= 1


@given(told(), st.randoms(use_true_random=False))
def test_the_order_of_the_films_does_not_matter(films: Told, words: Random) -> None:
    probabilities, labels = films
    order = list(range(len(labels)))
    words.shuffle(order)
    found = calibration.further_scores(probabilities[order], labels[order])
    for name, score in calibration.further_scores(probabilities, labels).items():
        assert found[name] == pytest.approx(score)


@given(told())
def test_the_brier_score_is_least_for_the_probabilities_that_come_true(films: Told) -> None:
    """It is proper: no constant forecast beats the shares of the classes."""
    probabilities, labels = films
    shares = np.bincount(labels, minlength=probabilities.shape[1]) / len(labels)
    best = calibration.brier(np.tile(shares, (len(labels), 1)), labels)
    other = calibration.brier(np.tile(probabilities[0], (len(labels), 1)), labels)
    assert best is not None
    assert other is not None
    assert best <= other + 1e-12


def test_a_class_without_films_and_no_film_at_all_are_unknown() -> None:
    probabilities = np.array([[0.7, 0.2, 0.1], [0.5, 0.3, 0.2]])
    assert calibration.further_scores(probabilities, np.array([0, 1]))["auc"] == [1.0, 1.0, None]
    nothing = calibration.further_scores(np.empty((0, 2)), np.array([], np.int64))
    assert nothing["auc"] == [None, None]
    assert {nothing[name] for name in ("mcc", "brier", "log_loss", "calibration_error", "macro_recall")} == {None}
    assert calibration.reliability(np.empty((0, 2)), np.array([], np.int64)) == []


def test_a_probability_that_rounding_lifts_over_one_lies_in_the_last_bin() -> None:
    (only,) = calibration.reliability(np.array([[1.0000001, 0.0]]), np.array([0]))
    assert (only["films"], only["confidence"], only["high"]) == (1, 1, 1)
