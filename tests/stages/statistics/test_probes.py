import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from stages.statistics import probes
from stages.statistics.scores import auc
from tests.stages.statistics.made import noise, person


@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 5), st.integers(0, 99))
def test_the_nearest_film_is_the_one_at_the_least_distance(known: int, films: int, width: int, key: int) -> None:
    learned, asked = noise(known, width, key=key), noise(films, width, key=key + 100)
    labels = np.arange(known)
    distances = np.linalg.norm(asked[:, None] - learned[None], axis=2)
    assert probes.nearest_neighbour(learned, labels, asked).tolist() == distances.argmin(axis=1).tolist()


def test_blocks_of_films_change_nothing_and_no_film_gets_no_class(monkeypatch: pytest.MonkeyPatch) -> None:
    learned, asked, labels = noise(50, 4), noise(41, 4, key=1), np.arange(50) % 3
    whole = probes.nearest_neighbour(learned, labels, asked)
    monkeypatch.setattr(probes, "BLOCK", 7)
    assert probes.nearest_neighbour(learned, labels, asked).tolist() == whole.tolist()
    assert probes.nearest_neighbour(learned, labels, asked[:0]).tolist() == []


def test_bright_films_that_differ_by_a_grey_level_are_still_told_apart() -> None:
    films = np.full((40, 784), 250.0, np.float32)
    films[np.arange(40), np.arange(40)] += 1
    assert probes.nearest_neighbour(films, np.arange(40), films).tolist() == list(range(40))


def test_the_nearest_neighbour_knows_a_patient_again_and_nobody_else() -> None:
    patients = np.repeat(np.arange(60), 2)
    labels = (np.arange(60) % 2)[patients]  # the patients' looks tell nothing of their class
    looks = noise(60, 30)[patients] + 0.1 * noise(120, 30, key=1)
    first = np.arange(120) % 2 == 0
    siblings = probes.nearest_neighbour(looks[first], labels[first], looks[~first])
    strangers = probes.nearest_neighbour(looks[first][:30], labels[first][:30], looks[~first][30:])
    assert (siblings == labels[~first]).all()
    assert 0.2 < (strangers == labels[~first][30:]).mean() < 0.8


@given(
    st.lists(st.sampled_from([1.0, 2.0, 5.0, np.nan]), min_size=1, max_size=40),
    st.lists(st.floats(allow_nan=True, allow_infinity=False), min_size=1, max_size=20),
)
def test_each_number_lies_in_one_bin_also_where_it_is_unknown_or_unlike_all_known_ones(
    known: list[float], numbers: list[float]
) -> None:
    found = probes.binned(np.array(known)[:, None], np.array(numbers)[:, None])
    assert found.sum(axis=1).tolist() == [1] * len(numbers)
    assert (found[:, -1] == np.isnan(numbers)).all()


def test_a_larger_number_lies_in_no_lower_bin_and_tenths_hold_a_tenth_each() -> None:
    values = np.arange(1000.0)[:, None]
    found = probes.binned(values, values)
    assert (np.diff(found.argmax(axis=1)) >= 0).all()
    assert found.sum(axis=0).tolist() == [100] * 10 + [0]


def test_a_value_that_most_films_share_has_a_bin_of_its_own() -> None:
    quality = np.array([75.0] * 95 + [60.0, 80.0, 90.0, 95.0, 97.0])[:, None]
    below, shared, above = probes.binned(quality, np.array([[74.0], [75.0], [75.5]])).argmax(axis=1)
    assert below < shared
    assert above >= shared


def told(shift: float, *, key: int = 0) -> probes.Adversary:
    train_films, test_films = noise(200, 20, key=key), noise(60, 20, key=key + 100)
    test_films[:, 3] += shift
    found = probes.adversary(train_films, person(range(200)), test_films, person(range(60)))
    assert found is not None
    return found


def test_a_shifted_test_is_told_from_train_and_patients_drawn_from_train_are_not() -> None:
    found = told(3)
    assert found.auc > 0.95
    assert found.low > 0.9
    assert found.control is not None
    assert found.control < 0.65


