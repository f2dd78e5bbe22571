"""What a chest film looks like, small: phantoms of several patients, for a set that has to be told up from down."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.films import phantom
from stages.films.phantom_plan import plan

PATIENTS = 24
LONGEST_SIDE_PX = 64
SEED = 0


@cache
def upright_films(side: int) -> NDArray[np.uint8]:
    """Return the grey levels of small phantoms, side x side of each, (phantoms, side x side)."""
    films = [phantom.draw(film, seed=SEED) for film in plan(PATIENTS, SEED, longest_side_px=LONGEST_SIDE_PX)]
    small = [cv2.resize(film, (side, side), interpolation=cv2.INTER_AREA).ravel() for film in films]
    levels = np.asarray(np.stack(small), np.uint8)
    levels.flags.writeable = False
    return levels
