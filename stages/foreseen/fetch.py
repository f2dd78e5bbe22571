"""What fetch would download and unpack."""

from __future__ import annotations

from pathlib import Path

from stages.contract import Machine, Root
from stages.fetch import FetchParams, downloaded_beside, folder_of, lies_there, local_archive, told_of
from stages.fetching import archive, download
from stages.fetching.known import KERMANY
from stages.foreseen.amounts import Amount, Foreseen, room


def foresee(params: FetchParams, root: Root, _machine: Machine) -> Foreseen:
    """Return what a run would do; of an address on another machine, its server is asked for the size alone.

    Raises:
        StageError: where the folder holds other films, or the archive cannot be had, or harms.
    """
    folder = folder_of(params, root)
    if (there := lies_there(params, folder)) is not None:
        keep = Amount(verb="keep", where=params.out, units=there.films, files=there.films)
        return Foreseen(unit="films", amounts=[keep], lines=[told_of(there)])
    if (own := local_archive(params.url)) is not None:
        films, size = archive.pictures_in(own)
        write = Amount(verb="write", where=params.out, units=films, files=films, bytes=size)
        return Foreseen(unit="films", amounts=[write], lines=[f"from {own}", *room(folder, size)])
    return _from_afar(params, folder)


def _from_afar(params: FetchParams, folder: Path) -> Foreseen:
    """Return what would be downloaded; what is in it is known when it is there, unless it is a set that we know."""
    file = downloaded_beside(folder)
    size, come = download.ask(params.url, file)
    missing = None if size is None else size - come
    films = sum(KERMANY.films.values()) if params.url == KERMANY.url else None
    amounts = [
        Amount(
            verb="write",
            where=file.relative_to(folder.parents[len(Path(params.out).parts) - 1]).as_posix(),
            files=1,
            bytes=missing,
        ),
        Amount(verb="write", where=params.out, units=films, files=films, known_by="known when the archive is here"),
    ]
    lines = [f"from {download.shown(params.url)}", *([f"{come / 1e6:,.1f} MB of it are here already"] if come else [])]
    if not params.keep:
        lines.append("the archive is deleted when its films are unpacked; --keep keeps it")
    return Foreseen(unit="films", amounts=amounts, lines=[*lines, *room(folder, missing)])
