"""Write the golden images anew: `python -m tests.golden.make`; look at the difference before you keep it.

They pin what the eye sees: each policy of normalization on one made-up film, and four copies of it under each
policy of the margins and each interpolation.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

import numpy as np
from PIL import Image

from stages.films.chain import Chain
from stages.films.frame import Frame, Gray, frame_of
from stages.films.geometry import Interpolation, Margins
from stages.films.operations import Brightness, Flip, Rotate
from stages.films.placement import Policy, fit, place

FOLDER = Path(__file__).parent
FRAME = Frame(height=32, width=40)
FILM_ID = hashlib.sha256(b"golden film").hexdigest()
SEED = 11  # its four copies turn to both sides, and two of them are mirrored
COPIES = 4


def raw_film() -> Gray:
    """Return a film of 90 x 120: a bright body, two dark lungs, a heart to the right, and a marker to the left."""
    rows, columns = np.mgrid[0:90, 0:120]

    def disc(row: float, column: float, high: float, wide: float) -> Gray:
        distance = ((rows - row) / high) ** 2 + ((columns - column) / wide) ** 2
        return np.asarray(np.clip(4 * (1 - distance), 0, 1) * 255, np.uint8)

    film = 60 + 120 * (disc(50, 60, 60, 62) / 255.0)
    for column in (36, 84):
        film -= 110 * (disc(46, column, 34, 18) / 255.0)
    film += 90 * (disc(58, 70, 20, 14) / 255.0)
    film[6:16, 8:12] = 255
    film[12:16, 8:18] = 255
    return np.asarray(np.clip(film, 0, 255), np.uint8)


def placed(policy: Policy) -> Gray:
    """Return the film in the frame; 84 columns of it, so that crop pads and cuts where the others do one or neither."""
    film = raw_film()[:, :84]
    return fit(Image.fromarray(film), place(frame_of(film), frame=FRAME, policy=policy))


def copies(margins: Margins, interpolation: Interpolation) -> Gray:
    """Return four copies of the covering film, side by side."""
    film = raw_film()
    placement = place(frame_of(film), frame=FRAME, policy="cover")
    image = fit(Image.fromarray(film), placement)
    chain = Chain((Brightness(), Rotate(), Flip()), margins, interpolation, FRAME, SEED)
    drawn = chain.draws(FILM_ID, COPIES)
    pairs = zip(chain.matrix(drawn), chain.table(drawn), strict=True)
    return np.hstack([chain.copy(image, matrix, table) for matrix, table in pairs])


def pictures() -> Mapping[str, Gray]:
    """Return every golden image by the name of its file."""
    by_name = {f"placed-{policy}.png": placed(policy) for policy in get_args(Policy)}
    for margins in get_args(Margins):
        for interpolation in get_args(Interpolation):
            by_name[f"copies-{margins}-{interpolation}.png"] = copies(margins, interpolation)
    return by_name


def main() -> None:
    """Write every golden image."""
    for name, picture in pictures().items():
        Image.fromarray(picture).save(FOLDER / name, optimize=True)


if __name__ == "__main__":
    main()
