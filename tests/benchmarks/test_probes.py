"""The probes' benchmark runs at its smallest, and its careless splits find a leak where there is one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import careless
from benchmarks.careless import MODELS, Pool
from pipeline.cli import main
from stages.probing import NEAREST

SCRIPT = Path(careless.__file__).with_name("probes.py")


def noise(*shape: int, key: int) -> NDArray[np.float64]:
    return np.random.Generator(np.random.Philox(key=key)).normal(size=shape)


def pool_of(*, siblings: int, alike: float) -> Pool:
    """Return 150 patients, their looks telling nothing of their class, each with films that are more or less alike."""
    of_film = np.repeat(np.arange(150), siblings)
    pixels = alike * noise(150, 20, key=1)[of_film] + noise(len(of_film), 20, key=2)
    names = [f"film{number}" for number in range(len(of_film))]
    return Pool(pixels, of_film % 3, [f"person{number}" for number in of_film.tolist()], names)


def test_films_drawn_one_by_one_leak_where_siblings_are_alike_and_nowhere_else() -> None:
    alike, unlike = pool_of(siblings=3, alike=5), pool_of(siblings=3, alike=0)
    found = careless.leak(MODELS[NEAREST], alike, alike.images, seeds=2)
    assert found.careless > 0.95
    assert found.honest < 0.5
    assert found.low > 0.4
    nothing = careless.leak(MODELS[NEAREST], unlike, unlike.images, seeds=2)
    assert nothing.low < 0.0 < nothing.high
    alone = pool_of(siblings=1, alike=5)
    assert careless.leak(MODELS[NEAREST], alone, alone.patients, seeds=1).low == 0


def test_only_patients_with_several_films_have_siblings() -> None:
    pool = Pool(np.zeros((5, 2)), np.zeros(5, np.int64), list("aabcc"), ["1", "2", "3", "4", "4"])
    assert careless.with_siblings(pool).tolist() == [True, True, False, False, False]


def test_the_smallest_run_prints_every_table(tmp_path: Path) -> None:
    films = ["phantom", "--root", str(tmp_path), "--out", "films", "--films", "150", "--longest-side-px", "120"]
    main([*films, "--backend", "sequential", "--no-progress"], standalone_mode=False)
    small = ["--draws", "100", "--splits", "2", "--seeds", "1", "--jobs", "1"]
    places = ["--films", str(tmp_path / "films"), "--work", str(tmp_path / "work")]
    command = [sys.executable, str(SCRIPT), *small, *places]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    for table in (
        "accuracy, %",
        "ridge, %",
        "ridge, points",
        "nearest_neighbour, points",
        "AUC",
        "held out in 5 parts",
    ):
        assert f"| {table}" in result.stdout
    assert result.stdout.count("The parts add up to the total within") == 2
