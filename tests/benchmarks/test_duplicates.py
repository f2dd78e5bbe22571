"""The benchmark of duplicates plants what it says, the same each time, and finds it among phantoms."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from benchmarks import planted
from benchmarks.duplicates import clusters
from pipeline.cli import main
from stages.films import decode
from stages.labels import kermany_name

SCRIPT = Path(planted.__file__).with_name("duplicates.py")


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("planted")
    drawn = ["phantom", "--root", str(root), "--out", "films", "--films", "40", "--longest-side-px", "200"]
    main([*drawn, "--backend", "sequential", "--no-progress"], standalone_mode=False)
    return root / "films"


def named(path: str) -> tuple[str, str]:
    found = kermany_name(path)
    assert found is not None, path
    return found


def levels(path: Path) -> Image.Image:
    return decode.decode(path.read_bytes())[1]


def test_planted_films_are_other_patients_of_the_same_class_and_the_same_each_time(films: Path, tmp_path: Path) -> None:
    found = planted.plant(films, tmp_path / "one", each=1)
    assert [film.kind for film in found] == list(planted.KINDS)
    for film in found:
        (label, group), (of_label, of_group) = named(film.path), named(film.original)
        assert label == of_label
        assert group != of_group
    assert planted.plant(films, tmp_path / "two", each=1) == found
    for path in planted.paths_under(tmp_path / "one"):
        one, two = ((tmp_path / of / path).read_bytes() for of in ("one", "two"))
        assert hashlib.sha256(one).digest() == hashlib.sha256(two).digest(), path


def test_films_of_the_same_pixels_have_them_and_others_have_not(films: Path, tmp_path: Path) -> None:
    for film in planted.plant(films, tmp_path, each=1):
        one, other = levels(tmp_path / film.path), levels(tmp_path / film.original)
        same = one.size == other.size and one.tobytes() == other.tobytes()
        assert same == film.kind.startswith("same"), film.kind
        assert ((tmp_path / film.path).read_bytes() == (tmp_path / film.original).read_bytes()) == (
            film.kind == planted.SAME_BYTES
        )


def test_pairs_that_share_a_film_are_of_one_kind() -> None:
    assert clusters(["a", "b", "c", "d"], [("d", "b"), ("c", "d")]) == {"a": "a", "b": "b", "c": "b", "d": "b"}


def test_the_smallest_run_prints_every_table_and_finds_what_was_planted(films: Path, tmp_path: Path) -> None:
    small = ["--films", str(films.parent), "--sets", films.name, "--each", "1", "--sizes", "300", "--jobs", "1"]
    command = [sys.executable, str(SCRIPT), *small, "--work", str(tmp_path / "work")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    for kind in planted.KINDS:
        assert f"| {kind}" in result.stdout
    assert "| audit " in result.stdout
    assert "| 300 " in result.stdout
