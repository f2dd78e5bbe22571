"""The films that the network is surest of and wrong about, chosen and made small enough for a page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manifests.rows import ImageRow
from stages.contract import StageError
from stages.pictures import addresses, picture_of
from stages.scoring import Images, Probabilities

MOST_FILMS = 12  # of one split
PICTURE_SIDE = 150  # pixels

WrongFilm = Mapping[str, Any]


def choose_wrong(
    rows: Sequence[ImageRow], probabilities: Probabilities, classes: Sequence[str], *, most: int = MOST_FILMS
) -> list[WrongFilm]:
    """Return the films that the network is surest of and wrong about, every pair of classes having its turn.

    First the surest film of each pair (truth, said), then the next of each, until there are `most`: one frequent
    confusion does not push out the others. They come pair by pair, the surest first; of equally sure films the
    first by its path.

    Args:
        rows: films.
        probabilities: of each.
        classes: names, in the order of the indices.
        most: films to return.
    """
    truth, said = [int(row.label_index or 0) for row in rows], probabilities.argmax(axis=1).tolist()
    wrong = [place for place in range(len(rows)) if truth[place] != said[place]]
    wrong.sort(key=lambda place: (-float(probabilities[place].max()), rows[place].path))
    before: Counter[tuple[int, int]] = Counter()
    turns = {}
    for place in wrong:
        turns[place] = before[truth[place], said[place]]
        before[truth[place], said[place]] += 1
    chosen = sorted(wrong, key=turns.__getitem__)[:most]  # sorting keeps the surest first within a turn
    chosen.sort(key=lambda place: (truth[place], said[place], turns[place]))
    return [_wrong_film(rows[place], probabilities[place], classes) for place in chosen]


def _wrong_film(row: ImageRow, told: NDArray[np.float32], classes: Sequence[str]) -> WrongFilm:
    said = int(told.argmax())
    return {
        "film_id": row.film_id,
        "path": row.path,
        "patient": row.group_id,
        "truth": row.label,
        "said": classes[said],
        "confidence": float(told[said]),
        "of_truth": float(told[int(row.label_index or 0)]),
    }


def thumbnails(images: Mapping[str, Images], gallery: Mapping[str, Sequence[WrongFilm]]) -> dict[str, str]:
    """Return each gallery film as a small JPEG in a data: address, by its hash.

    Args:
        images: each split's films.
        gallery: each split's chosen films (`choose_wrong`).

    Raises:
        ManifestError: where a film's bytes are missing.
        StageError: where they are no image.
    """
    found: dict[str, bytes] = {}
    for split, films in gallery.items():
        shown = {film["film_id"] for film in films}
        rows = [row for row in images[split].rows if row.film_id in shown]
        found |= {row.film_id: _picture(data, row.path) for row, data in images[split].folder.read_images(rows)}
    return addresses(found)


def _picture(data: bytes, path: str) -> bytes:
    try:
        return picture_of(data, side=PICTURE_SIDE)
    except ValueError as error:
        raise StageError(f"{path}: {error}; run the stage that wrote it again") from error
