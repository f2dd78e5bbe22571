"""What was found of one part of a machine, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "without", "slow", "wrong"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of a checkup.

    Attributes:
        part: of the machine.
        found: what it is.
        verdict: `ok`; `without`, where something is not there that few runs ask for; `slow`, where runs work and wait;
            `wrong`, where they fail or lose what they should keep.
        advice: what to do, where there is something to do.
    """

    part: str
    found: str
    verdict: Verdict = "ok"
    advice: str = ""
