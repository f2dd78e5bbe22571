"""A small synthetic raw set: films that look like chest X-rays, and a table of what must be found in them."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path, PurePath
from typing import get_args

from pydantic import Field, field_validator

from manifests import store
from manifests.places import AnyPath, files_in
from manifests.rows import DeliveredSplit
from stages.contract import Machine, Params, Report, Root, Stage, StageError
from stages.films.phantom_faults import FAULTS, with_faults
from stages.films.phantom_plan import FEWEST_FILMS, LABELS, LARGEST, Fault, PhantomFilm, plan
from stages.films.phantom_pose import letter
from stages.paths import folder_under_the_root

TRUTH_COLUMNS = (
    "path",
    "label",
    "group",
    "delivered_split",
    "width",
    "height",
    "mode",
    "fault",
    "expected_status",
    "warning",
    "flags",
    "letter",
    "duplicate_of",
)

NO_PICTURE = ("empty", "not_an_image")  # faults


class PhantomParams(Params):
    """How many films to make up, and what shall be wrong with them."""

    films: int = Field(120, ge=FEWEST_FILMS, description="Good films to write, over all splits.")
    seed: int = Field(0, description="The same seed writes the same bytes.")
    faults: str = Field("none", description=f"Faulty files to plant as well: none, all, or any of {','.join(FAULTS)}.")
    out: str = Field("data/raw", description="Folder to write, under the root; the truth table lies beside it.")
    longest_side_px: int = Field(
        LARGEST.width, ge=64, description="Scale films down to this many pixels on the longer side."
    )
    force: bool = Field(default=False, description="Write into a folder that is not empty.")

    @field_validator("faults")
    @classmethod
    def _faults_are_known(cls, text: str) -> str:
        unknown = sorted(set(_names(text)) - {*FAULTS, "all", "none"})
        if unknown:
            raise ValueError(f"holds {', '.join(unknown)}; allowed: none, all, or any of {','.join(FAULTS)}")
        return text

    _out_has_a_name = field_validator("out")(folder_under_the_root)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def chosen_faults(params: PhantomParams) -> tuple[Fault, ...]:
    """Return the faults that the parameters ask for."""
    names = _names(params.faults)
    return tuple(fault for fault in FAULTS if fault in names or "all" in names)


def planned(params: PhantomParams) -> list[PhantomFilm]:
    """Return every file that the parameters ask for, sorted by path."""
    good = plan(params.films, params.seed, longest_side_px=params.longest_side_px)
    films = with_faults(good, chosen_faults(params), seed=params.seed, longest_side_px=params.longest_side_px)
    return sorted(films, key=lambda film: film.path)


def truth_table(films: Sequence[PhantomFilm], *, seed: int) -> str:
    """Return as CSV what a reader of the films must find: a line per file, empty where there is nothing."""
    text = io.StringIO()
    writer = csv.DictWriter(text, TRUTH_COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_truth(film, seed=seed) for film in films)
    return text.getvalue()


def _truth(film: PhantomFilm, *, seed: int) -> dict[str, object]:
    readable, named = film.fault not in NO_PICTURE, film.fault != "unlabelled"
    return {
        "path": film.path,
        "label": film.label if named else None,
        "group": film.patient.group if named else None,
        "delivered_split": film.delivered_split,
        "width": film.frame.width if readable else None,
        "height": film.frame.height if readable else None,
        "mode": film.mode if readable else None,
        "fault": film.fault,
        "expected_status": film.expected_status,
        "warning": film.warning,
        "flags": " ".join(film.flags),
        "letter": letter(film, seed=seed) if readable else None,
        "duplicate_of": film.duplicate_of,
    }


def phantom_one(film: PhantomFilm, *, folder: AnyPath, seed: int) -> int:
    """Draw one film, write its file, return how many bytes it holds."""
    from stages.films import phantom  # noqa: PLC0415  # cv2: keep the command line light

    data = phantom.file_bytes(film, seed=seed)
    store.write_bytes(folder / film.path, data)
    return len(data)


def run(params: PhantomParams, root: Root, machine: Machine) -> Report:
    """Write the films and, beside their folder, the truth table.

    Raises:
        StageError: where the folder holds something and the parameters do not allow for that.
    """
    folder = root / params.out
    truth = folder.with_name(f"{folder.name}-truth.csv")
    if not params.force:
        refuse_what_is_there(folder)
    films = planned(params)
    sizes = list(machine.fan_out(partial(phantom_one, folder=folder, seed=params.seed), films, unit="films"))
    store.write_bytes(truth, truth_table(films, seed=params.seed).encode())
    return Report(
        done=len(films),
        unit="phantom films",
        lines=[
            f"{sum(sizes) / 1e6:.1f} MB",
            *told_of(films),
            *_stray_lines(folder, films),
        ],
        written=(params.out, PurePath(params.out).with_name(truth.name).as_posix()),
    )


def told_of(films: Sequence[PhantomFilm]) -> list[str]:
    """Return lines on films that were drawn or are to be: classes by split, and faults."""
    return [*_class_lines(films), _fault_line(films)]


def refuse_what_is_there(folder: AnyPath) -> None:
    """Refuse a folder that holds something.

    Raises:
        StageError: saying what.
    """
    if isinstance(folder, Path) and not folder.exists():
        return
    found = "no folder" if isinstance(folder, Path) and not folder.is_dir() else _found(folder)
    if found:
        raise StageError(
            f"{folder}: {found}; expected a new or empty folder, lest phantoms mix with other films; "
            "choose another with --out, or write into this one with --force"
        )


def _found(folder: AnyPath) -> str:
    if isinstance(folder, Path):
        inside = {path.name for path in folder.iterdir()}
    else:
        inside = {name.partition("/")[0] for name in files_in(folder)}
    names = sorted(name for name in inside if not name.startswith("."))
    return f"holds {', '.join(names[:3])}{' and more' if len(names) > 3 else ''}" if names else ""


def _class_lines(films: Sequence[PhantomFilm]) -> list[str]:
    counted = Counter((film.delivered_split, film.label) for film in films)
    return [
        f"{split}: " + ", ".join(f"{counted[split, label]} {label}" for label in LABELS)
        for split in get_args(DeliveredSplit)
    ]


def _fault_line(films: Sequence[PhantomFilm]) -> str:
    counted = Counter(film.fault for film in films if film.fault)
    return "planted: " + (", ".join(f"{count} {fault}" for fault, count in counted.items()) or "no faults")


def _stray_lines(folder: AnyPath, films: Sequence[PhantomFilm]) -> list[str]:
    """Return a warning of files that were there before, since the truth table is silent about them."""
    known = {film.path for film in films}
    strays = sum(path not in known and not path.startswith(".") for path in files_in(folder))
    return [f"{strays} files were there before; the truth table does not know them"] if strays else []


STAGE = Stage("phantom", PhantomParams, reads=(), writes=("data/raw",), run=run)
