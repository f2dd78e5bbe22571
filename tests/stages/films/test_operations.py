from __future__ import annotations

import dataclasses
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torchvision.transforms.functional as tv
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance
from pydantic import TypeAdapter, ValidationError

from stages.drawn import AUGMENTED
from stages.films import geometry
from stages.films.frame import Frame
from stages.films.operations import (
    DRAWN,
    OPERATIONS,
    Brightness,
    Contrast,
    Covered,
    Flip,
    Gamma,
    Geometric,
    Operation,
    Photometric,
    Rotate,
    Shift,
)
from stages.films.words import Words, words_of_copies
from tests.stages.films.made_words import keyed_words

AnyOperation = Geometric | Photometric
LEVELS = np.arange(256)
EVERY = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.__name__)
ANY: TypeAdapter[Any] = TypeAdapter(Operation)


def _words(film_id: str, copies: int = 400) -> list[Words]:
    return [keyed_words(0, film_id, "contract", copy) for copy in range(1, copies + 1)]


def _effect(operation: AnyOperation, drawn: dict[str, float | bool], frame: Frame) -> Any:
    return operation.matrix(drawn, frame) if isinstance(operation, Geometric) else operation.table(drawn)


@EVERY
def test_every_operation_draws_the_same_from_the_same_words(operation: type[AnyOperation], film_id: str) -> None:
    """Replaying a row needs nothing but its key; and other words give other numbers."""
    one = operation().draw(keyed_words(0, film_id, "contract", 5))
    assert operation().draw(keyed_words(0, film_id, "contract", 5)) == one
    assert any(operation().draw(words) != one for words in _words(film_id, 20))


@EVERY
def test_every_operation_draws_what_its_columns_promise(operation: type[AnyOperation], film_id: str) -> None:
    """Its keys are the fields of its class of drawn numbers, all columns of the augmented manifest, all in range."""
    names = [field.name for field in dataclasses.fields(operation.drawn)]
    columns = {field.name: field for field in AUGMENTED.drawn}
    assert set(names) <= columns.keys()
    for words in _words(film_id):
        drawn = operation().draw(words)
        assert sorted(drawn) == sorted(names)
        for name, value in drawn.items():
            assert np.asarray(value).dtype == {"bool": bool, "double": float}[str(columns[name].type)]
            bounds = columns[name].column
            assert bounds.low is None or value >= bounds.low
            assert bounds.high is None or value <= bounds.high


@EVERY
def test_all_copies_at_once_are_what_each_is_by_itself(
    operation: type[AnyOperation], film_id: str, frame: Frame
) -> None:
    """What is drawn and what comes of it, bit for bit: replaying one copy needs no other."""
    together = operation().draw(words_of_copies(0, film_id, "contract", 50))
    effects = _effect(operation(), together, frame)
    for copy, words in enumerate(_words(film_id, 50)):
        drawn = operation().draw(words)
        assert drawn == {name: numbers[copy] for name, numbers in together.items()}
        np.testing.assert_array_equal(_effect(operation(), drawn, frame), effects[copy])


@EVERY
def test_every_operation_at_zero_strength_changes_nothing(
    operation: type[AnyOperation], film_id: str, frame: Frame
) -> None:
    """Whatever it draws then is the identity, bit for bit."""
    strengths = dict.fromkeys(set(operation.model_fields) - {"op"}, 0)
    assert strengths, "an operation without a strength cannot be turned off"
    still = operation(**strengths)
    nothing = geometry.identity() if isinstance(still, Geometric) else LEVELS
    for words in _words(film_id, 20):
        effect = _effect(still, still.draw(words), frame)
        np.testing.assert_array_equal(geometry.combine([effect]) if isinstance(still, Geometric) else effect, nothing)


@EVERY
def test_every_operation_at_its_default_strength_changes_something(
    operation: type[AnyOperation], film_id: str, frame: Frame
) -> None:
    """An operation that does nothing is a mistake in a recipe."""
    effects = [_effect(operation(), operation().draw(words), frame) for words in _words(film_id, 20)]
    assert any(not np.array_equal(one, other) for one, other in pairwise(effects))


@EVERY
def test_every_operation_is_a_matrix_or_a_table(operation: type[AnyOperation], film_id: str, frame: Frame) -> None:
    """Matrices are invertible, tables keep the order of the grey levels."""
    for words in _words(film_id, 50):
        effect = _effect(operation(), operation().draw(words), frame)
        if issubclass(operation, Geometric):
            assert effect.shape == (2, 3)
            assert abs(np.linalg.det(effect[:, :2])) > 0.1
        else:
            assert effect.shape == (256,)
            assert effect.dtype == np.uint8
            assert (np.diff(effect.astype(int)) >= 0).all()


@pytest.mark.parametrize(
    "operation",
    [Rotate(), Rotate(degrees=30.5), Rotate(degrees=180), Flip(), Shift(), Shift(share=0.3)],
    ids=repr,
)
def test_no_draw_takes_a_corner_farther_out_than_the_extremes_do(
    operation: Geometric, film_id: str, frame: Frame
) -> None:
    """The covering zoom is computed from the extremes alone; a hundredth of a pixel lies between two of them."""
    corners = np.array([[0, 299, 0, 299], [0, 0, 255, 255], [1, 1, 1, 1]])

    def reach(drawn: dict[str, float | bool]) -> Any:
        places = operation.matrix(drawn, frame) @ corners
        return np.stack([places, -places])

    farthest = np.max([reach(drawn) for drawn in operation.extremes()], axis=0)
    for words in _words(film_id):
        assert (reach(operation.draw(words)) <= farthest + 0.01).all()


