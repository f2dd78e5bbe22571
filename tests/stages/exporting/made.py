"""What an export must hold, by our own reader and the manifests alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from manifests import store
from manifests.columns import Schema
from manifests.rows import NORMALIZED
from manifests.shards import ImageFolder
from stages import paths
from stages.contract import Machine, Report
from stages.drawn import AUGMENTED
from stages.export import ExportParams, run
from stages.films.codec import decode
from stages.films.frame import Gray

Key = tuple[str, int]  # film, number of the copy; -1 for a normalized film
PLACES: Mapping[str, tuple[Schema[Any], str]] = {
    "augmented": (AUGMENTED, paths.AUGMENTED_MANIFEST),
    "normalized": (NORMALIZED, paths.NORMALIZED_MANIFEST),
}


def key_of(row: Any) -> Key:
    """Return which image a row tells of, a mapping."""
    return str(row["film_id"]), -1 if row.get("copy") is None else int(row["copy"])


def known(root: Path, *of: str) -> dict[Key, tuple[Gray, str, str]]:
    """Return pixels, class and split of every image of some manifests."""
    found: dict[Key, tuple[Gray, str, str]] = {}
    for name in of:
        schema, place = PLACES[name]
        folder = ImageFolder((root / place).parent, store.read_footer(root / place).params["layout"])
        rows = [row for row in store.read(schema, root / place) if row.status == "ok"]
        for row, data in folder.read_images(rows):
            found[row.film_id, getattr(row, "copy", -1)] = decode(data), str(row.label), str(row.split)
    return found


def of_both(root: Path) -> dict[Key, tuple[Gray, str, str]]:
    """Return train of the augmented, and the other splits of the normalized."""
    films = known(root, "normalized")
    return known(root, "augmented") | {key: told for key, told in films.items() if told[2] != "train"}


def require_same(found: dict[Key, tuple[Gray, str, str]], expected: dict[Key, tuple[Gray, str, str]]) -> None:
    """Require the same images, each with the same pixels, class and split."""
    assert found.keys() == expected.keys()
    assert len(expected) > 20
    for key, (pixels, label, split) in expected.items():
        np.testing.assert_array_equal(found[key][0], pixels)
        assert found[key][1:] == (label, split)


def export(root: Path, machine: Machine, **params: Any) -> tuple[Path, Report]:
    """Export, and return the folder and the report."""
    report = run(ExportParams.model_validate(params), root, machine)
    return root / Path(report.written[0]).parent, report
