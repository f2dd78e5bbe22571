"""Rows and thumbnails of films that are none: as many as it takes to see how what grows with a set grows.

Patients, names and classes are as in public collections: NIH ChestX-ray14 has 112,120 films of 30,805 patients, 3.6
each and at most 184 (Wang et al., CVPR 2017); MIMIC-CXR 377,110 of 65,379, 5.8 each (Johnson et al., Scientific Data
2019). The number of a patient's films is drawn from a geometric distribution of that mean.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from manifests.rows import AUDITED
from stages.statistics.alignment import SIDE

Collection = Literal["nih", "mimic"]
FILMS_PER_PATIENT = {"nih": 3.6, "mimic": 5.8}
CLASSES = ("normal", "other", "pneumonia")
SHARES = (0.4, 0.5, 0.1)
COARSEST, FINEST = 9, 24  # grid of a thumbnail's shapes, and of what tells two thumbnails apart


def hashes(number: int, word: str) -> list[str]:
    """Return so many hex digests, each of a word and its place."""
    return [hashlib.sha256(f"{word} {place}".encode()).hexdigest() for place in range(number)]


def patients(films: int, collection: Collection, *, seed: int) -> NDArray[np.int64]:
    """Return the number of each film's patient, in the order of the films."""
    words = np.random.default_rng(seed)
    of_each = words.geometric(1 / FILMS_PER_PATIENT[collection], size=films)
    return np.repeat(np.arange(films), of_each)[:films].astype(np.int64)


def audited(films: int, *, collection: Collection = "nih", seed: int = 0) -> pa.Table:
    """Return rows as the audit writes them of films that can be used, in the order of their paths.

    Columns that are null for a plain film, such as a DICOM's, are null.
    """
    words = np.random.default_rng(seed)
    patient = patients(films, collection, seed=seed)
    first = np.searchsorted(patient, patient)
    label = words.choice(len(CLASSES), size=films, p=SHARES)
    file_bytes = words.normal(410_000, 60_000, films).clip(20_000).astype(np.int64)
    columns: dict[str, Any] = {
        "film_id": hashes(films, f"film {seed}"),
        "path": _paths(patient, np.arange(films) - first, collection),
        "label": pa.array(CLASSES).take(pa.array(label)),
        "label_index": label,
        "group_id": [f"patient/{digest[:16]}" for digest in _by_patient(patient)],
        "status": ["ok"] * films,
        "width": [1024] * films,
        "height": [1024] * films,
        "mode": ["L"] * films,
        "format": ["PNG"] * films,
        "file_bytes": file_bytes,
        "bits_per_pixel": 8 * file_bytes / 1024**2,
        "bits": [8] * films,
        "exif_tags": [0] * films,
        "flags": [[]] * films,
        "crop_lost": [0.147] * films,
        "pad_added": [0.0] * films,
        **_measures(films, words),
    }
    return AUDITED.table_of(columns, films)


def _by_patient(patient: NDArray[np.int64]) -> list[str]:
    """Return a digest for each film, the same for the films of one patient."""
    known = hashes(int(patient[-1]) + 1 if len(patient) else 0, "patient")
    return [known[number] for number in patient.tolist()]


def _paths(patient: NDArray[np.int64], follow_up: NDArray[np.int64], collection: Collection) -> list[str]:
    """Return where a collection would keep the films of patients, each patient's numbered from 0."""
    films: Sequence[tuple[int, int]] = list(zip(patient.tolist(), follow_up.tolist(), strict=True))
    if collection == "nih":
        return [f"images_{1 + number // 2600:03d}/images/{number:08d}_{film:03d}.png" for number, film in films]
    return [
        f"files/p{10 + number // 6600}/p{10**7 + number}/s{5 * 10**7 + 97 * number + film}.png"
        for number, film in films
    ]


def _measures(films: int, words: np.random.Generator) -> dict[str, Any]:
    """Return what the audit measures of grey levels and borders: numbers of the usual size, no two films alike."""
    levels = np.sort(words.integers(0, 256, (films, 5)), axis=1)
    told: dict[str, Any] = {f"level_{percent}": levels[:, at] for at, percent in enumerate((1, 5, 50, 95, 99))}
    told |= {name: words.random(films).round(4) / 5 for name in ("clipped", "border")}
    told |= {f"border_{side}": words.integers(0, 60, films) for side in ("left", "top", "right", "bottom")}
    return told | {"marks": words.integers(0, 4, films), "askew": words.random(films), "distance": words.random(films)}


def thumbnails(films: int, *, seed: int = 0) -> NDArray[np.uint8]:
    """Return grey levels of thumbnails that are unlike one another, shape (films, SIDE x SIDE)."""
    words = np.random.default_rng(seed)
    made = np.empty((films, SIDE * SIDE), np.uint8)
    coarse, fine = _spread(COARSEST), _spread(FINEST)
    for at in range(0, films, 256):
        some = min(256, films - at)
        shapes = coarse @ words.normal(128, 50, (some, COARSEST, COARSEST)) @ coarse.T
        shapes += fine @ words.normal(0, 20, (some, FINEST, FINEST)) @ fine.T
        made[at : at + some] = np.clip(shapes, 0, 255).astype(np.uint8).reshape(some, -1)
    return made


def _spread(points: int) -> NDArray[np.float64]:
    """Return the matrix that draws lines between the points of a grid, shape (SIDE, points)."""
    place = np.linspace(0, points - 1, SIDE)
    return np.asarray(np.clip(1 - np.abs(place[:, None] - np.arange(points)[None, :]), 0, 1))
