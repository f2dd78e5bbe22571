from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import torchvision.transforms.functional as tv
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from stages.films import geometry
from stages.films.frame import Frame, Gray, Matrix
from stages.films.geometry import Box, Margins

SMALL = Frame(height=23, width=31)
FRAMES = st.builds(Frame, height=st.integers(2, 40), width=st.integers(2, 40))
ANGLES = st.floats(-180, 180)


def _read(matrix: Matrix, frame: Frame) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the column and the row that each output pixel is read from, by the definition of a matrix."""
    rows, columns = np.mgrid[0 : frame.height, 0 : frame.width]
    (a, b, c), (d, e, f) = matrix
    return a * columns + b * rows + c, d * columns + e * rows + f


def _outside(matrix: Matrix, film: Box, frame: Frame, *, play: float) -> float:
    """Return the share of pixels read from outside the film, counted one by one; `play` widens the film."""
    columns, rows = _read(matrix, frame)
    across = (columns >= film.left - 0.5 - play) & (columns < film.right - 0.5 + play)
    down = (rows >= film.top - 0.5 - play) & (rows < film.bottom - 0.5 + play)
    return 1 - float(np.mean(across & down))


@st.composite
def _boxes(draw: st.DrawFn, frame: Frame) -> Box:
    left, top = draw(st.integers(0, frame.width - 1)), draw(st.integers(0, frame.height - 1))
    return Box(left, top, draw(st.integers(left + 1, frame.width)), draw(st.integers(top + 1, frame.height)))


@st.composite
def _moves(draw: st.DrawFn, frame: Frame) -> Matrix:
    moves = [geometry.rotation(draw(st.one_of(ANGLES, st.sampled_from([0.0, 90.0, -90.0, 180.0]))), frame)]
    if draw(st.booleans()):
        moves.append(geometry.flip(frame))
    if draw(st.booleans()):
        moves.append(geometry.shift(draw(st.floats(-50, 50)), draw(st.floats(-50, 50))))
    if draw(st.booleans()):
        moves.append(geometry.zoom(draw(st.floats(0.3, 3)), frame))
    return geometry.combine(draw(st.permutations(moves)))


@settings(max_examples=400)
@given(data=st.data(), frame=FRAMES)
def test_the_outside_share_is_what_counting_every_pixel_gives(data: st.DataObject, frame: Frame) -> None:
    """For any rotation, flip, shift, zoom and film; pixels on the very edge may count either way."""
    matrix, film = data.draw(_moves(frame)), data.draw(_boxes(frame))
    found = geometry.outside_share(matrix, film, frame)
    most, least = (_outside(matrix, film, frame, play=play) for play in (-1e-6, 1e-6))
    assert least - 1e-12 <= found <= most + 1e-12


def test_the_outside_share_of_plain_cases() -> None:
    """Numbers that can be checked by hand, on 4 rows of 10 columns."""
    frame = Frame(height=4, width=10)
    whole = geometry.whole(frame)
    assert whole == Box(0, 0, 10, 4)
    assert geometry.outside_share(geometry.identity(), whole, frame) == 0
    assert geometry.outside_share(geometry.identity(), Box(1, 1, 9, 4), frame) == pytest.approx(1 - 24 / 40)
    assert geometry.outside_share(geometry.shift(3, 0), whole, frame) == pytest.approx(0.3)
    assert geometry.outside_share(geometry.shift(0, -1), whole, frame) == pytest.approx(0.25)
    assert geometry.outside_share(geometry.shift(10, 0), whole, frame) == 1
    assert geometry.outside_share(geometry.flip(frame), Box(0, 0, 5, 4), frame) == pytest.approx(0.5)


@settings(max_examples=200)
@given(data=st.data(), frame=FRAMES)
def test_the_covering_zoom_covers_and_less_does_not(data: st.DataObject, frame: Frame) -> None:
    """With it every pixel is read between the centres of the outer ones; with a millionth less, one is not."""
    turn = geometry.rotation(data.draw(ANGLES), frame)
    right, down = (data.draw(st.floats(-0.3, 0.3)) * side for side in (frame.width, frame.height))
    order = data.draw(st.permutations([turn, geometry.shift(right, down)]))
    try:
        least = geometry.covering_zoom(geometry.combine(order), frame)
    except ValueError:
        assume(False)

    def beyond(zoom: float) -> float:
        columns, rows = _read(geometry.combine([*order, geometry.zoom(zoom, frame)]), frame)
        return float(np.max([-columns, columns - (frame.width - 1), -rows, rows - (frame.height - 1)]))

    assert beyond(least) <= 1e-8
    covered = geometry.combine([*order, geometry.zoom(least, frame)])
    assert geometry.outside_share(covered, geometry.whole(frame), frame) == 0
    assert least >= 1
    if least > 1:
        assert beyond(least * (1 - 1e-6)) > 0


@pytest.mark.parametrize("angle_deg", [3.0, -15.0, 40.0, 90.0])
def test_a_zoom_that_is_too_small_by_more_than_half_a_pixel_leaves_pixels_unfilled(
    angle_deg: float, frame: Frame
) -> None:
    """The zoom and the share of unfilled pixels speak of the same margins."""
    turn = geometry.rotation(angle_deg, frame)
    least = geometry.covering_zoom(turn, frame)
    too_small = least / (1 + 1.2 / (min(frame.height, frame.width) - 1))
    whole = geometry.whole(frame)
    for zoom, unfilled in ((least, False), (too_small, True)):
        matrix = geometry.combine([turn, geometry.zoom(zoom, frame)])
        assert bool(geometry.outside_share(matrix, whole, frame) > 0) is unfilled


def test_the_covering_zoom_of_plain_cases(frame: Frame) -> None:
    """Nothing to cover needs none; a quarter turn needs the ratio of the sides."""
    assert geometry.covering_zoom(geometry.identity(), frame) == 1
    assert geometry.covering_zoom(geometry.flip(frame), frame) == pytest.approx(1)
    assert geometry.covering_zoom(geometry.rotation(90, frame), frame) == pytest.approx(299 / 255)
    assert geometry.covering_zoom(geometry.shift(29.9, 0), frame) == pytest.approx(149.5 / (149.5 - 29.9))


def test_a_film_shifted_out_of_sight_cannot_be_covered(frame: Frame) -> None:
    """Half a frame or more: no zoom about the centre brings it back."""
    with pytest.raises(ValueError, match=r"shift of \[160.0, 0.0\] px"):
        geometry.covering_zoom(geometry.shift(160, 0), frame)


@pytest.mark.parametrize("angle_deg", [7.0, -12.5, 90.0])
def test_a_positive_angle_turns_counter_clockwise_as_torchvision_does(angle_deg: float, film: Gray) -> None:
    """The other direction would differ nearly everywhere."""
    frame = Frame(height=film.shape[0], width=film.shape[1])
    ours = geometry.warp(film, geometry.rotation(angle_deg, frame), interpolation="nearest", margins="black")
    theirs, other_way = (np.asarray(tv.rotate(Image.fromarray(film), angle)) for angle in (angle_deg, -angle_deg))
    assert np.mean(ours != theirs) < 0.005
    assert np.mean(ours != other_way) > 0.5


def test_quarter_turns_and_mirrors_of_a_square_are_exact() -> None:
    """Every pixel lands on a pixel: NumPy's rot90 and fliplr are the measure."""
    image = np.random.default_rng(1).integers(0, 256, (24, 24), np.uint8)
    square = Frame(height=24, width=24)
    for interpolation in ("nearest", "bilinear"):
        for turns in range(4):
            matrix = geometry.combine([geometry.rotation(90 * turns, square)])
            turned = geometry.warp(image, matrix, interpolation=interpolation, margins="black")
            np.testing.assert_array_equal(turned, np.rot90(image, turns))
        mirrored = geometry.warp(image, geometry.flip(square), interpolation=interpolation, margins="black")
        np.testing.assert_array_equal(mirrored, np.fliplr(image))


