"""Random numbers that are keyed, not streamed: a function of seed, film, operation and copy alone."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

WORDS_PER_COPY = 4  # one Philox block: 4 words of 64 bits
TWO_TO_MINUS_53 = 2.0**-53
MASK = 2**64 - 1


class _Own(threading.local):
    """A thread's own generator, and the state that is written into it where a new one would be made."""

    def __init__(self) -> None:
        self.philox = np.random.Philox(key=0)
        self.state = self.philox.state


_OWN = _Own()


@dataclass(slots=True)
class Words:
    """The four random 64-bit words that one operation may spend on a copy: of one copy, or of many at once.

    What is taken from them is a number for one copy, and else an array of the shape of the copies.

    Attributes:
        words: shape (4, copies), (4, films, copies), or (4,) for one copy.
        spent: how many of the four have been taken.
    """

    words: NDArray[np.uint64]
    spent: int = field(default=0, init=False)

    def unit(self) -> Any:
        """Return the next word as a number in [0, 1): its upper 53 bits, the way every platform rounds alike.

        Raises:
            IndexError: where an operation asks for more than four numbers.
        """
        word = self.words[self.spent]
        self.spent += 1
        return (word >> np.uint64(11)) * TWO_TO_MINUS_53

    def uniform(self, low: float, high: float) -> Any:
        """Return a number in [low, high) per copy."""
        return low + (high - low) * self.unit()

    def chance(self, probability: float) -> Any:
        """Return True with a probability per copy; never at 0, always at 1."""
        return self.unit() < probability


def _key(seed: int, film_id: str, operation: str) -> int:
    """Return Philox's 128-bit key: a digest, so that neighbouring seeds and films share nothing."""
    digest = hashlib.sha256(f"{seed}/{film_id}/{operation}".encode()).digest()
    return int.from_bytes(digest[:16], "big")


def words_of_copies(seed: int, film_id: str, operation: str, copies: int, *, first: int = 1) -> Words:
    """Return the words of as many copies, from the first on; those of a copy do not depend on how many there are.

    Philox (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3") is a function of a key and a
    counter: the key is the film's and the operation's, the counter is the copy. NumPy promises the raw words
    across versions, and nothing beyond them, so the numbers are made here.
    """
    return Words(_raw(_key(seed, film_id, operation), copies, first).T)


def words_of_films(seed: int, film_ids: Sequence[str], operation: str, copies: int, *, first: int = 1) -> Words:
    """Return the words of each film's copies, as `words_of_copies` does of one's: shape (4, films, copies)."""
    raw = np.empty((len(film_ids), copies, WORDS_PER_COPY), np.uint64)
    for of_film, film_id in zip(raw, film_ids, strict=True):
        of_film[:] = _raw(_key(seed, film_id, operation), copies, first)
    return Words(np.moveaxis(raw, 2, 0))


def _raw(key: int, copies: int, first: int) -> NDArray[np.uint64]:
    """Return the words of a key's copies, shape (copies, 4)."""
    _OWN.state["state"]["key"][:] = key & MASK, key >> 64
    _OWN.state["state"]["counter"][0] = first - 1
    _OWN.philox.state = _OWN.state  # a new generator would ask the kernel for a seed first
    return _OWN.philox.random_raw(WORDS_PER_COPY * copies).reshape(copies, WORDS_PER_COPY)
