"""The augmented manifest's schema: its row, and a column for every number that can be drawn."""

from __future__ import annotations

from manifests.columns import Schema, drawn_fields
from manifests.rows import AugmentedRow
from stages.films.operations import DRAWN

AUGMENTED = Schema(AugmentedRow, version=2, drawn=drawn_fields(DRAWN))
