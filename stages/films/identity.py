"""Who a film shows, without saying who: a hash in place of a patient's id."""

from __future__ import annotations

import hashlib
import hmac

PREFIX = "id/"
LETTERS = 16  # hex, 64 bits: of a million patients, two share one in 3 of 100 million sets
NOBODY = {"", "na", "n/a", "nan", "nil", "none", "null", "unknown", "unk", "test", "removed", "deidentified", "default"}


def group_of(patient: str, *, key: bytes = b"") -> str | None:
    """Return the group of a patient by the id that a file or a list gives them, None where it names nobody.

    HMAC-SHA256 under a key: without one, whoever guesses an id can check the guess, and short ids are soon guessed.
    Films that share a placeholder (ANONYMOUS, 0000) are not of one patient: each stays its own.
    """
    name = " ".join(patient.replace("\0", " ").split()).casefold()
    if name in NOBODY or name.startswith("anon") or not name.strip("0-_.* x"):
        return None
    return f"{PREFIX}{hmac.new(key, name.encode('utf-8', 'surrogatepass'), hashlib.sha256).hexdigest()[:LETTERS]}"
