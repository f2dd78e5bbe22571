"""What normalization costs: how much of the films is cut away, and how much black is added."""

from __future__ import annotations

from statistics import mean
from typing import Any

import pyarrow as pa

from stages.auditing.figures import nested


def costs(films: pa.Table) -> dict[str, Any]:
    """Return what the 2020 crop costs, by delivered split and class."""
    return {"crop": nested(films, _crop)}


def _crop(films: pa.Table) -> dict[str, float]:
    lost, padded = ([share or 0 for share in films.column(name).to_pylist()] for name in ("crop_lost", "pad_added"))
    return {
        "lost_mean": round(mean(lost), 4),
        "padded_share": round(mean(map(bool, padded)), 4),
        "pad_mean": round(mean(padded), 4),
    }
