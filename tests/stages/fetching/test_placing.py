from __future__ import annotations

import pytest

from stages.fetching.placing import placed


@pytest.mark.parametrize(
    ("names", "where"),
    [
        (["chest_xray/train/NORMAL/a.jpeg"], ["train/NORMAL/a.jpeg"]),
        (["chest_xray/chest_xray/val/NORMAL/a.jpeg"], ["val/NORMAL/a.jpeg"]),
        (["set/NORMAL/a.png", "set/PNEUMONIA/b.png"], ["NORMAL/a.png", "PNEUMONIA/b.png"]),
        (["set/films/NORMAL/a.png"], ["NORMAL/a.png"]),
        (["set/Training/NORMAL/a.png"], ["Training/NORMAL/a.png"]),
        (["set/set/validation/NORMAL/a.png"], ["validation/NORMAL/a.png"]),
        (["a.png"], ["a.png"]),
        (
            ["x/images_001/images/a.png", "x/images_002/images/b.png"],
            ["images_001/images/a.png", "images_002/images/b.png"],
        ),
        (["test/a.png", "other/b.png"], ["test/a.png", "other/b.png"]),
        (["TRAIN/NORMAL/a.JPEG", "TEST/NORMAL/b.Png"], ["TRAIN/NORMAL/a.JPEG", "TEST/NORMAL/b.Png"]),
    ],
)
def test_films_lie_below_their_delivered_split_or_their_class(names: list[str], where: list[str]) -> None:
    assert list(placed(names).where.values()) == where


def test_no_film_loses_its_name_or_the_folder_it_lies_in() -> None:
    names = ["a/b/c/x.png", "a/b/c/y.png"]
    assert placed(names).where == {"a/b/c/x.png": "c/x.png", "a/b/c/y.png": "c/y.png"}
