"""What the tests of films share."""

from __future__ import annotations

import hashlib
import runpy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from stages.films.frame import Frame

GOLDEN = Path(__file__).resolve().parents[2] / "golden"


@pytest.fixture(scope="session")
def frame() -> Frame:
    """Return the frame of the `film` fixture."""
    return Frame(height=256, width=300)


@pytest.fixture(scope="session")
def film_id() -> str:
    """Return a film's hash."""
    return hashlib.sha256(b"film").hexdigest()


@pytest.fixture(scope="session")
def golden() -> Mapping[str, Any]:
    """Return the names of tests/golden/make.py, which is a script and no package."""
    return runpy.run_path(str(GOLDEN / "make.py"))