def test_a_test_of_the_same_kind_is_not_told_from_train() -> None:
    found = [told(0, key=key) for key in range(20)]
    assert np.mean([each.auc for each in found]) == pytest.approx(0.47, abs=0.05)
    assert sum(each.low > 0.5 for each in found) <= 1


def test_patients_who_look_alike_in_all_their_films_are_no_shift() -> None:
    def films(key: int, patients: int) -> tuple[NDArray[np.float64], list[str]]:
        of_film = np.repeat(np.arange(patients), 8)
        return noise(patients, 40, key=key)[of_film] + 0.05 * noise(8 * patients, 40, key=key + 9), person(of_film)

    found = probes.adversary(*films(0, 40), *films(1, 20))
    assert found is not None
    assert found.auc < 0.7
    of_films = [auc_by_film(films(0, 40)[0], films(1, 20)[0])]
    assert min(of_films) > found.auc + 0.15


def auc_by_film(train: NDArray[np.float64], test: NDArray[np.float64]) -> float:
    found = probes.adversary(train, person(range(len(train))), test, person(range(len(test))))
    assert found is not None
    return found.auc


@pytest.mark.parametrize(("train", "test"), [(0, 5), (5, 0), (1, 5), (5, 1)])
def test_with_fewer_than_two_patients_on_a_side_nothing_is_said(train: int, test: int) -> None:
    assert probes.adversary(noise(train, 3), person(range(train)), noise(test, 3), person(range(test))) is None


def test_with_two_patients_of_train_there_is_no_control() -> None:
    found = probes.adversary(noise(2, 3), person(range(2)), noise(9, 3), person(range(9)))
    assert found is not None
    assert found.control is None


def test_the_control_is_drawn_by_patient_however_many_films_each_has(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[set[str]] = []

    def noted(features: object, apart: NDArray[np.bool_], groups: NDArray[np.str_], *rest: object) -> object:
        asked.append(set(groups[apart].tolist()))
        return told_apart(features, apart, groups, *rest)  # type: ignore[arg-type]

    told_apart = probes.told_apart
    monkeypatch.setattr(probes, "told_apart", noted)
    train, test = np.repeat(np.arange(40), 9), np.arange(12)
    probes.adversary(noise(360, 3), person(train), noise(12, 3, key=1), person(test))
    assert [len(patients) for patients in asked] == [12, 12]


def test_films_that_are_all_alike_tell_nothing() -> None:
    found = probes.adversary(np.ones((20, 3)), person(range(20)), np.ones((8, 3)), person(range(8)))
    assert found is not None
    assert 0 <= found.low <= found.auc <= found.high <= 1
    assert found.auc <= 0.5


@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans(), st.integers(0, 4)), min_size=2, max_size=40))
def test_an_interval_of_an_auc_holds_it_and_lies_within_zero_and_one(films: list[tuple[int, bool, int]]) -> None:
    values = np.array([score for score, _, _ in films], np.float64)
    positives = np.array([positive for _, positive, _ in films])
    if len(set(positives.tolist())) < 2:
        return
    found, low, high = probes.auc_interval(values, positives, [f"{side}/{group}" for _, side, group in films])
    assert found == auc(values, positives)
    assert 0 <= low <= found <= high <= 1


def test_the_interval_holds_the_true_auc_in_about_95_of_100_samples_with_films_in_clusters() -> None:
    """A normal score with a patient's part: AUC = Phi(1 / sqrt(2)) = 0.7602 for a shift of one SD."""
    patients, films = 40, 4
    of_film = np.repeat(np.arange(2 * patients), films)
    positives = of_film >= patients
    held = {"patients": 0, "films": 0}
    for sample in range(400):
        own = np.sqrt(0.7) * noise(2 * patients, key=sample)[of_film]
        values = positives + own + np.sqrt(0.3) * noise(len(of_film), key=sample + 1000)
        for name, groups in (("patients", person(of_film)), ("films", person(range(len(of_film))))):
            _, low, high = probes.auc_interval(values, positives, groups)
            held[name] += low <= 0.7602 <= high
    assert 0.92 <= held["patients"] / 400 <= 0.98
    assert held["films"] / 400 < 0.85
