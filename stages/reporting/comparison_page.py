"""The page of a comparison: how runs differ, with intervals and tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stages.reporting import dots
from stages.reporting.dots import Dots, ForScreens
from stages.reporting.page import MOST_CLASSES, Figures, render


def comparison_page(summary: Figures, *, facts: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the page of `reports/comparison.json`.

    Args:
        summary: what the JSON holds.
        facts: tables of names and values at the page's end, by title: runs, parameters, versions.
    """
    return render("comparison", summary=summary, facts=facts, forest_plot=_forest_plot(summary))


def _forest_plot(summary: Figures) -> ForScreens | None:
    """Return a plot of the differences in accuracy and class by class, or None where they are too many to be seen."""
    classes, contrasts = summary["classes"], summary["contrasts"]
    if len(classes) > MOST_CLASSES or len(contrasts) > MOST_CLASSES:
        return None
    rows = {f"{of['second']} \N{MINUS SIGN} {of['first']}": of for of in contrasts}
    of_series = {"accuracy": rows} | {
        f"recall of {label}": {row: of["recall"][label] for row, of in rows.items() if label in of["recall"]}
        for label in classes
    }
    series = [
        Dots(
            name,
            {row: 100 * of["difference"] for row, of in found.items()},
            {row: (100 * of["low"], 100 * of["high"]) for row, of in found.items()},
        )
        for name, found in of_series.items()
    ]
    return dots.forest_plot(
        series,
        categories=list(rows),
        axis="difference in percentage points, with its 95 % interval",
        alt="Difference of each pair of runs in accuracy and in the recall of each class, with intervals; the tables "
        "have the same numbers.",
    )
