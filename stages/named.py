"""What is known of a film beside its pixels, and the words that every way to name films shares."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from manifests.rows import LONGEST_LABEL, DeliveredSplit, Status

SPLIT_FOLDERS: Mapping[str, DeliveredSplit] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
LONGEST_NAME = LONGEST_LABEL  # letters of a class or a group: as many as a folder's name has bytes
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class Named:
    """What is known of a film beside its pixels.

    Attributes:
        label: its class.
        group: its patient's; None where each film is its own.
        delivered_split: the split that it came in.
        status: ok, or why it cannot be labelled.
        reason: the same in words; None where status is ok.
    """

    label: str | None
    group: str | None
    delivered_split: DeliveredSplit | None
    status: Status = "ok"
    reason: str | None = None


def delivered_split(path: str) -> DeliveredSplit | None:
    """Return the split that a folder on the path names, the outermost one first."""
    folders = PurePosixPath(path).parts[:-1]
    return next((SPLIT_FOLDERS[part.lower()] for part in folders if part.lower() in SPLIT_FOLDERS), None)


def oddity(name: str) -> str | None:
    """Return what keeps a name from being a class or a group, or None where nothing does."""
    if len(name) > LONGEST_NAME:
        return f"has {len(name):,} letters; expected at most {LONGEST_NAME}"
    return "holds a control character; expected letters" if CONTROL.search(name) else None
