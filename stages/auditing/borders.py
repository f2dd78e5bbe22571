"""Black borders of the raw films: how much of them, how deep, in which class."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.auditing.features import number
from stages.auditing.figures import nested

NOTICED = 0.01  # share of a film from which its border counts
SIDES = ("left", "top", "right", "bottom")


def borders(films: pa.Table) -> dict[str, Any]:
    """Return the figures of the black borders of the usable films, by delivered split and class."""
    return {"borders": nested(films, _borders)}


def _borders(films: pa.Table) -> dict[str, Any]:
    films = films.filter(pc.is_valid(films.column("border")))
    if not len(films):
        return {"films": 0}
    share, deep = number("border", films), {side: number(f"border_{side}", films) for side in SIDES}
    return {
        "films": len(films),
        "median": round(float(np.median(share)), 4),
        "mean": round(float(share.mean()), 4),
        "bordered_share": round(float((share > NOTICED).mean()), 4),
        "bars_share": round(float((np.stack([*deep.values()]).max(axis=0) > 0).mean()), 4),
        "deepest_px": {side: int(found.max()) for side, found in deep.items()},
    }