def test_a_shift_moves_to_the_right_and_down() -> None:
    """What leaves is lost, what enters is black."""
    image = np.arange(1, 13, dtype=np.uint8).reshape(3, 4)
    moved = geometry.warp(image, geometry.shift(1, 1), interpolation="nearest", margins="black")
    np.testing.assert_array_equal(moved, [[0, 0, 0, 0], [0, 1, 2, 3], [0, 5, 6, 7]])


@given(factor=st.floats(0.2, 5))
def test_a_zoom_enlarges_about_the_centre(factor: float) -> None:
    """The centre stays; a point at distance 1 of the output is read at distance 1 / factor."""
    matrix = geometry.zoom(factor, SMALL)
    centre = np.array([(SMALL.width - 1) / 2, (SMALL.height - 1) / 2])
    np.testing.assert_allclose(matrix @ [*centre, 1], centre, atol=1e-9)
    np.testing.assert_allclose(matrix @ [centre[0] + 1, centre[1], 1] - centre, [1 / factor, 0], atol=1e-9)


@pytest.mark.parametrize("margins", ["black", "reflect", "replicate", "cover"])
def test_margins_are_filled_by_their_policy(margins: Margins) -> None:
    """Two columns enter from the left: black, the film mirrored, or its edge again."""
    image = np.array([[10, 20, 30, 40, 50]] * 3, np.uint8)
    filled = geometry.warp(image, geometry.shift(2, 0), interpolation="nearest", margins=margins)
    left = {"black": [0, 0], "cover": [0, 0], "reflect": [30, 20], "replicate": [10, 10]}[margins]
    np.testing.assert_array_equal(filled, [[*left, 10, 20, 30]] * 3)


