"""The words of one copy by their definition, against which the words of many copies at once are held."""

import hashlib

import numpy as np

from stages.films.words import Words


def keyed_words(seed: int, film_id: str, operation: str, copy: int) -> Words:
    """Return the words of one copy, 1 or more: Philox's block at the copy, under a digest of all that decides it."""
    digest = hashlib.sha256(f"{seed}/{film_id}/{operation}".encode()).digest()
    return Words(np.random.Philox(key=int.from_bytes(digest[:16], "big"), counter=copy - 1).random_raw(4))
