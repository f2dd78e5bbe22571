"""The walk through the code names functions that there are, in the order in which a film meets them."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest
from click.testing import CliRunner

from pipeline.catalog import STAGES
from pipeline.cli import main
from tests.docs.console import SMALL
from tests.docs.markdown import REPOSITORY

PAGE = REPOSITORY / "docs/walkthrough.md"


@cache
def told() -> dict[str, list[str]]:
    """Return the functions that the page names, in its order, by stage."""
    sections = re.split(r"^## (\w+): .*$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    return {
        stage: re.findall(r"^- `([\w.]+)` ", text, re.MULTILINE)
        for stage, text in zip(sections[::2], sections[1::2], strict=True)
    }


def code_of(name: str) -> CodeType:
    """Return the code of a function by its dotted name: the module is as long a beginning as there is a module."""
    parts = name.split(".")
    for end in range(len(parts) - 1, 0, -1):
        try:
            found: Any = import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for part in parts[end:]:
            found = getattr(found, part)
        code: CodeType = getattr(found, "__wrapped__", found).__code__
        return code
    raise ModuleNotFoundError(name)


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


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[CodeType]]:
    """Return what each stage calls on a few phantoms, in order."""
    root = tmp_path_factory.mktemp("root")
    (root / "params.yaml").write_text(SMALL)
    _invoke(root, "phantom", "--films", "24", "--longest-side-px", "120")
    orders = {}
    for entry in STAGES:
        with called() as order:
            _invoke(root, entry.name)
        orders[entry.name] = order
    return orders


def _invoke(root: Path, *command: str) -> None:
    result = CliRunner().invoke(main, [*command, "--root", str(root), "--backend", "sequential"])
    assert result.exit_code == 0, result.output


def test_the_walk_goes_through_every_stage() -> None:
    assert list(told()) == [entry.name for entry in STAGES]
    assert all(len(names) >= 5 for names in told().values())


@pytest.mark.parametrize("name", [name for names in told().values() for name in names])
def test_a_function_that_the_walk_names_is_there(name: str) -> None:
    assert code_of(name).co_name == name.rpartition(".")[2]


@pytest.mark.parametrize("stage", [entry.name for entry in STAGES])
def test_a_film_meets_them_in_the_order_that_the_walk_tells(stage: str, traced: dict[str, list[CodeType]]) -> None:
    names = {code_of(name): name for name in told()[stage]}
    assert [names[code] for code in traced[stage] if code in names] == told()[stage]
