"""What a cluster's worker must agree with before it does any of a run's jobs: the same versions, the same folders."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path

from manifests.installed import told_version

PROBE = ".cxr-workers."  # how the name of the file begins that workers look for under the root
SUFFIX = ".partial"
NAMES = 8  # of what lies in a folder, looked for by each worker


@dataclass(frozen=True, slots=True)
class Seen:
    """A folder that the run uses, and some names that lie in it."""

    folder: Path
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Terms:
    """What a worker must agree with, and how it does its work.

    Attributes:
        run: a word that no other run has.
        started_in: the folder that relative paths start from.
        seen: the folders that the run uses.
        versions: of all that decides an image's bytes.
        film_timeout_s: how long a film may take; 0 for ever.
    """

    run: str
    started_in: str
    seen: tuple[Seen, ...]
    versions: Mapping[str, str]
    film_timeout_s: float


@contextmanager
def terms_of(folders: Sequence[Path], *, film_timeout_s: float) -> Iterator[Terms]:
    """Give a run's terms; a file under its first folder, the root, lies there meanwhile for workers to find.

    A folder of the same name on another machine may hold the same names as well: the file's name is this run's alone.
    Where it cannot be written, a set that is only read, the names must do.
    """
    run = secrets.token_hex(8)
    probe = folders[0] / f"{PROBE}{run}{SUFFIX}" if folders and folders[0].is_dir() else None
    written: tuple[str, ...] = ()
    if probe is not None:
        with suppress(OSError):
            probe.touch()
            written = (probe.name,)
    seen = tuple(Seen(folder, _some_names(folder)) for folder in folders if folder.is_dir())
    if written:
        seen = (Seen(seen[0].folder, (*written, *seen[0].names)), *seen[1:])
    try:
        yield Terms(run, os.getcwd(), seen, deciding(), film_timeout_s)  # noqa: PTH109 - a text, for another machine
    finally:
        if probe is not None and written:
            with suppress(OSError):
                probe.unlink(missing_ok=True)


def remove_probes(root: Path) -> None:
    """Remove what killed runs left for workers to find."""
    for probe in root.glob(f"{PROBE}*{SUFFIX}"):
        probe.unlink(missing_ok=True)


def _some_names(folder: Path) -> tuple[str, ...]:
    found = (entry.name for entry in folder.iterdir())
    return tuple(islice((name for name in found if not name.startswith(".")), NAMES))


@cache
def deciding() -> Mapping[str, str]:
    """Return the versions of what decides an image's or a shard's bytes, in this process."""
    from stages.folder import versions  # noqa: PLC0415 - pyarrow: not before it is needed

    return {**{name: told_version(name) for name in ("cxr-pipeline", "pyarrow")}, **versions()}


def unmet(terms: Terms) -> str:
    """Return why this process can do none of a run's jobs; empty where it can."""
    here = deciding()
    others = {name: told for name, told in terms.versions.items() if here.get(name) != told}
    if others:
        found = ", ".join(f"{name} {here.get(name, 'none')}" for name in others)
        wanted = ", ".join(f"{name} {told}" for name, told in others.items())
        return f"has {found}; this run has {wanted}, and other versions write other bytes: install the same on both"
    for seen in terms.seen:
        folder = Path(terms.started_in) / seen.folder if not seen.folder.is_absolute() else seen.folder
        if not folder.is_dir():
            return f"does not see {folder}; use a shared folder or an object store"
        missing = next((name for name in seen.names if not (folder / name).exists()), None)
        if missing is not None:
            return f"sees another {folder} ({missing} is not there); use a shared folder or an object store"
    return ""
