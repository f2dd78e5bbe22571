"""Numbers and names that several tests of this room make up."""

import numpy as np
from numpy.typing import NDArray


def noise(*shape: int, key: int = 0) -> NDArray[np.float64]:
    """Return normally distributed numbers, the same for the same key."""
    return np.random.Generator(np.random.Philox(key=key)).normal(size=shape)


def person(numbers: object) -> list[str]:
    """Return the name of each film's patient, given by a number."""
    return [f"person{number}" for number in np.asarray(numbers).tolist()]
