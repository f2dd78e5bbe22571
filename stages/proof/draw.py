"""Which files are read where not all are: each by the hash of its own name, whatever others there are."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

DOUBT = 0.05  # that is left: bounds hold in 95 of 100 draws


@dataclass(frozen=True, slots=True)
class Draw:
    """A share of the files, drawn by their names under the root and a seed.

    A file that is drawn stays so when others come or go, and a larger share takes the same files and more.

    Attributes:
        share: of the files, 1 for all.
        seed: another one draws others.
    """

    share: float = 1.0
    seed: int = 0

    def takes(self, place: str) -> bool:
        """Tell whether the file at a place is read."""
        if self.share >= 1:
            return True
        digest = hashlib.sha256(f"{self.seed} {place}".encode("utf-8", "surrogateescape")).digest()
        return int.from_bytes(digest[:8], "big") < self.share * 2**64


EVERYTHING = Draw()


def most_spoilt(read: int) -> float:
    """Return the share that may be spoilt at most, where none of so many files was, with 95 % confidence.

    Were a share p spoilt, none of n files drawn by chance is with probability (1 - p)^n at most (less where few are
    left undrawn); 1 - 0.05^(1/n) is the p at which that is 5 % (Clopper and Pearson, Biometrika 26, 1934; about 3/n).
    """
    return float(1 - DOUBT ** (1 / read)) if read else 1.0


def chance_to_find(share: float, read: int) -> float:
    """Return the probability that a share of spoilt files shows in so many that are read: 1 - (1 - share)^read."""
    return float(1 - (1 - share) ** read)
