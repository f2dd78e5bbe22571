"""What the tests of the stages share: films that are made up, raw folders of them, rows, and a project to run."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable
from dataclasses import fields
from pathlib import Path
from shutil import copy, copytree
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from manifests.rows import AuditedRow
from stages import audit, normalize, split
from stages.contract import Machine
from stages.films.frame import Gray
from tests.conftest import in_order, silent

SMALL = normalize.NormalizeParams(height=32, width=40)
KAGGLE = (  # whole patients, siblings among them, two val films, and numbers that restart per class
    *(f"train/NORMAL/IM-{number:04d}-0001.jpeg" for number in range(1, 9)),
    "train/NORMAL/IM-0008-0001-0002.jpeg",
    *(f"train/NORMAL/NORMAL2-IM-{number:04d}-0001.jpeg" for number in range(1, 4)),
    *(f"train/PNEUMONIA/person{number}_bacteria_{number}.jpeg" for number in range(1, 11)),
    "train/PNEUMONIA/person10_bacteria_11.jpeg",
    *(f"train/PNEUMONIA/person{number}_virus_{number}.jpeg" for number in range(1, 9)),
    "val/NORMAL/NORMAL2-IM-0900-0001.jpeg",
    "val/PNEUMONIA/person900_bacteria_1.jpeg",
    "test/NORMAL/IM-0101-0001.jpeg",
    "test/PNEUMONIA/person101_bacteria_1.jpeg",
    "test/PNEUMONIA/person101_virus_1.jpeg",
)


def backwards(work: Callable[[Any], Any], jobs: Iterable[Any], **_shown: Any) -> list[Any]:
    """Stand in for workers that begin at the end."""
    return [work(job) for job in reversed(list(jobs))][::-1]


def a_film(seed: int, *, height: int = 60, width: int = 80) -> Gray:
    """Return a film unlike those of other seeds: a few large shapes, and grain."""
    words = np.random.default_rng(seed)
    shapes = cv2.resize(words.integers(20, 236, (6, 6)).astype(np.float32), (width, height))
    return np.asarray(np.clip(shapes + words.normal(0, 4, (height, width)), 0, 255), np.uint8)


def as_bytes(image: Gray, *, kind: str = "PNG", mode: str = "L", **options: Any) -> bytes:
    """Return an image as a file's bytes, in a mode of Pillow."""
    file = io.BytesIO()
    pillow = Image.fromarray(image.astype(np.uint16) * 257) if mode == "I;16" else Image.fromarray(image).convert(mode)
    pillow.save(file, kind, **options)
    return file.getvalue()


@pytest.fixture
def upside_down() -> Machine:
    """Return a machine whose workers begin at the last job."""
    return Machine(fan_out=backwards, track=silent, device="cpu")


@pytest.fixture(scope="session")
def draw() -> Callable[..., Gray]:
    """Return what draws a film that is unlike those of other seeds."""
    return a_film


@pytest.fixture(scope="session")
def encoded() -> Callable[..., bytes]:
    """Return what turns an image into a file's bytes."""
    return as_bytes


@pytest.fixture(scope="session")
def film_file() -> Callable[..., Path]:
    """Return what writes a film of a seed: JPEG or PNG as the name's ending says, unless told."""

    def write(path: Path, seed: int, **options: Any) -> Path:
        size = {name: options.pop(name) for name in ("height", "width") if name in options}
        kind = options.pop("kind", "PNG" if path.suffix == ".png" else "JPEG")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(as_bytes(a_film(seed, **size), kind=kind, **options))
        return path

    return write


@pytest.fixture(scope="session")
def audited() -> Callable[..., AuditedRow]:
    """Return what makes an audited row: a usable film of a patient of its own, unless told."""

    def row(path: str, **told: Any) -> AuditedRow:
        known: dict[str, Any] = {
            "film_id": hashlib.sha256(path.encode()).hexdigest(),
            "path": path,
            "label": "normal",
            "group_id": f"film/{path}",
            "split": None,
            "status": "ok",
            "reason": None,
            "width": 80,
            "height": 60,
            "mode": "L",
            "format": "JPEG",
            "file_bytes": 600,
            "bits_per_pixel": 1.0,
            "jpeg_quality": 75,
            "bits": 8,
            "jpeg_subsampling": "grey",
            "progressive": False,
            "exif_tags": 0,
            "transfer_syntax": None,
            "photometric": None,
            "windowing": None,
            "exact_duplicate_of": None,
            "near_duplicate_of": None,
            "near_duplicate_how": None,
            "near_similarity": None,
            "delivered_split": None,
            "crop_lost": 0.0,
            "pad_added": 0.0,
            "warning": None,
            **told,
        }
        known.setdefault("label_index", ["normal", "bacterial", "viral"].index(known["label"]))
        unknown: dict[str, Any] = dict.fromkeys(field.name for field in fields(AuditedRow))
        return AuditedRow(**unknown | known)

    return row


@pytest.fixture(scope="session")
def _kaggle(tmp_path_factory: pytest.TempPathFactory, film_file: Callable[..., Path]) -> Path:
    root = tmp_path_factory.mktemp("kaggle")
    for seed, path in enumerate(KAGGLE):
        film_file(root / "data/raw" / path, seed, quality=90)
    machine = Machine(fan_out=in_order, track=silent)
    audit.run(audit.AuditParams(), root, machine)
    split.run(split.SplitParams(), root, machine)
    normalize.run(SMALL, root, machine)
    return root


@pytest.fixture
def project(_kaggle: Path, tmp_path: Path) -> Path:
    """Return the root of 36 films in Kaggle's tree, audited, split and normalized into 32 x 40; a copy of its own."""
    return copytree(_kaggle, tmp_path / "project")


@pytest.fixture(scope="session")
def files_of() -> Callable[[Path], dict[str, bytes]]:
    """Return what reads every file under a folder, by its path."""

    def read(folder: Path) -> dict[str, bytes]:
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    return read


@pytest.fixture(scope="session")
def stamps_of() -> Callable[[Path], dict[str, tuple[int, int]]]:
    """Return what tells whether a file was written anew: inode and time of each file under a folder, by name."""

    def read(folder: Path) -> dict[str, tuple[int, int]]:
        found = {path.name: path.stat() for path in folder.rglob("*") if path.is_file()}
        return {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in found.items()}

    return read


@pytest.fixture
def many(tmp_path: Path, machine: Machine, film_file: Callable[..., Path]) -> Path:
    """Return the root of 200 tiny films, audited and split: enough for several shards."""
    for seed in range(200):
        film_file(tmp_path / f"data/raw/ill/{seed:03d}.png", seed, height=16, width=18)
    audit.run(audit.AuditParams(), tmp_path, machine)
    split.run(split.SplitParams(), tmp_path, machine)
    return tmp_path


@pytest.fixture
def normalized_real_films(
    tmp_path: Path, machine: Machine, real_films: Path
) -> Callable[[normalize.NormalizeParams], Path]:
    """Return what audits, splits and normalizes every twelfth real film, and returns the root."""

    def normalized(params: normalize.NormalizeParams) -> Path:
        for film in sorted((real_films / "kermany-raw").rglob("*.jpeg"))[::12]:
            place = tmp_path / "data/raw" / film.relative_to(real_films / "kermany-raw")
            place.parent.mkdir(parents=True, exist_ok=True)
            copy(film, place)
        audit.run(audit.AuditParams(), tmp_path, machine)
        split.run(split.SplitParams(), tmp_path, machine)
        normalize.run(params, tmp_path, machine)
        return tmp_path

    return normalized
