"""Sets to export, built once: in both layouts, and one whose classes have names that no folder should have."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from shutil import copytree

import pytest

from manifests import shards, slices
from stages import audit, augment, normalize, split
from stages.augment_params import AugmentParams
from stages.contract import Machine
from stages.folder import Layout
from tests.conftest import silent

COPIES = 2
CLASSES = (
    *("a/b", "ä ö ü", "two words", "=1+2", "v1.0", "..", "'quoted' \"twice\"", "{braces}", "no", "1", "ß|x", "C:\\"),
    *(f"class {number:02d}" for number in range(18)),
)


MACHINE = Machine(fan_out=lambda work, jobs, **_shown: map(work, jobs), track=silent, device="cpu")


def _augmented(root: Path, layout: Layout) -> Path:
    normalize.run(normalize.NormalizeParams(height=32, width=40, layout=layout), root, MACHINE)
    augment.run(AugmentParams(copies=COPIES, layout=layout), root, MACHINE)
    return root


@pytest.fixture(scope="session")
def roots(_kaggle: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the roots of 36 films and their copies, by layout; nobody writes into them."""
    place = tmp_path_factory.mktemp("sets")
    with pytest.MonkeyPatch.context() as patch:  # a few shards each, though the films are few
        patch.setattr(shards, "IMAGES_PER_SHARD", 24)
        patch.setattr(normalize, "FILMS_PER_SHARD", 8)
        found = _both(_kaggle, place)
    assert all(len(list((found["shards"] / f"data/{of}/shards").iterdir())) > 3 for of in ("augmented", "normalized"))
    return found


def _both(kaggle: Path, place: Path) -> dict[str, Path]:
    return {
        "shards": _augmented(copytree(kaggle, place / "shards"), "shards"),
        "folder": _augmented(copytree(kaggle, place / "folder"), "folder"),
    }


@pytest.fixture(autouse=True)
def _small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a few image files make a part, so that there are several."""
    monkeypatch.setattr(slices, "FILES", 10)


@pytest.fixture
def built(roots: dict[str, Path], tmp_path: Path) -> Path:
    """Return a copy of the root in the layout shards."""
    return copytree(roots["shards"], tmp_path / "built")


@pytest.fixture(scope="session")
def odd_names(tmp_path_factory: pytest.TempPathFactory, film_file: Callable[..., Path]) -> Path:
    """Return the root of 61 films of 30 classes with odd names; the test has no film of the first ten."""
    root = tmp_path_factory.mktemp("odd")
    lines = [("path", "label", "group", "split")]
    for number in range(61):
        label, part = CLASSES[number % 30], "train" if number < 41 else "test"
        film_file(root / f"data/raw/{number:02d}.png", number, height=16, width=18)
        lines.append((f"{number:02d}.png", label, f"patient {number}", part))
    with (root / "data/raw/labels.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(lines)
    audit.run(audit.AuditParams(), root, MACHINE)
    split.run(split.SplitParams(val_fraction=0, leak_probe_fraction=0), root, MACHINE)
    normalize.run(normalize.NormalizeParams(height=16, width=18), root, MACHINE)
    return root
