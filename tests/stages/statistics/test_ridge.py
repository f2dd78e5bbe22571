from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.statistics.ridge import PENALTIES, cross_validate, fit_path, fit_ridge, indicators, patient_folds
from tests.stages.statistics.made import noise, person

FILM = st.tuples(st.integers(0, 8), st.integers(0, 2))  # group, class
CLASSES = 3


@given(st.lists(FILM, min_size=1, max_size=60), st.integers(1, 8), st.integers(0, 5))
def test_no_patient_is_in_two_folds_and_no_fold_is_empty(films: list[tuple[int, int]], folds: int, seed: int) -> None:
    groups = person([group for group, _ in films])
    found = patient_folds(groups, np.array([label for _, label in films]), folds=folds, seed=seed)
    assert all(len(set(found[np.array(groups) == name])) == 1 for name in groups)
    assert set(found) == set(range(min(folds, len(set(groups)))))


@given(st.lists(st.integers(0, 2), min_size=1, max_size=40), st.integers(1, 6))
def test_patients_of_a_class_are_spread_evenly_over_the_folds(labels: list[int], folds: int) -> None:
    fold = patient_folds(person(range(len(labels))), np.array(labels), folds=folds)
    for label in set(labels):
        counted = np.bincount(fold[np.array(labels) == label], minlength=min(folds, len(labels)))
        assert counted.max() - counted.min() <= 1


@given(st.lists(FILM, min_size=2, max_size=40), st.randoms(use_true_random=False))
def test_folds_do_not_depend_on_the_order_of_the_films(films: list[tuple[int, int]], random: Random) -> None:
    def of(order: list[int]) -> dict[str, int]:
        groups = person([films[place][0] for place in order])
        fold = patient_folds(groups, np.array([films[place][1] for place in order]))
        return dict(zip(groups, fold.tolist(), strict=True))

    order = list(range(len(films)))
    random.shuffle(order)
    assert of(order) == of(list(range(len(films))))


@pytest.mark.parametrize("films", [12, 80], ids=["fewer films than features", "more films than features"])
def test_the_weights_are_the_minimum_of_what_the_module_says_it_minimises(films: int) -> None:
    features, labels = noise(films, 20) * 7 + 100, np.arange(films) % CLASSES
    targets = indicators(labels, classes=CLASSES)
    (ridge,) = fit_path(features, targets, [0.3])
    standardised = (features - features.mean(axis=0)) / features.std(axis=0)
    weights = ridge.weights * features.std(axis=0)[:, None]
    residual = targets - targets.mean(axis=0) - standardised @ weights
    gradient = -2 * standardised.T @ residual / films + 2 * 0.3 * weights
    assert np.abs(gradient).max() < 1e-10
    assert np.allclose(ridge.scores(features).sum(axis=1), 1)


@given(st.integers(2, 30), st.integers(1, 30), st.integers(0, 99))
def test_a_feature_in_other_units_changes_no_score(films: int, width: int, key: int) -> None:
    features, labels = noise(films, width, key=key), np.arange(films) % CLASSES
    targets = indicators(labels, classes=CLASSES)
    (plain,), (scaled,) = (fit_path(each, targets, [1.0]) for each in (features, features * 40 - 9))
    assert np.allclose(plain.scores(features), scaled.scores(features * 40 - 9), atol=1e-8)


def test_a_label_in_one_pixel_is_found_and_the_other_pixels_get_little_weight() -> None:
    labels = np.arange(300) % CLASSES
    features = noise(300, 50)
    features[:, 17] = labels == 2
    ridge = fit_ridge(features, labels, person(range(300)), classes=CLASSES)
    said = ridge.scores(features).argmax(axis=1)
    assert np.array_equal(said == 2, labels == 2)
    assert np.abs(ridge.weights[:, 2]).argmax() == 17


def test_pixels_that_tell_nothing_get_a_large_penalty_and_pixels_that_tell_all_the_smallest() -> None:
    labels = np.arange(200) % 2
    nothing = fit_ridge(noise(200, 30), labels, person(range(200)), classes=2)
    everything = fit_ridge(noise(200, 2) * 0.01 + labels[:, None], labels, person(range(200)), classes=2)
    assert nothing.penalty >= 1
    assert everything.penalty == min(PENALTIES)


def test_the_penalty_is_larger_where_films_of_a_patient_resemble_each_other_and_patients_tell_nothing() -> None:
    patients = np.repeat(np.arange(40), 5)
    labels = patients % 2
    features = noise(40, 60)[patients] + 0.05 * noise(200, 60, key=1)
    by_patient = fit_ridge(features, labels, person(patients), classes=2)
    by_film = fit_ridge(features, labels, person(range(200)), classes=2)
    assert by_patient.penalty == max(PENALTIES)
    assert by_film.penalty < by_patient.penalty


def test_constant_features_have_no_weight_and_films_all_alike_get_the_most_frequent_class() -> None:
    labels = np.array([0, 1, 1, 2, 1])
    ridge = fit_ridge(np.full((5, 4), 0.1), labels, person(range(5)), classes=CLASSES)
    assert not ridge.weights.any()
    assert ridge.scores(noise(3, 4)).argmax(axis=1).tolist() == [1, 1, 1]


def test_a_class_without_films_is_never_said_and_one_class_alone_always_is() -> None:
    features = noise(40, 6)
    without = fit_ridge(features, np.arange(40) % 2 * 2, person(range(40)), classes=CLASSES)
    assert set(without.scores(noise(500, 6, key=1) * 9).argmax(axis=1)) == {0, 2}
    alone = fit_ridge(features, np.full(40, 1), person(range(40)), classes=CLASSES)
    assert set(alone.scores(features).argmax(axis=1)) == {1}


def test_films_of_one_patient_leave_nothing_to_validate_on_and_get_the_largest_penalty() -> None:
    labels = np.arange(9) % CLASSES
    assert fit_ridge(noise(9, 4), labels, ["person1"] * 9, classes=CLASSES).penalty == max(PENALTIES)


def test_a_film_is_scored_by_a_ridge_that_has_not_seen_its_fold() -> None:
    features, labels = noise(60, 5), np.arange(60) % CLASSES
    targets = indicators(labels, classes=CLASSES)
    fold = patient_folds(person(range(60)), labels)
    found = cross_validate(features, targets, fold, [1.0])
    for held in range(5):
        (ridge,) = fit_path(features[fold != held], targets[fold != held], [1.0])
        assert np.allclose(found.scores[fold == held], ridge.scores(features[fold == held]))
