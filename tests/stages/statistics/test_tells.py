"""How far a class is told: by one number, by several, of patients that were not seen, and elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from stages.statistics.probes import auc_interval
from stages.statistics.tells import cross_told, drop, standardised_difference, surely, tell, transferred, without
from tests.stages.statistics.made import noise

WHOLE = st.integers(-50, 50)


@given(st.lists(st.tuples(WHOLE, st.booleans(), st.integers(0, 9)), min_size=4, max_size=40))
def test_a_tell_is_the_same_under_any_rising_map_and_flips_under_a_falling_one(
    films: list[tuple[int, bool, int]],
) -> None:
    values, positives, patients = (np.array(column) for column in zip(*films, strict=True))
    found = tell(values.astype(float), positives, patients)
    risen, fallen = tell(values**3 + 7.0 * values, positives, patients), tell(-np.exp(values / 9), positives, patients)
    assert (found is None) == (risen is None) == (fallen is None)
    if found is None or risen is None or fallen is None:
        return
    assert (risen.auc, risen.low, risen.high) == pytest.approx((found.auc, found.low, found.high))
    flipped = found.flipped
    assert (fallen.auc, fallen.low, fallen.high) == pytest.approx((flipped.auc, flipped.low, flipped.high))


def test_films_where_a_number_is_unknown_are_left_out() -> None:
    values = np.array([1.0, 2, np.nan, 3, 4, np.nan])
    positives = np.array([False, False, False, True, True, True])
    found = tell(values, positives, np.arange(6))
    assert found is not None
    assert (found.auc, found.films) == (1, 4)


def test_of_one_patient_on_a_side_nothing_is_said() -> None:
    assert tell(np.arange(6.0), np.arange(6) > 2, np.array([0, 0, 0, 1, 2, 3])) is None


def test_perfect_separation_is_surer_the_more_patients_show_it_and_never_certain() -> None:
    widths = []
    for patients in (3, 30, 300):
        found = tell(np.arange(2.0 * patients), np.arange(2 * patients) >= patients, np.arange(2 * patients))
        assert found is not None
        assert found.auc == found.high == 1
        widths.append(1 - found.low)
    assert widths[0] > 0.3
    assert widths == sorted(widths, reverse=True)
    assert 0 < widths[2] < 0.01


def test_films_of_one_patient_count_once_for_a_perfect_separation() -> None:
    few = tell(np.arange(80.0), np.arange(80) >= 40, np.arange(80) // 10)
    many = tell(np.arange(80.0), np.arange(80) >= 40, np.arange(80))
    assert few is not None
    assert many is not None
    assert few.low < many.low - 0.1


def test_the_interval_does_not_hang_on_the_numbers_that_patients_are_called_by() -> None:
    patients, positives = np.repeat(np.arange(8), 4), np.tile([True, True, False, False], 8)
    values = noise(8)[patients] + noise(32, key=1)
    assert tell(values, positives, patients * 1000 + 7) == tell(values, positives, patients)


def test_the_interval_holds_where_patients_have_films_on_both_sides() -> None:
    """Each patient's part moves its films of both classes alike, and cancels: the interval must know."""
    held, widths = 0, []
    of_film = np.repeat(np.arange(60), 4)
    positives = np.tile([True, True, False, False], 60)
    for sample in range(300):
        values = positives + 2.0 * noise(60, key=sample)[of_film] + noise(240, key=sample + 1000)
        _, low, high = auc_interval(values, positives, of_film)
        held += low <= 0.6241 <= high  # Phi(1 / sqrt(2 (4 + 1)))
        widths.append(high - low)
    assert 0.91 <= held / 300 <= 0.99
    apart = np.mean([high - low for _, low, high in [auc_interval(values, positives, np.arange(240))]])
    assert np.mean(widths) < apart


def test_a_model_that_could_only_know_the_patients_tells_nothing_of_others() -> None:
    """Looks are a patient's own and say nothing of the class: with siblings on both sides they would say all."""
    of_film = np.repeat(np.arange(60), 6)
    looks = noise(60, 40)[of_film] + 0.01 * noise(360, 40, key=1)
    labels = of_film % 2
    told = cross_told(looks, labels, of_film, {"one": 1})["one"]
    assert told.low < 0.5
    assert cross_told(looks, labels, np.arange(360), {"one": 1})["one"].auc > 0.9


