import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from stages.statistics import errors

TABLES = st.integers(2, 5).flatmap(
    lambda classes: arrays.arrays(np.int64, (classes, classes), elements=st.integers(0, 9))
)


@given(TABLES, st.data())
def test_detection_and_cause_are_all_errors_together_and_class_by_class(table: np.ndarray, data: st.DataObject) -> None:
    normal = data.draw(st.integers(0, len(table) - 1))
    found = errors.split_errors(table, normal=normal)
    assert found["detection"] + found["cause"] == found["errors"] == table.sum() - np.trace(table)
    assert found["missed"] + found["false_alarms"] == found["detection"]
    names = [str(index) for index in range(len(table))]
    by_class = errors.split_errors_by_class(table, names, normal=normal)
    for kind in ("detection", "cause", "films"):
        assert sum(of_class[kind] for of_class in by_class.values()) == found[kind]


@given(TABLES, st.data())
def test_the_errors_are_what_counting_film_by_film_finds(table: np.ndarray, data: st.DataObject) -> None:
    normal = data.draw(st.integers(0, len(table) - 1))
    films = [pair for pair, number in np.ndenumerate(table) for _ in range(number)]
    wrong = [(truth, said) for truth, said in films if truth != said]
    found = errors.split_errors(table, normal=normal)
    assert found["missed"] == sum(said == normal for _, said in wrong)
    assert found["false_alarms"] == sum(truth == normal for truth, _ in wrong)
    assert found["cause"] == sum(normal not in pair for pair in wrong)


def test_the_shares_are_of_the_films_that_they_are_about() -> None:
    table = np.array([[6, 1, 1], [2, 5, 1], [0, 3, 9]])
    found = errors.split_errors(table, normal=0)
    assert found["specificity"] == 6 / 8
    assert found["found"] == 18 / 20
    assert found["named"] == 14 / 18


def test_a_share_of_no_film_is_unknown() -> None:
    found = errors.split_errors(np.zeros((3, 3), np.int64), normal=1)
    assert (found["specificity"], found["found"], found["named"]) == (None, None, None)


@given(st.integers(0, 9), st.integers(0, 9))
def test_of_two_classes_no_cause_can_be_misnamed(false_alarms: int, missed: int) -> None:
    assert errors.split_errors(np.array([[3, false_alarms], [missed, 4]]), normal=0)["cause"] == 0


@pytest.mark.parametrize(
    ("classes", "index"),
    [
        (("normal", "bacterial"), 0),
        (("COVID", "Viral", "NORMAL"), 2),
        (("Mass", "No Finding"), 1),
        (("no_finding", "edema"), 0),
        (("ill", "Healthy"), 1),
        (("bacterial", "viral"), None),
        (("abnormal", "ill"), None),
        (("normal", "Normal"), None),
        ((), None),
    ],
)
def test_the_class_without_findings_is_known_by_its_name(classes: tuple[str, ...], index: int | None) -> None:
    assert errors.normal_class(classes) == index
