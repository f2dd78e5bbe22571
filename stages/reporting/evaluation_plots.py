"""The plots of an evaluation alone: how a gap comes about, and how far confidence can be believed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stages.reporting import text
from stages.reporting.plots import (
    DASHES,
    INK,
    NARROW_IN,
    WIDTH_IN,
    as_svg,
    blank,
    legend_above,
    look_of,
    styled,
)
from stages.reporting.svg import COLOURS

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.axes import Axes


@dataclass(frozen=True, slots=True)
class Level:
    """A share, or a part of one, with its interval."""

    name: str
    value: float
    low: float
    high: float


def waterfall_plot(
    first: Level, parts: Sequence[Level], last: Level, *, axis: str, alt: str, width_in: float = WIDTH_IN
) -> Markup:
    """Return a plot of how one share becomes another: a bar for each part, from where the part before it ended.

    Loss and gain differ in the bar's filling and in the mark at its end, which points the way it goes, and not by
    colour alone. A part's interval lies about its end: where the bar would end, were this part alone another.

    Args:
        first: where it starts, from 0 to 1, with its interval.
        parts: what is lost on the way, below 0 where it is gained; they add up to first - last.
        last: where it ends.
        axis: what the horizontal axis shows.
        alt: what a reader who does not see the plot should know.
        width_in: WIDTH_IN, with the numbers on the right, or NARROW_IN, with the numbers below the names.
    """
    rows = [first.name, *(part.name for part in parts), last.name]
    ends = [f"{text.percent(end.value)} {text.percent_range(end.low, end.high)}" for end in (first, last)]
    lost = [f"{text.points(part.value)} {text.points_range(part.low, part.high)}" for part in parts]
    with styled(salt=f"{alt}{width_in}"):
        figure, axes = blank(1.0 + 0.42 * len(rows), width_in)
        start = first.value
        for row, part in enumerate(parts, start=1):
            _draw_part(axes, part, row=row, start=start)
            start -= part.value
        for row, end in ((0, first), (len(rows) - 1, last)):
            axes.plot([end.low, end.high], [row, row], color=INK, linewidth=1.4)
            axes.plot([end.value], [row], color=INK, marker="o", markersize=6.5)
        axes.set(ylim=(len(rows) - 0.5, -0.5), xlabel=axis)
        _name_rows(axes, rows, [ends[0], *lost, ends[1]], beside=width_in > NARROW_IN)
        axes.xaxis.set_major_formatter(lambda share, _place: _percent_up_to_100(share))
        axes.grid(axis="x")
        return as_svg(figure, alt)


def _percent_up_to_100(share: float) -> str:
    """Return a tick's label; beyond 100 %, where a part's interval may reach, none: no accuracy is there."""
    return f"{100 * share:.3g}" if share < 1.001 else ""


def _name_rows(axes: Axes, names: Sequence[str], numbers: Sequence[str], *, beside: bool) -> None:
    """Write the rows' names on the left, and their numbers on the right or below the names."""
    labels = names if beside else [f"{name}\n{number}" for name, number in zip(names, numbers, strict=True)]
    axes.set_yticks(range(len(names)), labels)
    sides: dict[str, Any] = {"left": axes}
    if beside:
        sides["right"] = axes.secondary_yaxis("right")
        sides["right"].set_yticks(range(len(names)), numbers)
    for name, side in sides.items():
        side.tick_params(axis="y", length=0)
        side.spines[name].set_visible(False)


def _draw_part(axes: Axes, part: Level, *, row: int, start: float) -> None:
    """Draw a part's bar from where it starts, its interval, and the thread to the next row."""
    end, lost = start - part.value, part.value > 0
    colour = COLOURS[1] if lost else COLOURS[0]
    (bar,) = axes.barh(row, -part.value, left=start, height=0.6, facecolor=colour if lost else "none")
    bar.set(edgecolor=colour, linewidth=1, alpha=0.75, hatch=None if lost else "////")
    axes.plot([start - part.high, start - part.low], [row, row], color=INK, linewidth=1.4)
    axes.plot([end], [row], color=INK, marker="<" if lost else ">" if part.value < 0 else "|", markersize=6.5)
    axes.plot([end, end], [row + 0.3, row + 0.7], color=INK, linewidth=0.8, linestyle=":")


def reliability_plot(
    curves: Mapping[str, Sequence[Mapping[str, float]]], *, alt: str, width_in: float = WIDTH_IN
) -> Markup:
    """Return a plot of accuracy against confidence, a curve for each set, beside the line on which the two agree.

    Args:
        curves: by the set's name, the bins that have films: their `confidence`, `accuracy` and `films`. A larger
            mark has more of its set's films. A set without bins is not drawn.
        alt: what a reader who does not see the plot should know.
        width_in: WIDTH_IN or NARROW_IN.
    """
    with styled(salt=f"{alt}{width_in}"):
        figure, axes = blank(min(4.4, 1.1 * width_in), width_in)
        axes.plot([0, 1], [0, 1], color=INK, linewidth=1, linestyle=DASHES, label="as right as sure")
        for index, (name, bins) in enumerate(curves.items()):
            if not bins:
                continue  # its colour and shape stay its own, as on the page's other plots
            look = look_of(index, name)
            most = max(place["films"] for place in bins)
            sure, right = ([place[axis] for place in bins] for axis in ("confidence", "accuracy"))
            axes.plot(sure, right, color=look["color"], linewidth=1.2)
            axes.scatter(sure, right, s=[12 + 60 * place["films"] / most for place in bins], **look)
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel="confidence", ylabel="accuracy")
        axes.grid()
        legend_above(figure, axes)
        return as_svg(figure, alt)
