import base64
import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from manifests import store
from manifests.rows import NORMALIZED, ImageRow
from manifests.shards import ImageFolder
from stages import paths
from stages.contract import StageError
from stages.films import codec
from stages.films.frame import Gray
from stages.gallery import PICTURE_SIDE, choose_wrong, thumbnails
from stages.scoring import Images

CLASSES = ("normal", "bacterial", "viral")
NAMED = st.lists(st.tuples(st.integers(0, 2), st.lists(st.integers(1, 9), min_size=3, max_size=3)), max_size=30)


def a_row(name: str, label: int) -> ImageRow:
    return ImageRow(
        film_id=hashlib.sha256(name.encode()).hexdigest(),
        path=f"val/{CLASSES[label]}/{name}.pgm",
        label=CLASSES[label],
        label_index=label,
        group_id=f"person{name}",
        split="val",
        status="ok",
        reason=None,
        shard=None,
        index=None,
        sha256="0" * 64,
        encoded_bytes=1,
    )


def named(films: list[tuple[int, list[int]]]) -> tuple[list[ImageRow], NDArray[np.float32]]:
    weights = np.array([weights for _, weights in films], np.float64).reshape(-1, 3)
    rows = [a_row(str(place), label) for place, (label, _) in enumerate(films)]
    return rows, (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


@given(NAMED, st.integers(0, 12))
def test_only_wrong_films_are_shown_and_each_pair_has_its_turn(films: list[tuple[int, list[int]]], most: int) -> None:
    rows, told = named(films)
    chosen = choose_wrong(rows, told, CLASSES, most=most)
    said = told.argmax(axis=1)
    wrong = Counter(
        (row.label, CLASSES[index]) for row, index in zip(rows, said, strict=True) if row.label_index != index
    )
    assert len(chosen) == min(most, wrong.total())
    shown = Counter((film["truth"], film["said"]) for film in chosen)
    assert all(number <= wrong[pair] for pair, number in shown.items())
    for pair, number in wrong.items():
        fewest = max(shown.values(), default=0) - 1
        assert shown[pair] >= min(number, fewest), "no pair is a turn behind another that has films left"


@given(NAMED)
def test_no_film_that_is_left_out_is_surer_than_one_shown_of_its_pair(films: list[tuple[int, list[int]]]) -> None:
    rows, told = named(films)
    chosen = choose_wrong(rows, told, CLASSES, most=5)
    shown = {film["film_id"] for film in chosen}
    for row, of_film in zip(rows, told, strict=True):
        said = CLASSES[int(of_film.argmax())]
        of_pair = [film["confidence"] for film in chosen if (film["truth"], film["said"]) == (row.label, said)]
        assert row.film_id in shown or row.label == said or all(of_film.max() <= least for least in of_pair)


@given(NAMED, st.randoms(use_true_random=False))
def test_the_order_of_the_films_decides_nothing(films: list[tuple[int, list[int]]], words: object) -> None:
    rows, told = named(films)
    order = list(range(len(rows)))
    words.shuffle(order)  # type: ignore[attr-defined]
    assert choose_wrong([rows[place] for place in order], told[order], CLASSES) == choose_wrong(rows, told, CLASSES)


def test_a_film_is_shown_with_what_was_said_and_how_surely() -> None:
    rows, told = named([(1, [7, 2, 1])])
    assert choose_wrong(rows, told, CLASSES) == [
        {
            "film_id": rows[0].film_id,
            "path": "val/bacterial/0.pgm",
            "patient": "person0",
            "truth": "bacterial",
            "said": "normal",
            "confidence": pytest.approx(0.7),
            "of_truth": pytest.approx(0.2),
        }
    ]


def images_of(folder: Path, film: Gray, *, data: bytes | None = None) -> Images:
    """Return two films in the folder layout, or one broken one."""
    rows = [a_row(name, label) for name, label in (("one", 0), ("two", 1))]
    for row in rows:
        (folder / row.path).parent.mkdir(parents=True, exist_ok=True)
        (folder / row.path).write_bytes(codec.encode(film, encoding="pgm") if data is None else data)
    return Images(ImageFolder(folder, "folder"), rows, {"classes": list(CLASSES)})


def test_thumbnails_are_the_chosen_films_made_small(tmp_path: Path, film: Gray) -> None:
    images = images_of(tmp_path, film)
    wanted = {"film_id": images.rows[1].film_id}
    found = thumbnails({"val": images}, {"val": [wanted]})
    assert set(found) == {wanted["film_id"]}
    kind, _, data = found[wanted["film_id"]].partition(",")
    assert kind == "data:image/jpeg;base64"
    small = codec.decode(base64.b64decode(data))
    assert small.shape == (PICTURE_SIDE * 256 // 300, PICTURE_SIDE)
    halves = film.reshape(128, 2, 150, 2).mean(axis=(1, 3))
    assert np.abs(small - halves).mean() < 6, "the film itself, but for the resize and the JPEG"


def test_a_film_that_cannot_be_decoded_names_its_path(tmp_path: Path, film: Gray) -> None:
    images = images_of(tmp_path, film, data=b"no film")
    with pytest.raises(StageError, match=r"val/normal/one\.pgm: 7 bytes starting b'no f' are no 8-bit grey"):
        thumbnails({"val": images}, {"val": [{"film_id": images.rows[0].film_id}]})


def test_films_of_a_project_are_read_from_their_shards(project: Path) -> None:
    manifest = project / paths.NORMALIZED_MANIFEST
    layout = store.read_footer(manifest).params["layout"]
    rows = store.read(NORMALIZED, manifest)
    images = Images(ImageFolder(project / paths.NORMALIZED, layout), rows, {})
    found = thumbnails({"val": images}, {"val": [{"film_id": row.film_id} for row in rows[3:5]]})
    assert set(found) == {row.film_id for row in rows[3:5]}
    assert len(set(found.values())) == 2
