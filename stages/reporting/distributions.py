"""Histograms and scatters of an audit's films, as SVG that is written by hand (see `svg`)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from markupsafe import Markup

from stages.films.frame import Frame
from stages.reporting.dots import even
from stages.reporting.svg import DASHED, INK, LINE, WIDE, colour_of, grid, legend, line, svg, text

PANEL = 110  # pixels down, of a histogram
MOST_HIGH = 420  # pixels down, of a scatter
NICE = (1, 1.5, 2, 3, 5, 7)  # where a logarithmic axis is marked, and ten times these
_POINT = 'stroke-width="5" stroke-linecap="round" fill="none"'


def histograms(
    counts: Mapping[str, Mapping[str, Sequence[int]]],
    *,
    edges: Sequence[float],
    classes: Sequence[str],
    axis: str,
    alt: str,
) -> Markup:
    """Return shares of films in bins of equal ratios, a panel for each split and an outline for each class.

    Args:
        counts: films between neighbouring edges, by the split's name and class.
        edges: of the bins, rising.
        classes: in the order of their colours.
        axis: what the horizontal axis shows.
        alt: what a reader who does not see the plot should know.
    """
    left, right = 70.0, WIDE - 14.0
    first, last = math.log(edges[0]), math.log(edges[-1])
    above, top = legend(classes, WIDE)

    def x(value: float) -> float:
        return left + (math.log(value) - first) / ((last - first) or 1) * (right - left)

    ticks = [(x(tick), f"{tick:g}") for tick in _nice(edges[0], edges[-1])]
    parts = [above]
    for place, (split, by_class) in enumerate(counts.items()):
        low = top + (place + 1) * (PANEL + 26) - 26
        parts += grid(ticks, low - PANEL, low)
        parts += _panel(by_class, classes, [x(edge) for edge in edges], low)
        parts.append(text(left - 8, low - PANEL / 2, split, "end"))
    bottom = top + len(counts) * (PANEL + 26) - 26
    parts.append(text((left + right) / 2, bottom + 36, axis, "middle"))
    return svg(parts, WIDE, bottom + 44, alt)


def size_plot(sizes: Mapping[str, Sequence[tuple[int, int]]], *, frame: Frame | None, alt: str) -> Markup:
    """Return a scatter of widths and heights, coloured by class, both axes to one scale.

    Args:
        sizes: width and height of films, by class.
        frame: that films come into, drawn as a box, and its aspect as a line; neither where None.
        alt: what a reader who does not see the plot should know.
    """
    films = [film for of_class in sizes.values() for film in of_class]
    widest, highest = (1.05 * max(side) for side in zip(*films, strict=True))
    above, top = legend(list(sizes), WIDE)
    left, right = 62.0, WIDE - 14.0
    scale = min((right - left) / widest, MOST_HIGH / highest)
    bottom = top + highest * scale
    ticks = [(left + tick * scale, f"{tick:,.0f}") for tick in even(0, (right - left) / scale)]
    parts = [above, *grid(ticks, top, bottom)]
    for tick in even(0, highest):
        parts.append(line(left, bottom - tick * scale, right, bottom - tick * scale, LINE))
        parts.append(text(left - 8, bottom - tick * scale + 4, f"{tick:,.0f}", "end"))
    for index, of_class in enumerate(sizes.values()):
        places = "".join(f"M{left + w * scale:.1f} {bottom - h * scale:.1f}h0" for w, h in of_class)
        colour = colour_of(index)
        parts.append(f'<path d="{places}" stroke="{colour}" stroke-opacity="0.55" {_POINT}/>')
    if frame is not None:
        parts += _frame(frame, left, bottom, scale, min((right - left) / scale / frame.width, highest / frame.height))
    parts += [text((left + right) / 2, bottom + 36, "width, pixels", "middle"), text(8, top + 4, "height", "start")]
    return svg(parts, WIDE, bottom + 44, alt)


def _frame(frame: Frame, left: float, bottom: float, scale: float, times: float) -> Iterator[str]:
    """Yield the target frame from the corner of the axes, and the line of all sizes of its aspect."""
    width, height = frame.width * scale, frame.height * scale
    yield line(left, bottom, left + times * width, bottom - times * height, INK, DASHED)
    yield (
        f'<rect x="{left:.1f}" y="{bottom - height:.1f}" width="{width:.1f}" height="{height:.1f}" fill="none" '
        f'stroke-width="1.5" style="stroke: {INK}"/>'
    )
    yield text(left + width + 6, bottom - 6, f"target frame, {frame.width} x {frame.height}", "start")


def _panel(
    by_class: Mapping[str, Sequence[int]], classes: Sequence[str], edges: Sequence[float], low: float
) -> Iterator[str]:
    """Yield the outline of each class's shares, so that a small class is as high as a large one."""
    shares = {name: [n / max(sum(films), 1) for n in films] for name, films in by_class.items()}
    highest = max((share for of_class in shares.values() for share in of_class), default=0) or 1
    yield text(edges[0] - 8, low - PANEL + 10, f"{100 * highest:.0f} %", "end")
    yield text(edges[0] - 8, low + 4, "0", "end")
    for index, name in enumerate(classes):
        steps = [f"M{edges[0]:.1f} {low:.1f}"]
        for share, until in zip(shares.get(name, ()), edges[1:], strict=False):
            steps.append(f"V{low - share / highest * PANEL:.1f}H{until:.1f}")
        yield (f'<path d="{"".join(steps)}V{low:.1f}" fill="none" stroke="{colour_of(index)}" stroke-width="1.6"/>')


def _nice(low: float, high: float) -> list[float]:
    """Return where to mark a logarithmic axis: every nice number, or where these are many, powers of ten alone."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for choice in (NICE, (1, 2, 5), (1,)):
        ticks = [number * 10.0**decade for decade in decades for number in choice]
        inside = [tick for tick in ticks if low <= tick <= high]
        if len(inside) <= 9:
            return inside
    return inside
