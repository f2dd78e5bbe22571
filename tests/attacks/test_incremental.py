"""The measurement of `make attack-incremental`, on fewer films."""

from __future__ import annotations

from pathlib import Path

import pytest

from stages.contract import Machine
from tests.attacks.incremental import CHANGES, build, draw, measure, report

FILMS = 600


@pytest.mark.parametrize("name", CHANGES)
def test_ten_films_rewrite_the_shards_they_live_in_and_the_bytes_are_those_of_a_build_from_scratch(
    tmp_path: Path, machine: Machine, name: str
) -> None:
    root = tmp_path / "root"
    draw(root, range(FILMS))
    build(root, machine)
    found = measure(root, tmp_path / "scratch", FILMS, CHANGES[name], machine)
    shown = report(name, found)
    assert not found.differ, shown
    assert not any(found.needless.values()), shown
    assert all(written > 0 for _, written in found.shards.values()), shown
    assert any(written < total for total, written in found.shards.values()), shown
    assert found.moved < 10, shown