@EVERY
def test_every_operation_is_named_in_params_by_its_op(operation: type[AnyOperation]) -> None:
    """What is written in params.yaml comes back as the operation, and unknown keys do not."""
    written = operation().model_dump(mode="json")
    assert ANY.validate_python(written) == operation()
    with pytest.raises(ValidationError, match="strenght"):
        ANY.validate_python({**written, "strenght": 1})


def test_operations_fill_columns_of_their_own() -> None:
    """Two that drew the same column would overwrite each other; the covering zoom has its own too."""
    names = [field.name for drawn in DRAWN for field in dataclasses.fields(drawn)]
    assert len(set(names)) == len(names)
    assert [field.name for field in AUGMENTED.drawn] == names
    assert Covered in DRAWN
    assert len({operation.model_fields["op"].default for operation in OPERATIONS}) == len(OPERATIONS)


@pytest.mark.parametrize(
    "wrong",
    [
        {"op": "rotate", "degrees": -1},
        {"op": "rotate", "degrees": 181},
        {"op": "flip", "probability": 1.5},
        {"op": "shift", "share": 0.5},
        {"op": "brightness", "jitter": 1.5},
        {"op": "gamma", "jitter": 1.0},
        {"op": "blur"},
    ],
    ids=str,
)
def test_strengths_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    """Before the first film is read."""
    with pytest.raises(ValidationError):
        ANY.validate_python(wrong)


def _levels_as_film() -> Image.Image:
    return Image.fromarray(LEVELS.astype(np.uint8).reshape(16, 16))


@settings(max_examples=300)
@given(factor=st.floats(0, 2) | st.sampled_from([0.0, 0.5, 0.8, 1.0, 1.2, 2.0]))
def test_brightness_is_pillows_and_torchvisions_on_every_grey_level(factor: float) -> None:
    """Not rounded, but cut off, in float32: exactly theirs."""
    table = Brightness().table({"brightness": factor}).reshape(16, 16)
    film = _levels_as_film()
    np.testing.assert_array_equal(table, np.asarray(ImageEnhance.Brightness(film).enhance(factor)))
    np.testing.assert_array_equal(table, np.asarray(tv.adjust_brightness(film, factor)))


def test_every_brightness_that_is_drawn_is_torchvisions(film_id: str) -> None:
    """Over the factors of the recipe itself, 2,000 of them."""
    film = _levels_as_film()
    brightness = Brightness(jitter=0.2)
    for words in _words(film_id, 2000):
        drawn = brightness.draw(words)
        assert 0.8 <= drawn["brightness"] < 1.2
        theirs = np.asarray(tv.adjust_brightness(film, drawn["brightness"]))
        assert np.array_equal(brightness.table(drawn), theirs.ravel()), drawn


def test_contrast_spreads_the_levels_about_mid_grey_and_rounds() -> None:
    """Double: 127 is 126.5 and goes to the even side; the ends saturate. None: all is mid-grey."""
    table = Contrast().table({"contrast": 2.0})
    assert table[[0, 63, 64, 100, 127, 128, 191, 192, 255]].tolist() == [0, 0, 0, 72, 126, 128, 254, 255, 255]
    assert set(Contrast().table({"contrast": 0.0}).tolist()) == {128}
    assert Contrast().table({"contrast": 0.5})[[0, 255]].tolist() == [64, 191]


def test_gamma_keeps_black_and_white_and_bends_what_lies_between() -> None:
    """Below 1 it brightens: 255 x (64 / 255) ^ 0.5 is 127.75."""
    table = Gamma().table({"gamma": 0.5})
    assert table[[0, 64, 255]].tolist() == [0, 128, 255]
    assert Gamma().table({"gamma": 2.0})[[0, 128, 255]].tolist() == [0, 64, 255]


def test_gamma_brightens_as_often_as_it_darkens(film_id: str) -> None:
    """Its logarithm is uniform, and the strongest darkening undoes the strongest brightening."""
    drawn = Gamma(jitter=0.2).draw(words_of_copies(0, film_id, "gamma", 2000))["gamma"]
    assert 0.8 <= drawn.min() < 0.81
    assert 1.24 < drawn.max() <= 1.25
    assert abs(np.mean(drawn < 1) - 0.5) < 5 * np.sqrt(0.25 / 2000)


def test_a_shift_is_a_share_of_the_frames_own_sides(frame: Frame) -> None:
    """A tenth to the right and a fifth down, whatever the frame's size."""
    matrix = Shift().matrix({"shift_right": 0.1, "shift_down": 0.2}, frame)
    np.testing.assert_allclose(matrix, geometry.shift(30, 51.2))
    assert Shift(share=0.05).draw(Words(np.array([2**63, 0], np.uint64))) == {"shift_right": 0.0, "shift_down": -0.05}


def test_a_flip_that_is_not_drawn_leaves_the_film(frame: Frame) -> None:
    """And one that is drawn mirrors it."""
    np.testing.assert_array_equal(Flip().matrix({"flipped": False}, frame), geometry.identity())
    np.testing.assert_array_equal(Flip().matrix({"flipped": True}, frame), geometry.flip(frame))