def test_what_one_set_teaches_and_another_does_not_bear_out_is_a_drop() -> None:
    labels = np.arange(300) % 3
    features, elsewhere = noise(300, 5), noise(300, 5, key=1)
    features[:, 2] += 2.0 * (labels == 1)
    judged = {"a": 0, "b": 1, "c": 2}
    within = cross_told(features, labels, np.arange(300), judged)
    moved = transferred((features, labels, np.arange(300)), (elsewhere, labels, np.arange(300)), judged)
    assert within["b"].low > 0.8
    assert moved["b"].low < 0.5 < moved["b"].high
    fallen = drop(within["b"], moved["b"])
    assert fallen.low > 0.2
    assert fallen.drop == pytest.approx(within["b"].auc - moved["b"].auc)
    same = transferred((features, labels, np.arange(300)), (features, labels, np.arange(300)), judged)
    assert drop(within["b"], same["b"]).low < 0.05


def test_a_class_that_is_not_there_is_left_out() -> None:
    labels = np.arange(40) % 2
    told = cross_told(noise(40, 3), labels, np.arange(40), {"a": 0, "b": 1, "c": 7})
    assert set(told) == {"a", "b"}
    assert cross_told(noise(0, 3), labels[:0], labels[:0], {"a": 0}) == {}


def test_the_surer_end_is_what_counts() -> None:
    assert surely(0.8, 1.0) == pytest.approx(0.6)
    assert surely(0.05, 0.3) == pytest.approx(0.4)
    assert surely(0.45, 0.95) == 0


def test_a_difference_is_in_deviations_within_a_class() -> None:
    values = np.concatenate([noise(4000), noise(4000, key=1) + 1.5])
    assert standardised_difference(3 * values, np.arange(8000) // 4000) == pytest.approx(1.5, abs=0.1)
    assert standardised_difference(values, np.zeros(8000, np.int64)) == 0
    assert standardised_difference(np.array([1.0, 1, 2, 2]), np.array([0, 0, 1, 1])) == 99
    assert standardised_difference(np.ones(4), np.array([0, 0, 1, 1])) == 0


def test_what_a_confounder_explains_is_gone_and_the_rest_stays() -> None:
    labels = np.arange(600) % 2
    scale = labels + noise(600, 1)[:, 0]
    only_scale = scale**3 - scale + 0.1 * noise(600, key=3)
    both = only_scale + 2.0 * labels
    known = np.stack([scale, scale + 1e-9 * noise(600, key=4)], axis=1)
    left = without(
        known, np.stack([only_scale, both], axis=1), known=known, of_known=np.stack([only_scale, both], axis=1)
    )
    of_scale, of_class = (tell(left[:, at], labels == 1, np.arange(600)) for at in (0, 1))
    assert of_scale is not None
    assert of_class is not None
    assert of_scale.low < 0.5 < of_scale.high
    assert of_class.low > 0.8


def test_films_beyond_the_known_confounders_are_taken_for_the_last_of_them() -> None:
    known = np.linspace(0, 1, 50)[:, None]
    features = known**2
    far = without(np.array([[1.0], [100.0]]), np.array([[1.0], [1.0]]), known=known, of_known=features)
    assert far == pytest.approx(0, abs=1e-6)


def test_what_is_made_of_known_films_is_made_of_the_other_folds_alone() -> None:
    """A cubic that was fitted on the films it is asked about pushes the AUC of nothing well below one half."""
    asked: list[NDArray[np.bool_]] = []
    labels = np.arange(60) % 2
    scale, features = noise(60, 1), noise(60, 22, key=1)

    def at_equal_scale(known: NDArray[np.bool_]) -> NDArray[np.float64]:
        asked.append(known)
        return without(scale, features, known=scale[known], of_known=features[known])

    patients = np.arange(60) // 2
    cross_told(at_equal_scale, labels, patients, {"one": 1})
    assert np.sum([~known for known in asked], axis=0).tolist() == [1] * 60, "each film is held out once"
    assert not any(set(patients[known]) & set(patients[~known]) for known in asked)
