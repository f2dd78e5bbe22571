"""Matplotlib's plots as inline SVG: text stays text, lines have the page's colours, bytes depend on the data alone."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from stages.reporting.svg import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS = ("o", "s", "D", "^", "v", "P", "X")  # as svg.SHAPES
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
NARROW_IN = 3.7  # on a telephone, where the other width's letters would be too small to read
LETTERS_PER_IN = 13  # of the legend


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
