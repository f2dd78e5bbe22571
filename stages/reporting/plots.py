"""Plots as inline SVG: text stays text, lines follow the page's colours, bytes depend on the data alone."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# middle tones, at least 3:1 against the light page and the dark one; each series has a shape of its own as well
COLOURS = ("#3b7dc4", "#c9701a", "#26936b", "#b4558f", "#84743a", "#6a6fd1", "#c2504b")
MARKERS = ("o", "s", "D", "^", "v", "P", "X")
DASHES = (0, (4, 3))
INK, LINE = "#010203", "#040506"  # stand for the page's own colours, which replace them in the SVG
FOR_HTML = (  # what an SVG needs to stand inside a page, and beside others
    (INK, "var(--ink)"),
    (LINE, "var(--line)"),
    (r"<metadata>.*?</metadata>", ""),
    (r"<style.*?</style>", ""),  # its rule would hold for the whole page
    (r'<g id="[^"]*"', "<g"),  # every figure has a figure_1
    (r"font-family: [^;]*; ", ""),
)
STYLE: Mapping[str, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": LINE,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.size": 9,
    "grid.color": LINE,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "lines.markeredgewidth": 0,
    "svg.fonttype": "none",
    "text.color": INK,
    "text.parse_math": False,  # a class may be called $5
    "xtick.color": INK,
    "ytick.color": INK,
}
WIDTH_IN = 6.0
LETTERS_BESIDE = 42  # of a row's name, in half of that width
NARROW_IN = 3.7  # on a telephone, where the other width's letters would be too small to read
LETTERS_PER_IN = 13  # of the legend


@dataclass(frozen=True, slots=True)
class Dots:
    """A series of a dot plot: a value for each category it knows, with an interval where there is one."""

    name: str
    values: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)


def dot_plot(
    series: Sequence[Dots],
    *,
    categories: Sequence[str],
    axis: str,
    alt: str,
    mark: float | None = None,
    width_in: float = WIDTH_IN,
) -> Markup:
    """Return a plot with a row per category and a dot per series in it, from 0 to 1.

    Args:
        series: what to compare.
        categories: from top to bottom.
        axis: what the horizontal axis shows.
        alt: what a reader who does not see the plot should know.
        mark: where to draw a line across, such as the value that tells nothing.
        width_in: WIDTH_IN or NARROW_IN.
    """
    return _rows_of_dots(
        series, categories=categories, axis=axis, alt=alt, mark=mark, limits=(-0.02, 1.02), width_in=width_in
    )


def forest_plot(series: Sequence[Dots], *, categories: Sequence[str], axis: str, alt: str, mark: float = 0) -> Markup:
    """Return a plot with a row per category and a dot per series in it, over all values and intervals there are.

    Args:
        series: what to compare, in units of the axis; values may be negative.
        categories: from top to bottom.
        axis: what the horizontal axis shows.
        alt: what a reader who does not see the plot should know.
        mark: the value that tells nothing, at which a line is drawn across; it is always in the picture.
    """
    ends = [end for dots in series for pair in dots.intervals.values() for end in pair]
    ends += [mark, *(value for dots in series for value in dots.values.values())]
    margin = 0.05 * ((max(ends) - min(ends)) or 1)
    limits = (min(ends) - margin, max(ends) + margin)
    return _rows_of_dots(series, categories=categories, axis=axis, alt=alt, mark=mark, limits=limits)


def _rows_of_dots(
    series: Sequence[Dots],
    *,
    categories: Sequence[str],
    axis: str,
    alt: str,
    mark: float | None,
    limits: tuple[float, float],
    width_in: float = WIDTH_IN,
) -> Markup:
    height_in = 1.1 + len(categories) * max(0.3, 0.15 * len(series))
    with styled(salt=f"{alt}{width_in}"):
        figure, axes = blank(height_in, width_in)
        if mark is not None:
            axes.axvline(mark, color=INK, linewidth=1, linestyle=DASHES)
        for index, dots in enumerate(series):
            shift = (index - (len(series) - 1) / 2) * 0.7 / len(series)
            _draw_dots(axes, dots, categories, shift=shift, index=index)
        axes.set(xlim=limits, ylim=(len(categories) - 0.5, -0.5), xlabel=axis)
        axes.set_yticks(range(len(categories)), [_shortened(name) for name in categories])
        axes.set_yticks([row + 0.5 for row in range(len(categories) - 1)], minor=True)
        axes.tick_params(which="both", length=0)
        axes.grid(axis="x")
        axes.grid(axis="y", which="minor", linestyle=":")
        legend_above(figure, axes)
        return as_svg(figure, alt)


def _draw_dots(axes: Axes, dots: Dots, categories: Sequence[str], *, shift: float, index: int) -> None:
    """Draw one series, `shift` rows below the middle of each row."""
    look = look_of(index, dots.name)
    rows = {category: row + shift for row, category in enumerate(categories)}
    known = [category for category in categories if category in dots.values]
    for category in known:
        if category in dots.intervals:
            axes.plot(dots.intervals[category], [rows[category]] * 2, color=look["color"], linewidth=1.6)
    axes.plot(
        [dots.values[category] for category in known],
        [rows[category] for category in known],
        linestyle="none",
        markersize=5.5,
        **look,
    )


def _shortened(name: str) -> str:
    """Return a name that leaves room for the plot: its end tells more than its middle, as in paths of one folder."""
    return name if len(name) <= LETTERS_BESIDE else f"{name[: LETTERS_BESIDE // 3]}…{name[-LETTERS_BESIDE // 2 :]}"


def look_of(index: int, name: str) -> dict[str, Any]:
    """Return the colour, shape and name of a series; a name with an underscore first would be hidden."""
    return {
        "color": COLOURS[index % len(COLOURS)],
        "marker": MARKERS[index % len(MARKERS)],
        "label": name.lstrip("_") or "?",
    }


def legend_above(figure: Figure, axes: Axes) -> None:
    """Write what each look means above the plot, in as many columns as there is room for."""
    handles, labels = axes.get_legend_handles_labels()
    if not handles:
        return
    columns = int(LETTERS_PER_IN * figure.get_figwidth()) // (6 + max(len(label) for label in labels))
    figure.legend(handles, labels, loc="outside upper left", ncols=min(max(columns, 1), len(labels)))


@contextmanager
def styled(*, salt: str) -> Iterator[None]:
    """Draw in the page's style; the salt keeps apart the ids of the figures on one page."""
    import matplotlib as mpl  # noqa: PLC0415  # slow to load, and pages without plots do without

    settings: Any = {**STYLE, "svg.hashsalt": salt}
    with mpl.rc_context(settings), warnings.catch_warnings():
        # the page's font draws the text, so it does not matter what Matplotlib's own font lacks
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def blank(height_in: float, width_in: float = WIDTH_IN) -> tuple[Figure, Axes]:
    """Return a figure with empty axes, through which the page is seen."""
    from matplotlib.figure import Figure  # noqa: PLC0415  # as above

    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    axes = figure.add_subplot()
    figure.patch.set_visible(False)
    axes.patch.set_visible(False)
    return figure, axes


def as_svg(figure: Figure, alt: str) -> Markup:
    """Return the figure as an SVG element that may stand in HTML; `alt` is for who does not see it."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", dpi=150, metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    for pattern, replacement in FOR_HTML:
        svg = re.sub(pattern, replacement, svg, flags=re.DOTALL)
    # Matplotlib escapes the names that it is given, so that the SVG is safe where a name is not
    return Markup(svg.replace("<svg ", f'<svg role="img" aria-label="{escape(alt)}" ', 1))  # noqa: S704
