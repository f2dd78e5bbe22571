"""The page of an audit: what is in the folder, what is odd about it, what a network could cheat with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from stages.films.frame import Frame
from stages.films.placement import Policy, place
from stages.reporting import audit_plots, distributions
from stages.reporting.page import MOST_CLASSES, Figures, render
from stages.reporting.sections import Section

if TYPE_CHECKING:
    from markupsafe import Markup

SECTIONS = (
    Section("audit", "checks", "Checks", ("checks",)),
    Section("audit", "sources", "Where labels and patients come from", ("label_source",)),
    Section("audit", "classes", "Films and patients", ("by_class",)),
    Section("audit", "patients", "Patients", ("groups",)),
    Section("audit", "set_aside", "Set aside", ("set_aside",)),
    Section("audit", "odd", "Odd, and used all the same", ("warnings",)),
    Section("audit", "quality", "What a person should look at", ("quality",)),
    Section("audit", "duplicates", "Duplicates", ("duplicates",)),
    Section("audit", "shortcuts", "What gives the class away without a look at the lungs", ("shortcuts",)),
    Section("audit", "shift", "Whether train and test are of one kind", ("shift", "by_class")),
    Section("audit", "costs", "What normalization costs", ("costs", "policies")),
    Section("audit", "sizes", "Sizes and compression", ("sizes",)),
    Section("audit", "borders", "Black borders", ("borders",)),
    Section("audit", "files", "Files", ("formats",)),
)


def audit_page(summary: Figures, pictures: Mapping[str, str] | None = None) -> str:
    """Return the page of `reports/audit.json`.

    Args:
        summary: what the JSON holds, and the widths and heights of `films` where they are to be plotted.
        pictures: data: addresses of films by their paths; a film without one is named and not shown.
    """
    sections = [section for section in SECTIONS if section.has_figures(summary)]
    return render(
        "audit",
        summary=summary,
        sections=sections,
        shown_sections=[section.name for section in sections],
        size_plot=_size_plot(summary),
        pictures=pictures or {},
        cuts=_cuts(summary),
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
    return distributions.size_plot(
        sizes,
        frame=Frame(height=frame["height"], width=frame["width"]) if frame else None,
        alt="Width and height of every usable film, by class; the table below has medians and extremes.",
    )


def _cuts(summary: Figures) -> dict[str, dict[str, str]]:
    """Return, by policy and path, the style of a box that outlines what a policy leaves of the films it costs most."""
    policies = (summary.get("costs") or {}).get("policies") or {}
    frame = summary.get("frame")
    if not frame:
        return {}
    into = Frame(height=frame["height"], width=frame["width"])
    return {
        policy: {film["path"]: _kept(film, into, policy) for film in of["worst"]} for policy, of in policies.items()
    }


def _kept(film: Figures, into: Frame, policy: Policy) -> str:
    placed = place(Frame(height=film["height"], width=film["width"]), frame=into, policy=policy)
    shown = placed.shown
    left, top = (shown.left - placed.left) / placed.resized.width, (shown.top - placed.top) / placed.resized.height
    width, height = (
        (shown.right - shown.left) / placed.resized.width,
        (shown.bottom - shown.top) / placed.resized.height,
    )
    return f"left:{left:.2%};top:{top:.2%};width:{width:.2%};height:{height:.2%}"
