"""Histograms of the classes, one above the other for each split, as inline SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup

from stages.reporting.plots import INK, LINE, WIDTH_IN, as_svg, look_of, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HEIGHT_IN = 1.5  # of each split


def histograms(
    counts: Mapping[str, Mapping[str, Sequence[int]]],
    *,
    edges: Sequence[float],
    classes: Sequence[str],
    axis: str,
    alt: str,
) -> Markup:
    """Return a picture of shares of films, a panel for each split and an outline for each class.

    Args:
        counts: films between neighbouring edges, by the split's name and class.
        edges: of the bins, rising by a common ratio.
        classes: in the order of their colours.
        axis: what the horizontal axis shows.
        alt: what a reader who does not see the plot should know.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415  # slow to load, and pages without plots do without

    with styled(salt=alt):
        figure = Figure(figsize=(WIDTH_IN, 0.9 + HEIGHT_IN * len(counts)), layout="constrained")
        figure.patch.set_visible(False)
        panels = figure.subplots(len(counts), 1, sharex=True, squeeze=False)[:, 0]
        for axes, (split, by_class) in zip(panels, counts.items(), strict=True):
            _draw(axes, by_class, edges, classes)
            axes.set(ylabel=f"{split}\nshare of films", xscale="log")
            axes.patch.set_visible(False)
        panels[-1].set(xlabel=axis)
        panels[-1].xaxis.set_major_formatter("{x:g}")
        panels[-1].xaxis.set_minor_formatter("{x:g}")
        panels[-1].tick_params(which="minor", labelsize=7)
        handles, names = panels[0].get_legend_handles_labels()
        if handles:
            figure.legend(handles, names, loc="outside upper left", ncols=len(names))
        return as_svg(figure, alt)


def _draw(axes: Axes, by_class: Mapping[str, Sequence[int]], edges: Sequence[float], classes: Sequence[str]) -> None:
    """Draw the shares of a class's films, so that a small class is as high as a large one."""
    for index, name in enumerate(classes):
        look = look_of(index, name)
        films = by_class.get(name, [0] * (len(edges) - 1))
        shares = [number / max(sum(films), 1) for number in films]
        axes.stairs(shares, edges, color=look["color"], label=look["label"], linewidth=1.4)
    axes.grid(axis="x", color=LINE)
    axes.tick_params(colors=INK)
