"""fetch: brings Kermany's public films, or those of another archive, into data/raw."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePath
from shutil import rmtree
from urllib.parse import unquote, urlsplit

from pydantic import Field, field_validator

from manifests import store
from stages.contract import Machine, Params, Report, Root, Stage, StageError
from stages.fetching import archive, download
from stages.fetching.archive import Unpacked
from stages.fetching.known import KERMANY
from stages.paths import folder_under_the_root

MOST_NAMED = 3  # of what was left out
MOST_FOLDERS = 12  # that are listed


class FetchParams(Params):
    """Which archive is brought, and where its films shall lie."""

    url: str = Field(
        KERMANY.url,
        description="The archive: http, https or file address, or a path on this machine; zip, tar or tar.gz.",
    )
    sha256: str = Field(
        "", description="What the archive's sha256 must be, hex; none: as recorded when it was fetched first."
    )
    out: str = Field("data/raw", description="Folder to write, under the root; where it came from lies beside it.")
    keep: bool = Field(default=False, description="Keep the archive that was downloaded, beside the folder.")

    @field_validator("url")
    @classmethod
    def _can_be_opened(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("", "http", "https", "file") or not (parts.netloc or parts.path):
            raise ValueError("expected an address of http, https or file, or a path")
        if "@" in parts.netloc:
            raise ValueError("holds a name or password; expected an address without")
        return url

    @field_validator("sha256")
    @classmethod
    def _is_a_hash(cls, text: str) -> str:
        if text and not re.fullmatch(r"[0-9a-fA-F]{64}", text):
            raise ValueError("expected 64 hexadecimal digits")
        return text.lower()

    _out_has_a_name = field_validator("out")(folder_under_the_root)


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a folder's films came from; it lies beside the folder as JSON.

    Attributes:
        url: of the archive, without passwords and signatures.
        sha256: of the archive.
        archive_bytes: its size.
        fetched: when, in UTC.
        films: how many pictures it holds.
        licence: of the films, where they are a set that is known.
        citation: as `licence`.
    """

    url: str
    sha256: str
    archive_bytes: int
    fetched: str
    films: int
    licence: str = ""
    citation: str = ""


