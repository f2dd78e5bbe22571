"""The films that rates are measured on: some of those at hand, else phantoms, laid out as a raw folder."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from manifests import source
from manifests.places import AnyPath
from stages import paths, phantom
from stages.audit import AuditParams
from stages.auditing.files import files_under
from stages.contract import Machine, StageError
from stages.films.phantom_plan import FEWEST_FILMS

MOST_BYTES = 1_000_000_000  # of a sample: DICOMs may have 30 MB each
BESIDE = (".csv", ".txt", ".md")  # files of a raw folder that are no films


@dataclass(frozen=True, slots=True)
class Sample:
    """Films to measure.

    Attributes:
        raw: the folder that they lie under.
        files: their paths under it.
        labels: the parameters of the audit by which they are named.
        of: how many there are in all; 0 where they are drawn.
        source: what they are, in words.
    """

    raw: Path
    files: Sequence[str]
    labels: dict[str, Any]
    of: int
    source: str


def films_of(raw: AnyPath, audit: AuditParams, wanted: int, folder: Path) -> Sample:
    """Return some films of a raw folder, drawn by chance and always the same, copied under `folder`.

    Where a CSV may name the films, it is left out, for it lists films that the sample has not: the sample's lie in
    folders of two made-up classes then.

    Raises:
        StageError: where the folder holds no film, or none that can be read.
    """
    found = files_under(raw)
    films = [path for path in found if PurePosixPath(path).suffix.lower() not in BESIDE]
    if not films:
        raise StageError(f"{raw}: holds {len(found):,} files, none of them a film; expected films to measure")
    has_csv = any(PurePosixPath(path).suffix.lower() == ".csv" for path in found)
    listed = audit.labels in ("csv", "nih") or (audit.labels == "auto" and has_csv)
    drawn = random.Random(0).sample(films, min(wanted, len(films)))  # noqa: S311 - no secret
    size, laid = 0, []
    for number, path in enumerate(sorted(drawn)):
        data = _read(raw / path)
        if data is None:
            continue
        place = f"class{number % 2}/{number:06d}{PurePosixPath(path).suffix}" if listed else path
        _lay(folder / paths.RAW / place, data)
        laid.append(place)
        if (size := size + len(data)) > MOST_BYTES:
            break
    if not laid:
        raise StageError(f"{raw}: none of {len(drawn):,} files that were drawn can be read; expected films to measure")
    labels = {"labels": "folder", "group_pattern": "", "classes": ()} if listed else {}
    return Sample(folder / paths.RAW, laid, labels, len(films), f"{len(laid):,} of {len(films):,} files under {raw}")


def _read(path: AnyPath) -> bytes | None:
    """Return a file's bytes; nothing of one that the audit would not read either."""
    try:
        return source.read(path)
    except source.SourceError:
        return None


def _lay(target: Path, data: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)


def phantoms(side_px: int, wanted: int, folder: Path, machine: Machine) -> Sample:
    """Return phantoms of a longer side, drawn under `folder`."""
    told = phantom.PhantomParams(films=max(wanted, FEWEST_FILMS), longest_side_px=side_px)
    phantom.run(told, folder, machine)
    files = files_under(folder / paths.RAW)
    drawn = f"{len(files):,} phantoms of up to {side_px:,} pixels; real films differ, point --raw at some"
    return Sample(folder / paths.RAW, files, {}, 0, drawn)


def part_of(sample: Sample, share: int, folder: Path) -> int:
    """Copy every so-manieth film of a sample under another folder and return how many that are."""
    some = sample.files[::share]
    for path in some:
        _lay(folder / paths.RAW / path, (sample.raw / path).read_bytes())
    return len(some)
