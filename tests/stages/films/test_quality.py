"""What grey levels say of a film: its black border, its exposure, its letters; and its colours."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from stages.films import colour, look, quality
from stages.films.frame import Gray
from stages.films.quality import Quality


def seen(image: Gray) -> Quality:
    """Return what is said of a film."""
    film = Image.fromarray(image)
    fine = look.reduced(film, side=look.FINE_SIDE)
    return quality.measured(film, look.reduced(fine, side=look.SMALL_SIDE), fine=fine)


def smooth(height: int, width: int) -> Gray:
    """Return a film without edges, of levels from 40 to 200."""
    rows, columns = np.mgrid[0:height, 0:width]
    return np.asarray(120 + 80 * np.sin(rows / height * 3) * np.sin(columns / width * 5), np.uint8)


def test_percentiles_are_those_of_the_levels() -> None:
    image = smooth(150, 200)
    found = seen(image)
    told = (found.level_1, found.level_5, found.level_50, found.level_95, found.level_99)
    assert told == pytest.approx(np.percentile(image, [1, 5, 50, 95, 99]), abs=1)


@pytest.mark.parametrize("size", [(150, 200), (1300, 1700)])
def test_bars_are_as_deep_as_they_are_and_a_film_without_has_none(size: tuple[int, int]) -> None:
    height, width = size
    image = smooth(height, width)
    assert (seen(image).border, seen(image).border_left) == (0, 0)
    image[:, : width // 10] = image[height - height // 20 :] = 3
    found = seen(image)
    tolerance = max(1, height // 128)
    assert found.border_left == pytest.approx(width // 10, abs=tolerance)
    assert found.border_bottom == pytest.approx(height // 20, abs=tolerance)
    assert (found.border_top, found.border_right) == (0, 0)
    assert found.border == pytest.approx(1 - (1 - 0.1) * (1 - 0.05), abs=0.01)


def test_black_that_does_not_reach_the_edge_is_no_border() -> None:
    image = smooth(150, 200)
    image[40:110, 40:160] = 0
    assert seen(image).border == 0
    image[70:80, :60] = 0  # now it does
    assert seen(image).border == pytest.approx((70 * 120 + 10 * 40) / image.size, abs=0.001)


def test_exposure_is_that_of_what_lies_within_the_border() -> None:
    image = smooth(150, 200)
    bare = seen(image)
    image[:, :50] = 0
    framed = seen(image)
    assert framed.level_5 >= bare.level_1
    assert framed.clipped == 0


def test_clipped_is_the_share_that_is_pure() -> None:
    image = smooth(150, 200)
    image[50:80, 50:150] = 255
    image[90:100, 50:150] = 0
    assert seen(image).clipped == pytest.approx((30 + 10) * 100 / image.size, abs=0.002)


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_film_of_one_level_is_blank_and_one_with_a_picture_is_not(level: int) -> None:
    image = np.full((90, 120), level, np.uint8)
    assert seen(image).is_blank
    noisy = image + np.random.default_rng(0).integers(0, 2, image.shape, np.uint8) if level < 255 else image
    assert seen(noisy).is_blank
    assert not seen(smooth(90, 120)).is_blank


@pytest.mark.parametrize("size", [(200, 260), (1100, 1500)])
def test_a_letter_is_seen_and_smooth_shapes_are_not(size: tuple[int, int]) -> None:
    height, width = size
    image = smooth(height, width)
    cv2.circle(image, (width // 2, height // 2), height // 6, 230, -1)
    assert seen(image).marks == 0
    place, scale = (width // 12, height // 5), height / 400
    cv2.putText(image, "R", place, cv2.FONT_HERSHEY_SIMPLEX, scale, 250, max(1, height // 150), cv2.LINE_AA)
    assert seen(image).marks == 1


def test_a_wire_across_the_film_is_no_letter() -> None:
    image = smooth(300, 400)
    cv2.line(image, (10, 290), (390, 20), 255, 2, cv2.LINE_AA)
    assert seen(image).marks == 0


def test_a_pattern_of_very_many_letters_is_counted_as_far_as_the_column_goes() -> None:
    letter = np.zeros((11, 7), np.uint8)
    letter[:9, :4] = 200
    letter[2:4, 1:3] = letter[5:7, 1:3] = 0
    pattern = np.tile(letter, (47, 1169))[:511, :8176].copy()
    assert seen(pattern[:, :800]).marks == 46 * 114
    assert seen(pattern).marks == 2**15 - 1


def test_on_a_very_small_film_letters_are_not_told() -> None:
    assert seen(smooth(100, 140)).marks is None
    assert seen(smooth(128, 140)).marks == 0


@given(st.integers(8, 40), st.integers(8, 40), st.integers(0, 2**32 - 1))
def test_any_film_gives_numbers_within_their_ranges_and_stays_as_it_is(height: int, width: int, seed: int) -> None:
    image = np.random.default_rng(seed).choice(np.array([0, 0, 4, 90, 255], np.uint8), (height, width))
    before = image.copy()
    found = seen(image)
    assert np.array_equal(image, before)
    assert 0 <= found.clipped <= 1
    assert 0 <= found.border <= 1
    assert found.level_1 <= found.level_5 <= found.level_50 <= found.level_95 <= found.level_99
    assert max(found.border_left, found.border_right) <= width
    assert max(found.border_top, found.border_bottom) <= height


def test_shades_of_one_tint_are_no_colours() -> None:
    gray = smooth(60, 80)
    tinted = Image.fromarray(np.asarray(gray[..., None] * np.array([0.8, 0.9, 1.0]), np.uint8))
    assert colour.spread(Image.fromarray(gray)) is None
    assert colour.spread(tinted) == pytest.approx(0, abs=1)
    assert colour.spread(Image.fromarray(gray).convert("RGB")) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "CMYK", "YCbCr"])
def test_colours_are_told_in_every_mode(mode: str) -> None:
    words = np.random.default_rng(0)
    patches = words.integers(0, 255, (4, 4, 3), np.uint8).repeat(16, axis=0).repeat(16, axis=1)
    found = colour.spread(Image.fromarray(patches).convert(mode))
    assert found is not None
    assert found > 20
