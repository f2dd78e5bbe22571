"""The attack of `make attack-hostile`, with fewer files."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stages import paths
from tests.attacks.hostile import attack, fill, report
from tests.attacks.mutations import WAYS, mutations, seeds
from tests.attacks.special import KINDS

MB_FOR_A_FILM = 900  # of a worker, for 100 million pixels of four channels; it starts at 110


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """Return a folder that is removed by `rm`: what pytest removes folders with recurses, and these are deep."""
    yield tmp_path
    subprocess.run(["rm", "-rf", tmp_path], check=True)


@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="sockets, devices and memory are looked at as on Linux"
)
def test_every_hostile_file_is_a_row_and_every_usable_one_comes_through_to_its_copies(root: Path) -> None:
    fill(root / paths.RAW, spoilt=len(seeds()) * len(WAYS), seed=1, corpus=root / "none")
    outcome = attack(root)
    shown = report(outcome, (0.0, ""))
    assert not outcome.failures, shown
    assert {"ok", "truncated", "undecodable", "too_large", "unreadable", "unsupported"} <= set(outcome.statuses), shown
    assert outcome.usable > 60, shown
    assert all(max(command.parent_mb, command.worker_mb) < MB_FOR_A_FILM for command in outcome.commands.values()), (
        shown
    )


def test_the_same_seed_spoils_the_same_files_in_the_same_way() -> None:
    assert list(mutations(200, seed=3)) == list(mutations(200, seed=3))
    assert list(mutations(200, seed=3)) != list(mutations(200, seed=4))
    assert len(KINDS) >= 7
