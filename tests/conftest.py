"""What all tests share: a machine that runs jobs in order, a film, and the real films where they are at hand."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from stages.contract import Machine
from stages.films.frame import Gray

REPOSITORY = Path(__file__).resolve().parents[1]

# no test is timed: the machine may have other work
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


def in_order(work: Callable[[Any], Any], jobs: Iterable[Any], **_shown: Any) -> list[Any]:
    """Stand in for workers: apply work to each job, here and now."""
    return [work(job) for job in jobs]


@contextmanager
def silent(_total: int, *, unit: str) -> Iterator[Callable[..., None]]:  # noqa: ARG001 - the signature of Track
    """Stand in for a progress bar."""
    yield lambda *_done: None


@pytest.fixture
def machine() -> Machine:
    """Return a machine of one worker, on the CPU."""
    return Machine(fan_out=in_order, track=silent, device="cpu")


@pytest.fixture(scope="session")
def film() -> Gray:
    """Return a grey film of 256 x 300 with structure at every scale; read-only, so that whoever edits it fails."""
    rows, columns = np.mgrid[0:256, 0:300]
    waves = 60 * np.sin(columns / 9) + 40 * np.cos(rows / 23) + 20 * np.sin(rows * columns / 900)
    image = np.asarray(np.clip(128 + waves, 0, 255), np.uint8)
    image.flags.writeable = False
    return image


@pytest.fixture(scope="session")
def real_films() -> Path:
    """Return the folder of real films, or skip: they are never part of the project."""
    folder = Path(os.environ.get("CXR_REAL_FILMS", REPOSITORY.parent / "shared" / "data"))
    if not (folder / "kermany-raw").is_dir():
        pytest.skip(f"no real films at {folder}; point CXR_REAL_FILMS at a folder that holds kermany-raw/")
    return folder.resolve()
