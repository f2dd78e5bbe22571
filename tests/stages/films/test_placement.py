from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision import transforms

from stages.films.frame import Frame, Gray, frame_of
from stages.films.placement import Policy, fit, place

FRAME = Frame(height=256, width=300)
SIDES = st.integers(20, 700)
FILMS = st.builds(Frame, height=SIDES, width=SIDES)
FRAMES = st.builds(Frame, height=st.integers(8, 120), width=st.integers(8, 120))
EVERY = pytest.mark.parametrize("policy", get_args(Policy))


def _noise(film: Frame, seed: int = 0) -> Gray:
    return np.random.default_rng(seed).integers(0, 256, (film.height, film.width), np.uint8)


def _torchvision(image: Gray, frame: Frame) -> Gray:
    recipe = transforms.Compose(
        [
            transforms.Grayscale(),
            transforms.Resize(min(frame.height, frame.width)),
            transforms.CenterCrop((frame.height, frame.width)),
        ]
    )
    return np.asarray(recipe(Image.fromarray(image)), np.uint8)


def _fitted(image: Gray, frame: Frame, policy: Policy) -> Gray:
    return fit(Image.fromarray(image), place(frame_of(image), frame=frame, policy=policy))


@settings(max_examples=80)
@given(film=FILMS, seed=st.integers(0, 2**32))
def test_crop_is_torchvisions_resize_and_centre_crop_exactly(film: Frame, seed: int) -> None:
    """Of noise, at any size and aspect: cut, padded, or both, with odd and even differences."""
    image = _noise(film, seed)
    np.testing.assert_array_equal(_fitted(image, FRAME, "crop"), _torchvision(image, FRAME))


@pytest.mark.parametrize("width", range(257, 307))
def test_crop_rounds_its_offsets_as_torchvision_does(width: int) -> None:
    """Half to even where it cuts, down where it pads: every remainder on both sides of the frame."""
    for film in (Frame(height=256, width=width), Frame(height=width, width=256)):
        image = _noise(film)
        np.testing.assert_array_equal(_fitted(image, FRAME, "crop"), _torchvision(image, FRAME))


@pytest.mark.parametrize("frame", [Frame(224, 224), Frame(300, 256), Frame(32, 40), Frame(41, 31)], ids=str)
@settings(max_examples=25)
@given(film=FILMS)
def test_crop_into_other_frames_is_torchvisions_too(film: Frame, frame: Frame) -> None:
    """The shorter side of the film goes to the shorter side of the frame."""
    image = _noise(film)
    np.testing.assert_array_equal(_fitted(image, frame, "crop"), _torchvision(image, frame))


@EVERY
@settings(max_examples=60)
@given(film=FILMS, frame=FRAMES)
def test_what_a_placement_says_is_what_the_pixels_show(film: Frame, frame: Frame, policy: Policy) -> None:
    """A white film is white in the shown box and black around it; the shares follow from it."""
    placement = place(film, frame=frame, policy=policy)
    shown = placement.shown
    assert 0 <= shown.left < shown.right <= frame.width
    assert 0 <= shown.top < shown.bottom <= frame.height
    image = fit(Image.new("L", (film.width, film.height), 255), placement)
    expected = np.zeros((frame.height, frame.width), np.uint8)
    expected[shown.top : shown.bottom, shown.left : shown.right] = 255
    np.testing.assert_array_equal(image, expected)
    assert placement.padded == pytest.approx(np.mean(image == 0))
    assert 0 <= placement.lost < 1
    kept = placement.resized.pixels * (1 - placement.lost)
    assert kept == pytest.approx(np.sum(image == 255))
    for side in ("left", "top"):
        resized, target = (each.width if side == "left" else each.height for each in (placement.resized, frame))
        assert abs(getattr(placement, side) - (target - resized) / 2) <= 0.5, "the film is not centred"


@settings(max_examples=300)
@given(film=FILMS, frame=FRAMES)
def test_cover_fills_the_frame_and_keeps_one_side_whole(film: Frame, frame: Frame) -> None:
    """Nothing black, and no more lost than must be."""
    placement = place(film, frame=frame, policy="cover")
    assert placement.padded == 0
    assert placement.resized.height >= frame.height
    assert placement.resized.width >= frame.width
    assert placement.resized.height == frame.height or placement.resized.width == frame.width


@settings(max_examples=300)
@given(film=FILMS, frame=FRAMES)
def test_letterbox_shows_the_whole_film_as_large_as_it_goes(film: Frame, frame: Frame) -> None:
    """Nothing lost, and one side fills the frame."""
    placement = place(film, frame=frame, policy="letterbox")
    assert placement.lost == 0
    assert placement.resized.height == frame.height or placement.resized.width == frame.width


@settings(max_examples=40)
@given(film=FILMS, frame=FRAMES)
def test_squeeze_neither_loses_nor_pads(film: Frame, frame: Frame) -> None:
    """It is Pillow's resize to the frame, and nothing else."""
    image = _noise(film)
    placement = place(film, frame=frame, policy="squeeze")
    assert (placement.lost, placement.padded) == (0, 0)
    resized = Image.fromarray(image).resize((frame.width, frame.height), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(fit(Image.fromarray(image), placement), np.asarray(resized))


@pytest.mark.parametrize("policy", ["crop", "cover", "letterbox"])
@settings(max_examples=200)
@given(film=FILMS, frame=FRAMES)
def test_the_aspect_is_kept_but_for_whole_pixels(film: Frame, frame: Frame, policy: Policy) -> None:
    """Both sides are scaled alike, within one pixel of the longer side."""
    placement = place(film, frame=frame, policy=policy)
    assert placement.scale_x == placement.resized.width / film.width
    assert placement.scale_y == placement.resized.height / film.height
    play = 1 / min(film.width, film.height)
    assert placement.scale_x == pytest.approx(placement.scale_y, abs=1.01 * play)


@EVERY
def test_a_film_of_the_frames_own_size_stays_as_it_is(film: Gray, policy: Policy) -> None:
    """No policy resamples what fits already, and none edits its argument."""
    placement = place(frame_of(film), frame=FRAME, policy=policy)
    np.testing.assert_array_equal(fit(Image.fromarray(film), placement), film)
    assert (placement.lost, placement.padded, placement.scale_x, placement.scale_y) == (0, 0, 1, 1)


def test_the_recipe_of_2020_on_films_that_can_be_checked_by_hand() -> None:
    """A film as wide as high is padded by 22 columns a side; one twice as wide loses 106."""
    square = place(Frame(512, 512), frame=FRAME, policy="crop")
    assert (square.left, square.top, square.resized) == (22, 0, Frame(256, 256))
    assert square.padded == pytest.approx(44 / 300)
    assert square.lost == 0
    wide = place(Frame(512, 1024), frame=FRAME, policy="crop")
    assert (wide.left, wide.top, wide.resized) == (-106, 0, Frame(256, 512))
    assert wide.lost == pytest.approx(212 / 512)
    assert wide.padded == 0
    high = place(Frame(1024, 512), frame=FRAME, policy="crop")
    assert (high.left, high.top) == (22, -128)
    assert high.lost == pytest.approx(0.5)
    assert high.padded == pytest.approx(44 / 300)
