"""What a run would do to the disk, in numbers and in lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import disk_usage
from typing import Literal

from manifests.places import AnyPath
from stages.reporting import text

Verb = Literal["write", "keep", "delete"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """Files that a run would write, keep or delete in one folder.

    Attributes:
        verb: what would become of them.
        where: the folder, relative to the root, or as it was named.
        units: what they hold, as `Foreseen.unit` names it; None where that is not known.
        files: how many they are; None where that is not known.
        bytes: that they take; None where that is not known.
        known_by: how `bytes` is known, in words; empty where it is exact.
    """

    verb: Verb
    where: str
    units: int | None = None
    files: int | None = None
    bytes: int | None = None
    known_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreseen:
    """What a run would do.

    Attributes:
        unit: what is counted, in the plural.
        amounts: what would be written, kept and deleted.
        lines: what else the user should know before the run.
    """

    unit: str
    amounts: Sequence[Amount]
    lines: Sequence[str] = ()

    def of(self, verb: Verb) -> list[Amount]:
        """Return the amounts of one verb."""
        return [amount for amount in self.amounts if amount.verb == verb]


PREPOSITIONS = {"write": "to", "keep": "in", "delete": "from"}


def lines(foreseen: Foreseen) -> list[str]:
    """Return a table of the amounts, then what else there is to know."""
    rows = [["", foreseen.unit, "files", "MB"]]
    for amount in foreseen.amounts:
        size = None if amount.bytes is None else amount.bytes / 1e6
        where = f"{amount.verb} {PREPOSITIONS[amount.verb]} {amount.where}"
        rows.append([where, text.count(amount.units), text.count(amount.files), text.number(size, 1)])
    notes = ["", *(amount.known_by for amount in foreseen.amounts)]
    table = [f"{line}  {note}".rstrip() for line, note in zip(text.aligned(rows), notes, strict=True)]
    return [*table, *foreseen.lines]


def room(folder: AnyPath, needed: int | None) -> list[str]:
    """Return a line on the room for files to be written under a folder; none for a store, which has no end.

    Args:
        folder: that need not be there yet.
        needed: bytes; None where that is not known.
    """
    if not isinstance(folder, Path):
        return []
    there = next(each for each in (folder.resolve(), *folder.resolve().parents) if each.exists())
    free = disk_usage(there).free
    short = needed is not None and needed > free
    return [
        f"{free / 1e6:,.0f} MB are free there" + ("; that is too little, and the run would end there" if short else "")
    ]
