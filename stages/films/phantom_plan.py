"""Which good phantom films there are: patients, names, sizes; `phantom_faults` adds the bad ones."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

import numpy as np

from manifests.rows import DeliveredSplit, Flag, Status
from stages.films.frame import Frame

Label = Literal["normal", "bacterial", "viral"]
Mode = Literal["L", "RGB", "CMYK", "LA", "1"]
Fault = Literal[
    "truncated",
    "empty",
    "not_an_image",
    "undecodable",
    "unsupported",
    "too_large",
    "unlabelled",
    "label_conflict",
    "wrong_extension",
    "duplicate",
    "sibling_across_splits",
    "exif_orientation",
    "icc_profile",
    "cmyk",
    "transparency",
    "several_frames",
    "one_bit",
    "near_recompressed",
    "near_resized",
    "near_brightened",
    "near_cropped",
    "near_flipped",
    "blank",
    "inverted",
    "rotated_90",
    "rotated_180",
    "rotated_270",
    "low_contrast",
    "clipped",
    "burnt_in",
    "photograph",
    "screenshot",
    "black_border",
]

LABELS: tuple[Label, ...] = ("normal", "bacterial", "viral")
SMALLEST = Frame(height=157, width=460)
LARGEST = Frame(height=2583, width=2916)
FEWEST_FILMS = 12  # every class in train and test, every kind of fault has something to copy

# Kaggle's shares of normal, bacterial and viral films; its val holds no viral film
SHARES: Mapping[DeliveredSplit, tuple[float, float, float]] = MappingProxyType(
    {"test": (0.375, 0.39, 0.235), "val": (0.5, 0.5, 0.0), "train": (0.26, 0.48, 0.26)}
)
FILMS_PER_PATIENT = (0.70, 0.17, 0.07, 0.04, 0.02)  # probability of 1, 2, ... films; 1.5 on average
RGB_SHARE = 0.05  # of the pneumonia films; normal films are all grey


@dataclass(frozen=True, slots=True)
class Habit:
    """How the films of a class come out of the hospital.

    Attributes:
        width: median width in px.
        aspect: median of width / height.
        aspect_spread: standard deviation of the logarithm of width / height.
        aspects: the narrowest and the widest width / height.
        quality: JPEG quality.
    """

    width: int
    aspect: float
    aspect_spread: float
    aspects: tuple[float, float]
    quality: int


HABITS: Mapping[Label, Habit] = MappingProxyType(
    {
        "normal": Habit(1654, 1.24, 0.12, (0.97, 1.87), 95),
        "bacterial": Habit(1144, 1.49, 0.15, (0.98, 2.4), 75),
        "viral": Habit(1272, 1.53, 0.15, (1.06, 2.2), 75),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """One person: the numbers restart per series, so two patients may share a number.

    Attributes:
        label: the class of all the patient's films.
        series: what the file names start with: `person`, `IM` or `NORMAL2-IM`.
        number: the patient's number in the series.
    """

    label: Label
    series: str
    number: int

    @property
    def group(self) -> str:
        """Name the patient, the same for the patient's films and for no others."""
        return f"{self.label}/{self.series}/{self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PhantomFilm:
    """One file to write, and what must be found in it.

    Attributes:
        path: POSIX path under the raw folder.
        patient: whom the name belongs to.
        likeness: whom the picture shows; another patient for a copy under another name alone.
        film: number of the picture among the pictures of `likeness`, from 0.
        delivered_split: the split that the folder names.
        frame: size of the picture.
        mode: Pillow's name of the pixel layout.
        quality: of the JPEG.
        fault: what is wrong with the file, if anything.
        drawn: size of the picture before the fault changes it; None where that is `frame`.
        expected_status: what the audit must say, or the split where it is `crosses_test`.
        warning: the kind of warning that the audit must give, if any.
        flags: what the audit must say of the picture, but for the letter that good films carry.
        duplicate_of: path of the file that shows the same: the one kept of the same bytes, the original of near ones.
    """

    path: str
    patient: Patient
    likeness: Patient
    film: int
    delivered_split: DeliveredSplit
    frame: Frame
    mode: Mode
    quality: int
    fault: Fault | None = None
    drawn: Frame | None = None
    expected_status: Status = "ok"
    warning: str | None = None
    flags: tuple[Flag, ...] = ()
    duplicate_of: str | None = None

    @property
    def label(self) -> Label:
        """The class that the folder and the name give."""
        return self.patient.label


def keyed(*parts: object) -> np.random.Generator:
    """Return random numbers that are a function of the parts alone."""
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "little")))


def plan(films: int, seed: int, *, longest_side_px: int) -> list[PhantomFilm]:
    """Return as many good films as asked for, all paths distinct, test first."""
    assert films >= FEWEST_FILMS
    register = Register(seed=seed, longest_side_px=longest_side_px)
    good = [
        film
        for split, total in _films_per_split(films).items()
        for label, count in zip(LABELS, _apportion(total, SHARES[split]), strict=True)
        for film in _films_of_new_patients(register, split, label, count)
    ]
    return _with_extreme_sizes(_with_colour(good, seed), longest_side_px)