def run(params: FetchParams, root: Root, machine: Machine) -> Report:
    """Bring an archive, compare its hash, unpack its films aside, and give them their folder.

    Raises:
        StageError: where the root is in an object store, the folder holds other films, or the archive cannot be had, is
            another than expected, or harms.
    """
    folder = folder_of(params, root)
    origin = _origin_beside(folder)
    address = download.shown(params.url)
    if (there := lies_there(params, folder)) is not None:
        return Report(done=0, unit="films", lines=[told_of(there)], verdict="nothing to fetch")
    brought = _bring(params, folder, machine)
    size = brought.file.stat().st_size
    compared = _compared(brought, params, origin)
    with _aside(folder) as aside:
        unpacked = _unpacked(brought, aside, machine)
        came = _origin(unpacked, url=address, sha256=brought.sha256, archive_bytes=size)
        store.write_json(_beside(folder), asdict(came))
    if not params.keep:
        brought.discard()
    return Report(
        done=len(unpacked.files),
        unit="films",
        lines=[
            *brought.told,
            f"{address}: {size / 1e6:,.1f} MB, sha256 {brought.sha256}",
            compared,
            *_lines(unpacked, known=bool(came.licence)),
        ],
        written=(params.out, _beside(PurePath(params.out)).as_posix()),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Brought:
    """An archive on this machine: downloaded, or the user's own, which nobody deletes."""

    file: Path
    sha256: str
    own: bool
    told: Sequence[str] = ()

    def discard(self) -> None:
        """Delete the archive, if it was downloaded."""
        if not self.own:
            download.discard(self.file)


def _bring(params: FetchParams, folder: Path, machine: Machine) -> _Brought:
    """Return the archive; what must be downloaded lies beside the folder."""
    if (own := local_archive(params.url)) is not None:
        return _Brought(file=own, sha256=store.file_sha256(own), own=True)
    file = downloaded_beside(folder)
    told = download.download(params.url, file, track=machine.track)
    return _Brought(file=file, sha256=store.file_sha256(file), own=False, told=told)


def downloaded_beside(folder: Path) -> Path:
    """Return where the archive of a folder's films is downloaded to."""
    return folder.with_name(f"{folder.name}.archive")


def local_archive(url: str) -> Path | None:
    """Return the file that an address names on this machine, or None for one of another."""
    parts = urlsplit(url)
    if parts.scheme in ("http", "https"):
        return None
    path = Path(unquote(parts.path) if parts.scheme else url).expanduser()
    if not path.is_file():
        raise StageError(f"{path}: no such file; expected an archive of films (zip, tar, tar.gz)")
    return path


def folder_of(params: FetchParams, root: Root) -> Path:
    """Return the folder to write.

    Raises:
        StageError: where the root is in an object store.
    """
    if not isinstance(root, Path):
        raise StageError(f"{root}: is in an object store; expected a folder on this machine: fetch there, then copy it")
    return root / params.out


def lies_there(params: FetchParams, folder: Path) -> Origin | None:
    """Return where the films that lie in the folder came from, if it is the archive asked for; None where it is empty.

    Raises:
        StageError: where the folder holds anything else.
    """
    # at any depth; a file in the folder's place is one
    found = sum(len(files) for _, _, files in os.walk(folder)) if folder.is_dir() else int(folder.exists())
    origin = _origin_beside(folder)
    if not found:
        return None
    if origin is None or origin.films != found or origin.url != download.shown(params.url):
        what = f"{found:,} files" + (f" ({origin.films:,} films came from {origin.url})" if origin else "")
        raise StageError(
            f"{folder}: holds {what}; expected a new or empty folder, lest two sets mix; choose another with --out, or "
            "move this one away"
        )
    return origin


def told_of(there: Origin) -> str:
    """Return a line on films that lie there already."""
    return f"{there.films:,} films lie there since {there.fetched}, of {there.url}, sha256 {there.sha256}"


def _compared(brought: _Brought, params: FetchParams, origin: Origin | None) -> str:
    """Tell what an archive's hash was compared with.

    Raises:
        StageError: where it is another; what was downloaded is deleted then.
    """
    address = download.shown(params.url)
    published = KERMANY.sha256 if params.url == KERMANY.url else ""
    recorded = origin.sha256 if origin and origin.url == address else ""
    expected = params.sha256 or published or recorded
    if not expected:
        return "that sha256 is recorded; it was compared with none, since none is known (--sha256)"
    by = "--sha256" if params.sha256 else "its authors" if published else "the first fetch"
    if (sha256 := brought.sha256) != expected:
        brought.discard()
        raise StageError(
            f"{address}: its sha256 is {sha256}; expected {expected}, by {by}; nothing was unpacked. It is damaged or "
            f"another file: fetch it again, or take it for right with --sha256 {sha256}"
        )
    return f"that is the sha256 expected, by {by}"


@contextmanager
def _aside(folder: Path) -> Iterator[Path]:
    """Yield a name beside a folder for its films; on success they take the folder's, else they go."""
    folder = folder.resolve()  # a link to a larger disk stays one
    folder.parent.mkdir(parents=True, exist_ok=True)
    for left in folder.parent.glob(f".{folder.name}.*.partial"):
        rmtree(left, ignore_errors=True)
    aside = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    try:
        yield aside
        os.sync()
        if folder.is_dir():  # it holds no file, or the run would have ended
            rmtree(folder)
        aside.replace(folder)
    finally:
        rmtree(aside, ignore_errors=True)


def _unpacked(brought: _Brought, aside: Path, machine: Machine) -> Unpacked:
    """Unpack an archive. If it was downloaded and is refused, it goes; it stays where the disk is full."""
    try:
        with machine.track(round(brought.file.stat().st_size / archive.KB), unit="kB") as advance:
            return archive.unpack(brought.file, aside, advance=advance)
    except StageError:
        brought.discard()
        raise


def _beside(folder: PurePath) -> Path:
    return Path(folder.with_name(f"{folder.name}-origin.json"))


def _origin_beside(folder: Path) -> Origin | None:
    try:
        found = Origin(**json.loads(_beside(folder).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return found if isinstance(found.films, int) else None  # whatever else may have been written there


def _origin(unpacked: Unpacked, *, url: str, sha256: str, archive_bytes: int) -> Origin:
    """Return where films came from; they are Kermany's where as many of each class are, whatever their splits."""
    known = Counter(PurePath(path).parent.name for path in unpacked.files) == KERMANY.films
    return Origin(
        url=url,
        sha256=sha256,
        archive_bytes=archive_bytes,
        fetched=datetime.now(UTC).isoformat(timespec="seconds"),
        films=len(unpacked.files),
        licence=KERMANY.licence if known else "",
        citation=KERMANY.citation if known else "",
    )


def _lines(unpacked: Unpacked, *, known: bool) -> Sequence[str]:
    folders = Counter(PurePath(path).parent.as_posix() for path in unpacked.files)
    lines = [f"{folder}: {number:,} films" for folder, number in sorted(folders.items())[:MOST_FOLDERS]]
    if len(folders) > MOST_FOLDERS:
        lines.append(f"and {len(folders) - MOST_FOLDERS:,} folders more")
    if unpacked.twice:
        lines.append(f"{unpacked.twice:,} films were in the archive twice, byte for byte; each was taken once")
    if unpacked.left_out:
        named = sorted(PurePath(name).name for name in unpacked.left_out)
        more = ["..."] if len(named) > MOST_NAMED else []
        told = ", ".join([*named[:MOST_NAMED], *more])
        lines.append(f"left out, as no pictures by their names: {len(named):,} files ({told})")
    if known:
        return [*lines, f"{KERMANY.name}, {KERMANY.licence}", f"cite: {KERMANY.citation}"]
    expected = ", ".join(f"{number:,} {label}" for label, number in KERMANY.films.items())
    return [*lines, f"these are not the {expected} of {KERMANY.name}; licence and citation are for you to look up"]


STAGE = Stage(
    "fetch",
    FetchParams,
    reads=(),
    writes=("data/raw", "data/raw-origin.json"),
    run=run,
    goes_on="what was downloaded is kept, and only the rest is asked for",
)
