"""Where an archive's pictures shall lie: archives wrap one set of films in different folders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, takewhile
from pathlib import PurePosixPath

from stages.films.decode import EXTENSIONS
from stages.named import SPLIT_FOLDERS

DICOM = (".dcm", ".dicom")
PICTURES = {*DICOM, *chain.from_iterable(EXTENSIONS.values())}  # by name: what the bytes are is the audit's affair


@dataclass(frozen=True, slots=True)
class Placed:
    """What becomes of an archive's files.

    Attributes:
        where: the path at which each picture shall lie, by its name in the archive.
        left_out: names of the files that are no pictures.
    """

    where: Mapping[str, str]
    left_out: Sequence[str]


def placed(names: Sequence[str]) -> Placed:
    """Return where an archive's pictures shall lie: below a delivered split where there is one, else as they lie.

    The Kaggle archive holds `chest_xray/train/NORMAL/x.jpeg` and `chest_xray/chest_xray/train/NORMAL/x.jpeg`; both
    are `train/NORMAL/x.jpeg`. Folders that all names begin with are left out, but for the one that a film lies in,
    since it may be its class. What a Mac leaves behind (`__MACOSX`, `._x.jpeg`) is no picture.
    """
    pictures = [name for name in names if _is_picture(PurePosixPath(name))]
    above = zip(*(PurePosixPath(name).parts[:-2] for name in pictures), strict=False)
    shared = sum(1 for _ in takewhile(lambda parts: len(set(parts)) == 1, above))
    where = {
        name: _below_split(PurePosixPath(name)) or "/".join(PurePosixPath(name).parts[shared:]) for name in pictures
    }
    return Placed(where, [name for name in names if name not in where])


def _is_picture(path: PurePosixPath) -> bool:
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in path.parts)
    return path.suffix.lower() in PICTURES and not hidden


def _below_split(path: PurePosixPath) -> str:
    """Return `split/class/.../name`, or nothing where no folder is named as the audit knows delivered splits."""
    at = next((place for place, part in enumerate(path.parts[:-2]) if part.lower() in SPLIT_FOLDERS), None)
    return "" if at is None else "/".join(path.parts[at:])
