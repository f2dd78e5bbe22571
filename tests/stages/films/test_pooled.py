import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from stages.films.pooled import border, cells


def noise(height: int, width: int, key: int = 0) -> NDArray[np.uint8]:
    return np.asarray(np.random.Generator(np.random.Philox(key=key)).integers(0, 256, (height, width)), np.uint8)


def test_where_the_parts_are_whole_pixels_a_cell_is_the_mean_of_its_block() -> None:
    image = noise(56, 84)
    blocks = image.reshape(28, 2, 28, 3).mean(axis=(1, 3))
    assert cells(image) == pytest.approx(blocks.ravel(), rel=1e-5)


@given(st.integers(8, 70), st.integers(8, 70), st.integers(1, 40))
def test_the_mean_of_the_cells_is_the_mean_of_the_image_whatever_its_size(height: int, width: int, side: int) -> None:
    image = noise(height, width)
    assert cells(image, side=side).mean() == pytest.approx(image.mean(), rel=1e-4)


def test_a_pixel_that_two_cells_share_counts_for_each_by_its_part() -> None:
    image = np.array([[30, 60, 90]], np.uint8).repeat(3, axis=0)
    assert cells(image, side=2).tolist() == pytest.approx([40, 80, 40, 80])


@given(st.integers(8, 70), st.integers(8, 70))
def test_what_lies_inside_the_border_does_not_matter(height: int, width: int) -> None:
    image, other = noise(height, width), noise(height, width)
    deep, wide = max(1, height // 16), max(1, width // 16)
    other[deep : height - deep, wide : width - wide] = noise(height, width, key=1)[
        deep : height - deep, wide : width - wide
    ]
    assert np.array_equal(border(image), border(other))


def test_each_edge_has_cells_of_its_own() -> None:
    image = np.full((64, 64), 9, np.uint8)
    image[:4], image[-4:], image[4:-4, :4], image[4:-4, -4:] = 1, 2, 3, 4
    top, bottom, left, right = border(image).reshape(4, 28)
    assert (top == 1).all()
    assert (bottom == 2).all()
    assert left[5:-5] == pytest.approx(3)
    assert right[5:-5] == pytest.approx(4)
