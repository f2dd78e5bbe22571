"""Real films as the benchmarks of learning take them: audited, split and normalized by the stages themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manifests.rows import NORMALIZED
from stages import audit, normalize, paths, split
from stages.contract import Machine
from stages.films.codec import decode
from stages.films.placement import Policy
from stages.scoring import read_images


@dataclass(frozen=True, slots=True)
class Films:
    """The films of a split.

    Attributes:
        film_ids: of each film, the hash.
        images: uint8 (films, height, width).
        labels: int64 (films,).
        groups: of each film, the patient.
    """

    film_ids: Sequence[str]
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    groups: Sequence[str]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def majority(self) -> float:
        """The share of the most frequent class."""
        return float(np.bincount(self.labels).max() / len(self))


@contextmanager
def silent(_total: int, *, unit: str) -> Iterator[Any]:  # noqa: ARG001 - the signature of Track
    """Show no progress."""
    yield lambda *_done: None


def prepared(work: Path, on: Machine, policy: Policy, height: int, width: int) -> Path:
    """Return the root of the films, audited, split and normalized; done anew, but for shards that are there."""
    root = work / f"{policy}-{height}x{width}"
    audit.run(audit.AuditParams(), root, on)
    split.run(split.SplitParams(), root, on)
    normalize.run(normalize.NormalizeParams(policy=policy, height=height, width=width), root, on)
    return root


def films_of(root: Path) -> dict[str, Films]:
    """Return the normalized films of each split, in the order of the manifest."""
    stored = read_images(root, paths.NORMALIZED, NORMALIZED)
    pixels = {row.path: decode(data) for row, data in stored.folder.read_images(stored.rows)}
    found = {}
    for name in sorted({str(row.split) for row in stored.rows}):
        rows = [row for row in stored.rows if row.split == name]
        found[name] = Films(
            film_ids=[row.film_id for row in rows],
            images=np.stack([pixels[row.path] for row in rows]),
            labels=np.array([row.label_index for row in rows], np.int64),
            groups=[str(row.group_id) for row in rows],
        )
    return found