def test_bilinear_reads_between_pixels_and_nearest_does_not() -> None:
    """A quarter of a pixel to the right: three parts of the pixel itself, one of its left neighbour."""
    image = np.array([[0, 100, 200, 40]] * 4, np.uint8)
    quarter = geometry.shift(0.25, 0)
    bilinear = geometry.warp(image, quarter, interpolation="bilinear", margins="replicate")
    np.testing.assert_array_equal(bilinear, [[0, 75, 175, 80]] * 4)
    np.testing.assert_array_equal(geometry.warp(image, quarter, interpolation="nearest", margins="replicate"), image)


def test_the_identity_changes_nothing(film: Gray) -> None:
    """Whatever the interpolation and the margins."""
    for interpolation in geometry.INTERPOLATIONS:
        for margins in geometry.BORDERS:
            same = geometry.warp(film, geometry.identity(), interpolation=interpolation, margins=margins)
            np.testing.assert_array_equal(same, film)
    np.testing.assert_array_equal(geometry.combine([]), geometry.identity())


def test_matrices_combine_in_the_order_in_which_they_are_applied() -> None:
    """One warp by the product is a warp by the first, then by the second."""
    square = Frame(height=33, width=33)
    image = np.zeros((33, 33), np.uint8)
    image[12:19, 13:21] = np.random.default_rng(2).integers(1, 256, (7, 8))  # far from the edges: nothing is lost
    moves = {
        "turn": geometry.rotation(90, square),
        "flip": geometry.flip(square),
        "shift": geometry.shift(3, -2),
    }

    def warped(source: Gray, matrix: Matrix) -> Gray:
        return geometry.warp(source, matrix, interpolation="nearest", margins="black")

    for first in moves.values():
        for second in moves.values():
            by_turns = warped(warped(image, first), second)
            np.testing.assert_array_equal(warped(image, geometry.combine([first, second])), by_turns)
    there, back = (geometry.combine([moves[a], moves[b]]) for a, b in (("turn", "shift"), ("shift", "turn")))
    assert not np.array_equal(warped(image, there), warped(image, back))


@given(angle_deg=ANGLES)
def test_combined_matrices_are_rounded_to_12_decimals_and_hold_no_minus_zero(angle_deg: float) -> None:
    """Sines differ in their last bit between libraries; the pixels that are read must not."""
    matrix = geometry.combine([geometry.rotation(angle_deg, SMALL), geometry.flip(SMALL)])
    np.testing.assert_array_equal(matrix, np.round(matrix, 12))
    assert not np.signbit(matrix[matrix == 0]).any()
    nudged = geometry.rotation(angle_deg, SMALL) * (1 + 1e-16)
    np.testing.assert_allclose(geometry.combine([nudged, geometry.flip(SMALL)]), matrix, atol=2e-12)


@given(angle_deg=ANGLES)
def test_our_rotation_is_that_of_opencv(angle_deg: float) -> None:
    """`getRotationMatrix2D` gives the matrix from input to output; ours is its inverse."""
    centre = ((SMALL.width - 1) / 2, (SMALL.height - 1) / 2)
    theirs = cv2.invertAffineTransform(cv2.getRotationMatrix2D(centre, angle_deg, 1.0))
    np.testing.assert_allclose(geometry.rotation(angle_deg, SMALL), theirs, atol=1e-6)
    assert math.isclose(float(np.linalg.det(geometry.rotation(angle_deg, SMALL)[:, :2])), 1.0)
