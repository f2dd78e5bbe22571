"""Placements of many films at once are those of each film alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.films.frame import Frame
from stages.films.placement import RESIZES, Policy, place
from stages.films.placements import RESIZES as OF_COLUMNS
from stages.films.placements import place_all

SIDE = st.integers(1, 5000)
FILMS = st.lists(st.tuples(SIDE, SIDE), min_size=1, max_size=30)
NAMES = ("scale_x", "scale_y", "lost", "padded")


@given(FILMS, st.integers(1, 1500), st.integers(1, 1500), st.sampled_from(sorted(RESIZES)))
def test_columns_hold_to_the_last_bit_what_each_film_has_alone(
    films: list[tuple[int, int]], height: int, width: int, policy: Policy
) -> None:
    frame = Frame(height=height, width=width)
    widths, heights = (np.array(side) for side in zip(*films, strict=True))
    found = place_all(widths, heights, frame=frame, policy=policy)
    alone = [place(Frame(height=high, width=wide), frame=frame, policy=policy) for wide, high in films]
    assert found.resized_width.tolist() == [one.resized.width for one in alone]
    assert found.resized_height.tolist() == [one.resized.height for one in alone]
    for name in NAMES:
        assert getattr(found, name).tolist() == [getattr(one, name) for one in alone], name


@given(FILMS, st.sampled_from(sorted(RESIZES)))
def test_what_is_lost_of_the_area_is_what_is_lost_of_width_and_height(
    films: list[tuple[int, int]], policy: Policy
) -> None:
    widths, heights = (np.array(side) for side in zip(*films, strict=True))
    found = place_all(widths, heights, frame=Frame(height=256, width=300), policy=policy)
    assert found.lost == pytest.approx(1 - (1 - found.lost_width) * (1 - found.lost_height), abs=1e-12)


def test_both_know_the_same_policies() -> None:
    assert list(OF_COLUMNS) == list(RESIZES)


def test_only_a_squeeze_stretches_films_beyond_what_rounding_does() -> None:
    widths, heights = np.array([1200, 2000, 900]), np.array([1000, 1000, 1500])
    frame = Frame(height=256, width=300)
    for policy in RESIZES:
        stretch = place_all(widths, heights, frame=frame, policy=policy).stretch
        if policy == "squeeze":
            assert stretch == pytest.approx([300 / 1200 * 1000 / 256, 300 / 2000 * 1000 / 256, 300 / 900 * 1500 / 256])
        else:
            assert stretch == pytest.approx(1, abs=0.01)
