"""Faulty phantom files, planted among the good ones so that a test knows what must be found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import get_args

from manifests.rows import DeliveredSplit, Flag, Status
from stages.films.frame import Frame
from stages.films.phantom_plan import LABELS, Fault, Mode, PhantomFilm, Register

FAULTS: tuple[Fault, ...] = get_args(Fault)
HUGE_SIDE = 12_000  # pixels; what a file too large says of itself
SLIVER_HEIGHT = 6  # pixels
NEAR_SCALE = 0.6  # of a film that is there in another size as well
NEAR_CROP = 0.015  # of a film's width and height, off each side


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What the audit must say of a fault's films, and what their files are.

    Attributes:
        status: of the row, or of the split's row where it is `crosses_test`.
        warning: the kind of warning, if any.
        flags: of the picture.
        suffix: the ending of the name.
        mode: Pillow's name of the pixel layout.
    """

    status: Status = "ok"
    warning: str | None = None
    flags: tuple[Flag, ...] = ()
    suffix: str = ".jpeg"
    mode: Mode = "L"


KINDS: Mapping[Fault, Kind] = MappingProxyType(
    {
        "truncated": Kind(status="truncated"),
        "empty": Kind(status="empty"),
        "not_an_image": Kind(status="not_an_image"),
        "undecodable": Kind(status="undecodable", suffix=".png"),
        "unsupported": Kind(status="unsupported"),
        "too_large": Kind(status="too_large"),
        "unlabelled": Kind(status="unlabelled"),
        "label_conflict": Kind(status="label_conflict"),
        "wrong_extension": Kind(warning="wrong extension"),
        "duplicate": Kind(status="duplicate"),
        "sibling_across_splits": Kind(
            status="crosses_test", warning="patient group is also in the delivered test split"
        ),
        "exif_orientation": Kind(warning="EXIF orientation is ignored"),
        "icc_profile": Kind(warning="ICC profile is ignored"),
        "cmyk": Kind(warning="CMYK is read as Pillow reads it", mode="CMYK"),
        "transparency": Kind(warning="transparency is ignored", suffix=".png", mode="LA"),
        "several_frames": Kind(warning="only the first frame is used", suffix=".png"),
        "one_bit": Kind(warning="black and white alone", suffix=".png", mode="1"),
        "near_recompressed": Kind(),
        "near_resized": Kind(),
        "near_brightened": Kind(),
        "near_cropped": Kind(),
        "near_flipped": Kind(),
        "blank": Kind(status="blank"),
        "inverted": Kind(flags=("inverted",)),
        "rotated_90": Kind(flags=("rotated_90",)),
        "rotated_180": Kind(flags=("rotated_180",)),
        "rotated_270": Kind(flags=("rotated_270",)),
        "low_contrast": Kind(flags=("low_contrast",)),
        "clipped": Kind(flags=("clipped",)),
        "burnt_in": Kind(flags=("burnt_in",)),
        "photograph": Kind(flags=("unlike",), mode="RGB"),
        "screenshot": Kind(flags=("unlike",), mode="RGB"),
        "black_border": Kind(flags=("black_border",)),
    }
)
NEAR: tuple[Fault, ...] = tuple(fault for fault in FAULTS if fault.startswith("near_"))
_Films = list[PhantomFilm]


def with_faults(
    good: Sequence[PhantomFilm], faults: Sequence[Fault], *, seed: int, longest_side_px: int
) -> list[PhantomFilm]:
    """Return the good films and after them at least two files of every fault asked for."""
    register = Register(seed=seed, longest_side_px=longest_side_px, films=good)
    planned = list(good)
    for fault in FAULTS:
        if fault in faults:
            plant = _PLANTERS.get(fault, _plant_near if fault in NEAR else _plant_new)
            planned = plant(planned, list(good), register, fault)
    return planned


def _how_many(good: _Films) -> int:
    return max(2, round(0.02 * len(good)))


def _faulty(film: PhantomFilm, fault: Fault) -> PhantomFilm:
    """Return a film with a fault, and with what the audit must say of it."""
    kind = KINDS[fault]
    return replace(film, fault=fault, expected_status=kind.status, warning=kind.warning, flags=kind.flags)


def _plant_new(planned: _Films, good: _Films, register: Register, fault: Fault) -> _Films:
    """Return the films and, of new patients, one in test and others in train, the classes in turn."""
    others: list[DeliveredSplit] = ["train"] * (_how_many(good) - 1)
    turn = FAULTS.index(fault)
    new = []
    for index, split in enumerate(["test", *others]):
        film = register.film(
            register.patient(LABELS[(turn + index) % len(LABELS)]), split, 0, suffix=KINDS[fault].suffix
        )
        new.append(_faulty(_as_large_as_its_fault(film, fault), fault))
    return planned + new


