"""How far what is no lung tells the classes apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from stages.auditing.features import FILE_FEATURES
from stages.auditing.figures import by_split
from stages.statistics.scores import auc


def shortcuts(films: pa.Table, classes: Sequence[str]) -> dict[str, Any]:
    """Return how well each feature of the file alone tells each class from the rest, as AUC, by split."""
    return {"shortcuts": {split: _of_split(of_split, classes) for split, of_split in by_split(films).items()}}


def _of_split(films: pa.Table, classes: Sequence[str]) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    index = films.column("label_index").to_numpy()
    for feature, values in FILE_FEATURES.items():
        told = values(films)
        known = ~np.isnan(told)
        of_class = {name: index[known] == at for at, name in enumerate(classes)}
        some = {name: positive for name, positive in of_class.items() if positive.any()}
        if len(some) > 1:
            found[feature] = {name: round(auc(told[known], positive), 4) for name, positive in some.items()}
    return found
