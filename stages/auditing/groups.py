"""Patient groups: how many films each has, and which of them cross the delivered splits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def groups(films: pa.Table) -> dict[str, Any]:
    """Return the figures of the patients of the usable films."""
    group, in_test = films.column("group_id"), pc.equal(pc.fill_null(films.column("delivered_split"), ""), "test")
    counted = pc.value_counts(group)
    largest = int(np.argmax(counted.field("counts"))) if len(counted) else None
    tested, pooled = (pc.unique(group.filter(one)) for one in (in_test, pc.invert(in_test)))
    return {
        "count": len(counted),
        "largest": 0 if largest is None else counted[largest]["counts"].as_py(),
        "largest_id": "" if largest is None else counted[largest]["values"].as_py(),
        "crossing_delivered_splits": pc.sum(pc.is_in(tested, value_set=pooled)).as_py() or 0,
    }