def _as_large_as_its_fault(film: PhantomFilm, fault: Fault) -> PhantomFilm:
    """Return a film of the size and mode that its file will have."""
    frame = film.frame
    if fault in ("rotated_90", "rotated_270"):
        return replace(film, frame=Frame(height=frame.width, width=frame.height), drawn=frame)
    if fault == "too_large":
        return replace(film, frame=Frame(height=HUGE_SIDE, width=HUGE_SIDE), drawn=frame)
    if fault == "unsupported":
        return replace(film, frame=Frame(height=SLIVER_HEIGHT, width=frame.width), drawn=frame)
    return replace(film, mode=KINDS[fault].mode)


def _plant_unlabelled(planned: _Films, good: _Films, register: Register, fault: Fault) -> _Films:
    """Return the films and others whose names are no film's."""
    new = _plant_new([], good, register, fault)
    named = [f"{film.path.rsplit('/', 1)[0]}/scan {number}.jpeg" for number, film in enumerate(new, 1)]
    return planned + [replace(film, path=path) for film, path in zip(new, named, strict=True)]


def _plant_conflicts(planned: _Films, good: _Films, register: Register, fault: Fault) -> _Films:
    """Return the films and pairs of the same bytes whose names say bacterial and viral."""
    for _ in range(_how_many(good) // 2):
        film = register.film(register.patient("bacterial"), "train", 0)
        other = register.patient("viral")
        twin = replace(film, path=register.path(other, "train", 0), patient=other)
        planned = [*planned, _faulty(film, fault), _faulty(twin, fault)]
    return planned


def _plant_duplicates(planned: _Films, good: _Films, register: Register, fault: Fault) -> _Films:
    """Return the films and copies of some training films; the path that sorts first is the one kept."""
    for original in _spread([film for film in good if film.delivered_split == "train"], _how_many(good)):
        patient = register.patient(original.label)
        copy = replace(original, path=register.path(patient, "train", 0), patient=patient)
        kept, other = sorted((original, copy), key=lambda film: film.path)
        set_aside = replace(_faulty(other, fault), duplicate_of=kept.path)
        planned = [film for film in planned if film.path != original.path] + [kept, set_aside]
    return planned


def _plant_near(planned: _Films, good: _Films, register: Register, fault: Fault) -> _Films:
    """Return the films and near copies of some training films, each kind of others, under new names.

    Copied are films of patients who have no other: drawn siblings are so alike that a copy of one is one of both.
    """
    films_of = Counter(film.patient for film in planned)
    train = [film for film in good if film.delivered_split == "train" and film.mode == "L"]
    alone = [film for film in train if films_of[film.patient] == 1]
    for original in _spread(alone or train, _how_many(good), turn=NEAR.index(fault)):
        patient = register.patient(original.label)
        copy = replace(original, path=register.path(patient, "train", 0), patient=patient, drawn=original.frame)
        copy = replace(copy, frame=_near_frame(original.frame, fault), duplicate_of=original.path)
        planned = [*planned, _faulty(copy, fault)]
    return planned


def _near_frame(frame: Frame, fault: Fault) -> Frame:
    if fault == "near_resized":
        return Frame(height=round(NEAR_SCALE * frame.height), width=round(NEAR_SCALE * frame.width))
    if fault == "near_cropped":
        return Frame(
            height=frame.height - 2 * cropped_px(frame.height), width=frame.width - 2 * cropped_px(frame.width)
        )
    return frame


def cropped_px(side: int) -> int:
    """Return how much is off each end of a side of a film that was cropped a little."""
    return max(1, round(NEAR_CROP * side))


def _plant_siblings(planned: _Films, good: _Films, register: Register, fault: Fault) -> _Films:
    """Return the films and, in train, one more film of some patients of the test."""
    last_films = {film.patient: film for film in good if film.delivered_split == "test"}
    siblings = [
        register.film(last.patient, "train", last.film + 1)
        for last in _spread(list(last_films.values()), _how_many(good))
    ]
    return planned + [_faulty(film, fault) for film in siblings]


def _spread(films: _Films, count: int, *, turn: int = 0) -> _Films:
    """Return some of the films, evenly spread over the inside of the list; another turn begins further on."""
    chosen = min(count, len(films))
    return [films[((2 * index + 1) * len(films) // (2 * chosen) + turn) % len(films)] for index in range(chosen)]


_PLANTERS: Mapping[Fault, Callable[[_Films, _Films, Register, Fault], _Films]] = MappingProxyType(
    {
        "unlabelled": _plant_unlabelled,
        "label_conflict": _plant_conflicts,
        "duplicate": _plant_duplicates,
        "sibling_across_splits": _plant_siblings,
    }
)
