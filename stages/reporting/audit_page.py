"""The page of an audit: what is in the folder, what is odd about it, what a network could cheat with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stages.reporting import audit_plots, plots
from stages.reporting.page import MOST_CLASSES, Figures, render
from stages.reporting.sections import Section

if TYPE_CHECKING:
    from markupsafe import Markup

SECTIONS = (
    Section("audit", "sources", "Where labels and patients come from", ("label_source",)),
    Section("audit", "classes", "Films and patients", ("by_class",)),
    Section("audit", "patients", "Patients", ("groups",)),
    Section("audit", "set_aside", "Set aside", ("set_aside",)),
    Section("audit", "odd", "Odd, and used all the same", ("warnings",)),
    Section("audit", "duplicates", "Duplicates", ("duplicates",)),
    Section("audit", "shortcuts", "What gives the class away without a look at the lungs", ("shortcuts",)),
    Section("audit", "shift", "Whether train and test are of one kind", ("shift", "by_class")),
    Section("audit", "costs", "What normalization costs", ("costs", "policies")),
    Section("audit", "sizes", "Sizes and compression", ("sizes",)),
    Section("audit", "files", "Files", ("formats",)),
)


def audit_page(summary: Figures) -> str:
    """Return the page of `reports/audit.json`.

    Args:
        summary: what the JSON holds, and the widths and heights of `films` where they are to be plotted.
    """
    return render(
        "audit",
        summary=summary,
        sections=[section for section in SECTIONS if section.has_figures(summary)],
        size_plot=_size_plot(summary),
        **audit_plots.plots_of(summary),
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
