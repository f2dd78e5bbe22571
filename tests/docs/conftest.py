"""What the tests of the pages share: one run of all stages on a few phantoms, watched."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType

import pytest
from click.testing import CliRunner

from pipeline.catalog import STAGES
from pipeline.cli import main
from tests.docs.console import SMALL


@contextmanager
def called() -> Iterator[list[CodeType]]:
    """Yield what is called while this holds, each code once, in the order of the first calls, on all threads."""
    first: dict[CodeType, None] = {}

    def note(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call":
            first.setdefault(frame.f_code)

    order: list[CodeType] = []
    threading.setprofile(note)
    sys.setprofile(note)
    try:
        yield order
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
        order += first


@dataclass(frozen=True, slots=True)
class Traced:
    """A root that every stage has run under, and what each called, in the order of the first calls."""

    root: Path
    calls: dict[str, list[CodeType]]


@pytest.fixture(scope="session")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Traced:
    """Return a root of a few phantoms that was evaluated, and what was called on the way."""
    root = tmp_path_factory.mktemp("root")
    (root / "params.yaml").write_text(SMALL)
    _invoke(root, "phantom", "--films", "24", "--longest-side-px", "120")
    orders = {}
    for entry in STAGES:
        with called() as order:
            _invoke(root, entry.name)
        orders[entry.name] = order
    return Traced(root, orders)


def _invoke(root: Path, *command: str) -> None:
    result = CliRunner().invoke(main, [*command, "--root", str(root), "--backend", "sequential"])
    assert result.exit_code == 0, result.output
