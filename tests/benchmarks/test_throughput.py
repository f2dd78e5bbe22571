"""The benchmarks run at their smallest and print a table; how long anything takes is nobody's claim."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import throughput
from benchmarks.contestants import CONTESTANTS, STAGES
from benchmarks.printed import markdown
from benchmarks.throughput import EXTRA
from pipeline.cli import main

BENCHMARKS = Path(throughput.__file__).parent


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that looks like that of the real films."""
    root = tmp_path_factory.mktemp("phantoms")
    arguments = ["phantom", "--root", str(root), "--out", "kermany-raw", "--films", "30", "--longest-side-px", "300"]
    main([*arguments, "--backend", "sequential", "--no-progress"], standalone_mode=False)
    return root


def run(script: str, *arguments: str, films: Path) -> str:
    environment = {**os.environ, "CXR_REAL_FILMS": str(films)}
    command = [sys.executable, str(BENCHMARKS / script), *arguments]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_the_smallest_run_has_every_contestant_that_was_chosen_in_its_table(phantoms: Path, tmp_path: Path) -> None:
    small = ["--films", "6", "--copies", "2", "--rounds", "1", "--sample", "4", "--jobs", "2"]
    places = ["--work", str(tmp_path / "work"), "--json", str(tmp_path / "figures.json")]
    chosen = [name for name in CONTESTANTS if name != "ours-2020-by-stage"]  # of two halves that others are
    printed = run("throughput.py", *small, *places, "--only", ",".join([*chosen, *EXTRA]), films=phantoms)
    figures = json.loads((tmp_path / "figures.json").read_text())
    for name in chosen:
        contestant = CONTESTANTS[name]
        line = next(line for line in printed.splitlines() if line.startswith(f"| {name}"))
        assert ("not installed: pip install" in line) == bool(contestant.missing)
        assert (name in figures["runs"]) == (not contestant.missing)
    assert figures["runs"]["ours"][0]["outcome"]["images"] == 18
    assert figures["runs"]["ours-by-stage"][0]["outcome"]["images"] == 18
    assert set(figures["runs"]["ours-by-stage"][0]["outcome"]["stages"]) == set(STAGES)
    assert "18 images" in printed
    assert "workers of augment alone" in printed
    assert "warp bilinear" in printed


def test_an_unknown_contestant_is_wrong_usage(phantoms: Path) -> None:
    with pytest.raises(AssertionError, match="--only ourz"):
        run("throughput.py", "--only", "ourz", films=phantoms)


def test_without_films_the_benchmark_says_where_to_get_some(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="CXR_REAL_FILMS"):
        run("throughput.py", "--work", str(tmp_path / "work"), films=tmp_path)


def test_memory_is_shown_for_every_stage_and_drawn(tmp_path: Path) -> None:
    arguments = ["--films", "40,300", "--jobs", "2", "--work", str(tmp_path), "--plot", str(tmp_path / "memory.svg")]
    printed = run("memory.py", *arguments, films=tmp_path)
    for stage in STAGES:
        assert sum(line.startswith(f"| {stage}") for line in printed.splitlines()) == 2
    assert (tmp_path / "memory.svg").stat().st_size > 5000


def test_a_table_reads_well_as_it_is() -> None:
    lines = markdown([["call", "us"], ["read", "12.5"], ["warp nearest", "80.0"]]).splitlines()
    assert lines == [
        "| call         |   us |",
        "| ------------ | ---: |",
        "| read         | 12.5 |",
        "| warp nearest | 80.0 |",
    ]


def test_growth_shows_what_an_image_more_costs_and_what_long_manifests_take(phantoms: Path, tmp_path: Path) -> None:
    arguments = ["--images", "105,210", "--rows", "3000", "--rounds", "1", "--jobs", "2", "--work", str(tmp_path)]
    lines = run("growth.py", *arguments, films=phantoms).splitlines()
    assert any(line.startswith("| 5     |") for line in lines)
    assert any(line.startswith("| 10    |") for line in lines)
    assert sum("3,000 rows" in line for line in lines) == 2
