from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from manifests.checks import ManifestError
from manifests.rows import NORMALIZED, NormalizedRow
from manifests.shards import ImageFolder
from stages.contract import StageError
from stages.films.codec import encode
from stages.films.frame import Frame, Gray
from stages.learning.batches import pixel_statistics, resident, standardised
from tests.stages.learning.made import FRAME, row_of, written

COUNT = 9


@contextmanager
def silent(total: int, *, unit: str) -> Iterator[Callable[..., None]]:
    assert (total > 0, unit) == (True, "images")
    yield lambda *_: None


def film(number: int) -> Gray:
    return np.full((FRAME.height, FRAME.width), 10 * number, np.uint8)


@pytest.fixture(params=["shards", "folder"])
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[ImageFolder, list[NormalizedRow]]:
    """Nine films in one of the layouts, in three shards."""
    return written(tmp_path, request.param, [encode(film(number), encoding="pgm") for number in range(COUNT)])


def test_images_stand_in_the_order_of_the_rows_in_both_layouts(
    stored: tuple[ImageFolder, list[NormalizedRow]],
) -> None:
    folder, rows = stored
    order = [7, 0, 8, 3, 5, 1]

    images = resident(folder, [rows[number] for number in order], FRAME, silent)

    assert images.dtype == torch.uint8
    assert images.shape == (6, FRAME.height, FRAME.width)
    assert images[:, 0, 0].tolist() == [10 * number for number in order]


def test_an_image_of_another_frame_is_named(stored: tuple[ImageFolder, list[NormalizedRow]]) -> None:
    folder, rows = stored

    with pytest.raises(StageError, match=r"train/0\.pgm: 6x8 pixels; expected 5x8"):
        resident(folder, rows, Frame(height=5, width=8), silent)


def test_an_image_that_cannot_be_decoded_is_named(tmp_path: Path) -> None:
    folder = ImageFolder(tmp_path, "folder")
    row = row_of(0, b"no image", "folder")
    folder.write("", NORMALIZED.table([row]), [b"no image"])

    with pytest.raises(StageError, match=r"train/0\.pgm: .*run the stage that wrote it again"):
        resident(folder, [row], FRAME, silent)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    row = replace(row_of(0, b"x", "folder"), path="train/gone.pgm")

    with pytest.raises(ManifestError, match=r"gone\.pgm"):
        resident(ImageFolder(tmp_path, "folder"), [row], FRAME, silent)


def test_pixel_statistics_are_those_of_all_grey_levels() -> None:
    grey = np.random.default_rng(0).integers(0, 256, (300, 6, 8), np.uint8)

    mean, std = pixel_statistics(torch.from_numpy(part) for part in np.array_split(grey, 4))

    assert mean == pytest.approx((grey / 255).mean())
    assert std == pytest.approx((grey / 255).std())


def test_films_of_one_grey_level_can_be_standardised() -> None:
    flat = torch.full((2, 6, 8), 77, dtype=torch.uint8)
    mean, std = pixel_statistics([flat])

    levels = standardised(flat, mean=mean, std=std, device=torch.device("cpu"))

    assert levels.abs().max() < 1e-4


def test_standardised_images_have_mean_0_and_deviation_1_and_the_grey_levels_stay() -> None:
    grey = torch.randint(0, 256, (50, 6, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    before = grey.clone()
    mean, std = pixel_statistics([grey])

    levels = standardised(grey, mean=mean, std=std, device=torch.device("cpu"))

    assert levels.shape == (50, 1, 6, 8)
    assert levels.dtype == torch.float32
    assert float(levels.mean()) == pytest.approx(0, abs=1e-5)
    assert float(levels.std(correction=0)) == pytest.approx(1, abs=1e-5)
    assert torch.equal(grey, before)
