"""What every report says after a split that leaks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LEAKS = (
    "warning: this split leaks: its films were drawn one by one (split --unit film), so that films of val, and of a "
    "test that was drawn, show patients of train; scores on them are too good to be believed"
)


def how_divided(facts: Mapping[str, Any]) -> dict[str, str]:
    """Return what was drawn and how val was held out, by the facts of a manifest that comes after split."""
    return {"unit": str(facts.get("unit", "patient")), "holdout": str(facts.get("holdout", "patients"))}


def leak_warning(facts: Mapping[str, Any]) -> list[str]:
    """Return the warning where the facts of a manifest, or the split's summary, say that films were drawn one by one.

    A manifest that says nothing of it was made when only patients were drawn.
    """
    return [LEAKS] if facts.get("unit") == "film" else []
