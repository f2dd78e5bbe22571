"""What was known beside what is measured: a figure agrees where it lies in the interval, and not beside it."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from benchmarks.science import Claim, Found, black_at, over_patients, quantisers, zoom_at


@pytest.mark.parametrize(
    ("told", "digits", "found", "agrees"),
    [
        (0.86, 2, Found(0.83, 40, 0.78, 0.89), True),
        (0.95, 2, Found(0.83, 40, 0.78, 0.89), False),
        (0.89, 2, Found(0.83, 40, 0.78, 0.886), True),  # as it was rounded
        (30, 0, Found(30, 40), True),
        (30, 0, Found(29, 40), False),
        (25.7, 1, Found(25.746, 40), True),
    ],
)
def test_a_figure_agrees_where_the_interval_holds_it(told: float, digits: int, found: Found, *, agrees: bool) -> None:
    claim = Claim("x", told, digits, found, "few films")
    assert claim.agrees() is agrees
    assert claim.row()[-1] == ("yes" if agrees else "no: few films")


def test_what_is_not_measured_says_why() -> None:
    assert Claim("x", 1, 0, None, "no such film").row()[-1] == "not measured: no such film"


def test_an_interval_is_over_patients_and_the_same_in_every_run() -> None:
    films = pa.table({"group_id": [f"p{at // 10}" for at in range(60)]})
    values = np.repeat(np.arange(6.0), 10)
    found = over_patients(films, values, np.mean)
    assert found == over_patients(films, values, np.mean)
    assert found.low is not None
    assert found.high is not None
    assert found.high - found.low > 2, "six patients, however many films they have"
    none = over_patients(films, np.zeros(60), np.mean)
    assert (none.low, none.value) == (0, 0)
    assert none.high == pytest.approx(100 * (1 - 0.025 ** (1 / 6)))


def test_the_frames_geometry_is_that_of_a_rotated_rectangle() -> None:
    assert black_at(0) == 0
    assert black_at(90) == pytest.approx(1 - 256 / 300, abs=0.01)
    assert zoom_at(0) == 1
    assert zoom_at(90) == pytest.approx(300 / 256)


def test_quantisers_are_those_of_the_standards_table() -> None:
    assert quantisers([50])[0] == pytest.approx(57.625)
    assert quantisers([100])[0] == 1
