"""The walk through the code names functions that there are, in the order in which a film meets them."""

from __future__ import annotations

import re
from functools import cache
from importlib import import_module
from types import CodeType
from typing import Any

import pytest

from pipeline.catalog import STAGES
from tests.docs.conftest import Traced
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


def test_the_walk_goes_through_every_stage() -> None:
    assert list(told()) == [entry.name for entry in STAGES]
    assert all(len(names) >= 5 for names in told().values())


@pytest.mark.parametrize("name", [name for names in told().values() for name in names])
def test_a_function_that_the_walk_names_is_there(name: str) -> None:
    assert code_of(name).co_name == name.rpartition(".")[2]


@pytest.mark.parametrize("stage", [entry.name for entry in STAGES])
def test_a_film_meets_them_in_the_order_that_the_walk_tells(stage: str, traced: Traced) -> None:
    names = {code_of(name): name for name in told()[stage]}
    assert [names[code] for code in traced.calls[stage] if code in names] == told()[stage]
