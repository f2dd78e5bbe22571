"""The page of an audit: what is in the folder, what is odd about it, what a network could cheat with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stages.reporting import plots
from stages.reporting.page import MOST_CLASSES, Figures, render, split_name
from stages.reporting.plots import Dots
from stages.reporting.sections import Section

if TYPE_CHECKING:
    from markupsafe import Markup

SECTIONS = (
    Section("audit", "sources", "Where labels and patients come from", ("label_source",)),
    Section("audit", "classes", "Films and patients", ("by_class",)),
    Section("audit", "patients", "Patients", ("groups",)),
    Section("audit", "set_aside", "Set aside", ("set_aside",)),
    Section("audit", "odd", "Odd, and used all the same", ("warnings",)),
    Section("audit", "quality", "What a person should look at", ("quality",)),
    Section("audit", "duplicates", "Duplicates", ("duplicates",)),
    Section("audit", "shortcuts", "What the file alone gives away", ("shortcuts",)),
    Section("audit", "sizes", "Sizes", ("sizes",)),
    Section("audit", "crop", "What the 2020 crop does", ("crop",)),
    Section("audit", "borders", "Black borders", ("borders",)),
    Section("audit", "files", "Files", ("formats",)),
)


def audit_page(summary: Figures) -> str:
    """Return the page of `reports/audit.json`.

    Args:
        summary: what the JSON holds, and the widths and heights of `films` where they are to be plotted.
    """
    shortcuts = {split: _shortcut_plot(split, found) for split, found in (summary.get("shortcuts") or {}).items()}
    return render(
        "audit",
        summary=summary,
        sections=[section for section in SECTIONS if section.has_figures(summary)],
        shortcut_plots=shortcuts,
        size_plot=_size_plot(summary),
    )


def _shortcut_plot(split: str, found: Figures) -> Markup | None:
    """Return a plot of the AUC of each feature for each class, or None where there is nothing to plot."""
    classes = list(dict.fromkeys(name for by_class in found.values() for name in by_class))
    if not 0 < len(classes) <= MOST_CLASSES:
        return None
    series = [
        Dots(name, {feature: auc for feature, by_class in found.items() if (auc := by_class.get(name)) is not None})
        for name in classes
    ]
    return plots.dot_plot(
        series,
        categories=list(found),
        axis="AUC of the class against the rest",
        alt=f"AUC of each file feature for each class, {split_name(split)}; the table below has the same numbers.",
        mark=0.5,
    )


def _size_plot(summary: Figures) -> Markup | None:
    """Return a plot of the films' widths and heights, or None where they are not handed over."""
    # in the order of the classes, so that a class has one colour on the whole page
    sizes: dict[str, list[tuple[int, int]]] = {name: [] for name in summary.get("classes") or ()}
    for film in summary.get("films") or ():
        sizes.setdefault(str(film["label"]), []).append((film["width"], film["height"]))
    if not any(sizes.values()) or len(sizes) > MOST_CLASSES:
        return None
    frame = summary.get("frame")
    return plots.size_plot(
        sizes,
        aspect=frame["width"] / frame["height"] if frame else None,
        alt="Width and height of every usable film, by class; the table below has medians and extremes.",
    )
