"""What all tests share: a machine that runs jobs in order, a film, and the real films where they are at hand."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from benchmarks import films
from manifests.objects import ObjectPath
from manifests.places import cache_of_run
from stages.contract import Machine
from stages.films.frame import Gray
from tests import stores

# The same examples on every machine and whichever tests run, and no clock: the machine may have other work.
UNTIMED: Any = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow], "database": None}
settings.register_profile("steady", derandomize=True, **UNTIMED)
settings.register_profile("fresh", **UNTIMED)  # other examples each time: pytest --hypothesis-profile fresh
settings.load_profile("steady")


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
    folder = films.real_films()
    if not (folder / "kermany-raw").is_dir():
        pytest.skip(f"no real films at {folder}; point CXR_REAL_FILMS at a folder that holds kermany-raw/")
    return folder.resolve()


@pytest.fixture(scope="session")
def moto_server() -> Iterator[str]:
    """Return the address of a store that speaks S3."""
    with stores.moto() as address:
        yield address


@pytest.fixture
def s3(moto_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectPath]:
    """Return a prefix of the store that no other test uses."""
    yield from _prefix(moto_server, monkeypatch)


@pytest.fixture
def counted(moto_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[ObjectPath, stores.Gateway]]:
    """Return a prefix of the store, and the gateway through which it is asked."""
    with stores.gateway(moto_server) as gateway:
        for prefix in _prefix(gateway.address, monkeypatch):
            yield prefix, gateway


def _prefix(address: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectPath]:
    for name, value in {**stores.SECRETS, "AWS_ENDPOINT_URL": address}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("CXR_CACHE", raising=False)
    s3fs = pytest.importorskip("s3fs")
    s3fs.S3FileSystem.clear_instance_cache()
    with cache_of_run():
        yield ObjectPath.of(f"s3://{stores.BUCKET}/{uuid.uuid4().hex}")
    s3fs.S3FileSystem.clear_instance_cache()
