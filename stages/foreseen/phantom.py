"""What phantom would draw."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import islice
from statistics import fmean

from stages.contract import Machine, Root
from stages.films.phantom_plan import PhantomFilm
from stages.foreseen.amounts import Amount, Foreseen, room
from stages.phantom import PhantomParams, planned, refuse_what_is_there, told_of

SAMPLE = 16  # good phantoms that are drawn in memory to learn how large they are


def foresee(params: PhantomParams, root: Root, machine: Machine) -> Foreseen:
    """Return what a run would do.

    Raises:
        StageError: where the folder holds something and the parameters do not allow for that.
    """
    folder = root / params.out
    if not params.force:
        refuse_what_is_there(folder)
    films = planned(params)
    sample, size = _sampled(films, params.seed, machine)
    write = Amount(
        verb="write",
        where=params.out,
        units=len(films),
        files=len(films),
        bytes=size,
        known_by=f"by {sample:,} of them, drawn and thrown away",
    )
    return Foreseen(unit="phantoms", amounts=[write], lines=[*told_of(films), *room(folder, size)])


def _sampled(films: Sequence[PhantomFilm], seed: int, machine: Machine) -> tuple[int, int]:
    """Return how many films were drawn, and how many bytes all of them take by those: the mean of each fault's."""
    of_faults: dict[str | None, list[PhantomFilm]] = {}
    for film in films:
        of_faults.setdefault(film.fault, []).append(film)
    samples = [some[:: -(-len(some) // _drawn(fault))] for fault, some in of_faults.items()]
    sizes = iter(
        machine.fan_out(partial(_bytes_of, seed=seed), [film for some in samples for film in some], unit="films")
    )
    of_each = [fmean(islice(sizes, len(some))) for some in samples]
    total = sum(mean * len(some) for mean, some in zip(of_each, of_faults.values(), strict=True))
    return sum(map(len, samples)), round(total)


def _drawn(fault: str | None) -> int:
    """Return how many films of a fault are drawn: the good ones are the many."""
    return SAMPLE if fault is None else 2


def _bytes_of(film: PhantomFilm, *, seed: int) -> int:
    """Return how many bytes a phantom's file takes."""
    from stages.films import phantom  # noqa: PLC0415 - cv2: keep the command line light

    return len(phantom.file_bytes(film, seed=seed))