class Register:
    """Hands out patients and file names that no film has yet."""

    def __init__(self, *, seed: int, longest_side_px: int, films: Iterable[PhantomFilm] = ()) -> None:
        self.seed = seed
        self.longest_side_px = longest_side_px
        self._patients: list[Patient] = []
        self._names = dict.fromkeys(LABELS, 0)
        for film in films:
            self._patients.append(film.patient)
            self._names[film.label] += 1

    def patient(self, label: Label) -> Patient:
        """Return a patient whose number is new in its series; numbers have gaps, as real ones do."""
        words = keyed(self.seed, "series", label, len(self._patients))
        series = "person" if label != "normal" else ("IM", "NORMAL2-IM")[int(words.integers(2))]
        taken = [other.number for other in self._patients if (other.label, other.series) == (label, series)]
        number = max(taken, default=0) + 1 + int(words.integers(3))
        patient = Patient(label=label, series=series, number=number)
        self._patients.append(patient)
        return patient

    def film(self, patient: Patient, split: DeliveredSplit, film: int, *, suffix: str = ".jpeg") -> PhantomFilm:
        """Return a good film of a patient."""
        return PhantomFilm(
            path=self.path(patient, split, film, suffix=suffix),
            patient=patient,
            likeness=patient,
            film=film,
            delivered_split=split,
            frame=_frame(self.seed, patient, film, self.longest_side_px),
            mode="L",
            quality=HABITS[patient.label].quality,
        )

    def path(self, patient: Patient, split: DeliveredSplit, film: int, *, suffix: str = ".jpeg") -> str:
        """Return a new path in Kaggle's tree, named as Kaggle names films."""
        self._names[patient.label] += 1
        if patient.label == "normal":
            return f"{split}/NORMAL/{patient.series}-{patient.number:04d}-{film + 1:04d}{suffix}"
        cause = "bacteria" if patient.label == "bacterial" else "virus"
        return f"{split}/PNEUMONIA/person{patient.number}_{cause}_{self._names[patient.label]}{suffix}"


def _films_of_new_patients(register: Register, split: DeliveredSplit, label: Label, count: int) -> list[PhantomFilm]:
    words = keyed(register.seed, "siblings", split, label)
    films: list[PhantomFilm] = []
    while len(films) < count:
        patient = register.patient(label)
        siblings = 1 + int(words.choice(len(FILMS_PER_PATIENT), p=FILMS_PER_PATIENT))
        films += [register.film(patient, split, film) for film in range(min(siblings, count - len(films)))]
    return films


def _films_per_split(films: int) -> dict[DeliveredSplit, int]:
    test = max(3, round(0.12 * films))
    val = min(4, max(2, round(0.03 * films)))
    return {"test": test, "val": val, "train": films - test - val}


def _apportion(total: int, shares: Sequence[float]) -> list[int]:
    """Return whole numbers that add up to the total, as near to the shares as can be."""
    exact = np.asarray(shares) * total
    parts = np.floor(exact).astype(int)
    for index in np.argsort(parts - exact, kind="stable")[: total - int(parts.sum())]:
        parts[index] += 1
    return [int(part) for part in parts]


def _frame(seed: int, patient: Patient, film: int, longest_side_px: int) -> Frame:
    """Return a film's size: the class's habit, the patient's build, a little of the day."""
    habit = HABITS[patient.label]
    build = keyed(seed, "size", patient.group).standard_normal(2)
    day = keyed(seed, "size", patient.group, film).standard_normal(2)
    aspect = habit.aspect * float(np.exp(habit.aspect_spread * build[0] + 0.03 * day[0]))
    width = habit.width * float(np.exp(0.2 * np.clip(build[1], -2, 2) + 0.05 * day[1]))
    aspect = float(np.clip(aspect, *habit.aspects))
    height = width / aspect
    return _shrunk(Frame(height=round(min(height, 2500)), width=round(min(width, 2800))), longest_side_px)


def _shrunk(frame: Frame, longest_side_px: int) -> Frame:
    """Return the frame, scaled down where its longer side exceeds the limit."""
    scale = min(1.0, longest_side_px / max(frame.height, frame.width))
    return Frame(height=max(1, round(frame.height * scale)), width=max(1, round(frame.width * scale)))


def _with_colour(films: Sequence[PhantomFilm], seed: int) -> list[PhantomFilm]:
    """Return the films, a few of the pneumonia films in RGB and at least one."""
    ill = [index for index, film in enumerate(films) if film.label != "normal"]
    count = max(1, round(RGB_SHARE * len(ill)))
    chosen = set(keyed(seed, "colour").permutation(ill)[:count].tolist())
    return [replace(film, mode="RGB") if index in chosen else film for index, film in enumerate(films)]


def _with_extreme_sizes(films: Sequence[PhantomFilm], longest_side_px: int) -> list[PhantomFilm]:
    """Return the films, one normal as large and one bacterial as small as real films get."""
    changed = list(films)
    for label, frame in (("normal", LARGEST), ("bacterial", SMALLEST)):
        places = [i for i, f in enumerate(films) if (f.delivered_split, f.label) == ("train", label)]
        place = min(places, key=lambda i: sum(f.patient == films[i].patient for f in films))  # has no siblings
        changed[place] = replace(films[place], frame=_shrunk(frame, longest_side_px))
    return changed
