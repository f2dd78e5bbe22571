"""The benchmark of picture quality: its letters are labelled once each, its changes are those of the flags."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from benchmarks import quality
from stages.auditing.rows import Examined
from stages.statistics import mean_film
from stages.statistics.alignment import SIDE

LETTERS = Path(quality.__file__).with_name("letters.csv")


def test_each_film_was_read_once_and_as_letter_part_or_none() -> None:
    with LETTERS.open() as table:
        rows = list(csv.DictReader(table))
    assert len({row["path"] for row in rows}) == len(rows) == 160
    assert {row["seen"] for row in rows} == {"letter", "part", "none"}


@pytest.mark.real
def test_the_films_that_were_read_are_there(real_films: Path) -> None:
    with LETTERS.open() as table:
        assert all((real_films / "kermany-raw" / row["path"]).is_file() for row in csv.DictReader(table))


@pytest.mark.parametrize("change", [1, 2, 3, 4])
def test_a_change_is_the_one_that_the_audit_looks_for(change: int) -> None:
    levels = np.random.default_rng(change).integers(0, 255, SIDE * SIDE, np.uint8)
    changed = quality.as_changed(Examined("ok", None, thumbnail=levels.tobytes()), change).thumbnail
    films = mean_film.unit_films(np.stack([levels, np.frombuffer(changed, np.uint8)]))
    assert films[1] == pytest.approx(mean_film.changed(films[:1], change)[0], abs=1e-5)
