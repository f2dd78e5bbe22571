"""Plots written as SVG by hand: a page of a dozen of them opens the same, and takes milliseconds in place of seconds.

Matplotlib lays a plot out in a tenth of a second. Rows of dots and outlines of histograms need no layout: rows are as
high as each other, and a letter is taken for so many pixels wide.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

from markupsafe import Markup, escape

from stages.films.frame import Frame
from stages.reporting.plots import COLOURS, LETTERS_BESIDE, Dots

WIDE, NARROW = 660, 350  # pixels of the drawing; the page scales it
LETTER = 6.6  # pixels across, of letters of LETTERS_PX
LETTERS_PX = 12
PANEL = 110  # pixels down, of a histogram
MOST_HIGH = 420  # pixels down, of a scatter
SHAPES = (  # as plots.MARKERS, about (0, 0)
    "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z",
    "M-3.5-3.5h7v7h-7z",
    "M0-4.8L4.8 0L0 4.8L-4.8 0z",
    "M0-4.5L4.5 3.5h-9z",
    "M0 4.5L4.5-3.5h-9z",
    "M-1.5-4.5h3v3h3v3h-3v3h-3v-3h-3v-3h3z",
    "M-4-2.5L-2.5-4L0-1.5L2.5-4L4-2.5L1.5 0L4 2.5L2.5 4L0 1.5L-2.5 4L-4 2.5L-1.5 0z",
)
NICE = (1, 1.5, 2, 3, 5, 7)  # where a logarithmic axis is marked, and ten times these
INK, LINE = "var(--ink)", "var(--line)"
_POINT = 'stroke-width="5" stroke-linecap="round" fill="none"'


def dot_plot(
    series: Sequence[Dots], *, categories: Sequence[str], axis: str, alt: str, mark: float = 0.5, width: int = WIDE
) -> Markup:
    """Return a plot with a row per category and a dot per series in it, from 0 to 1, as `plots.dot_plot` does.

    Args:
        series: what to compare.
        categories: from top to bottom.
        axis: what the horizontal axis shows.
        alt: what a reader who does not see the plot should know.
        mark: where a dashed line is drawn, the value that tells nothing.
        width: WIDE or NARROW.
    """
    names = [_shortened(name, width) for name in categories]
    left, right = LETTER * max(map(len, names), default=0) + 12, width - 14
    legend, top = _legend([dots.name for dots in series], width)
    row = max(26, 13 * len(series))
    bottom = top + row * len(categories)

    def x(value: float) -> float:
        return left + min(max(value, 0), 1) * (right - left)

    parts = [legend, *_grid([(x(tick / 5), f"{tick / 5:.1f}") for tick in range(6)], top, bottom)]
    parts.append(_line(x(mark), top, x(mark), bottom, INK, ' stroke-dasharray="4 3"'))
    for place, (name, category) in enumerate(zip(names, categories, strict=True)):
        middle = top + row * (place + 0.5)
        parts.append(_text(left - 8, middle + 4, name, "end"))
        for index, dots in enumerate(series):
            y = middle + (index - (len(series) - 1) / 2) * 0.7 * row / len(series)
            parts += _dot(dots, category, index, x, y)
    parts.append(_text((left + right) / 2, bottom + 36, axis, "middle"))
    return _svg(parts, width, bottom + 44, alt)


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
    legend, top = _legend(classes, WIDE)

    def x(value: float) -> float:
        return left + (math.log(value) - first) / ((last - first) or 1) * (right - left)

    ticks = [(x(tick), f"{tick:g}") for tick in _nice(edges[0], edges[-1])]
    parts = [legend]
    for place, (split, by_class) in enumerate(counts.items()):
        low = top + (place + 1) * (PANEL + 26) - 26
        parts += _grid(ticks, low - PANEL, low)
        parts += _panel(by_class, classes, [x(edge) for edge in edges], low)
        parts.append(_text(left - 8, low - PANEL / 2, split, "end"))
    bottom = top + len(counts) * (PANEL + 26) - 26
    parts.append(_text((left + right) / 2, bottom + 36, axis, "middle"))
    return _svg(parts, WIDE, bottom + 44, alt)


def size_plot(sizes: Mapping[str, Sequence[tuple[int, int]]], *, frame: Frame | None, alt: str) -> Markup:
    """Return a scatter of widths and heights, coloured by class, both axes to one scale.

    Args:
        sizes: width and height of films, by class.
        frame: that films come into, drawn as a box, and its aspect as a line; neither where None.
        alt: what a reader who does not see the plot should know.
    """
    films = [film for of_class in sizes.values() for film in of_class]
    widest, highest = (1.05 * max(side) for side in zip(*films, strict=True))
    legend, top = _legend(list(sizes), WIDE)
    left, right = 62.0, WIDE - 14.0
    scale = min((right - left) / widest, MOST_HIGH / highest)
    bottom = top + highest * scale
    ticks = [(left + tick * scale, f"{tick:,}") for tick in _even((right - left) / scale)]
    parts = [legend, *_grid(ticks, top, bottom)]
    for tick in _even(highest):
        parts.append(_line(left, bottom - tick * scale, right, bottom - tick * scale, LINE))
        parts.append(_text(left - 8, bottom - tick * scale + 4, f"{tick:,}", "end"))
    for index, of_class in enumerate(sizes.values()):
        places = "".join(f"M{left + w * scale:.1f} {bottom - h * scale:.1f}h0" for w, h in of_class)
        colour = COLOURS[index % len(COLOURS)]
        parts.append(f'<path d="{places}" stroke="{colour}" stroke-opacity="0.55" {_POINT}/>')
    if frame is not None:
        parts += _frame(frame, left, bottom, scale, min((right - left) / scale / frame.width, highest / frame.height))
    parts += [_text((left + right) / 2, bottom + 36, "width, pixels", "middle"), _text(8, top + 4, "height", "start")]
    return _svg(parts, WIDE, bottom + 44, alt)


def _frame(frame: Frame, left: float, bottom: float, scale: float, times: float) -> Iterator[str]:
    """Yield the target frame from the corner of the axes, and the line of all sizes of its aspect."""
    width, height = frame.width * scale, frame.height * scale
    yield _line(left, bottom, left + times * width, bottom - times * height, INK, ' stroke-dasharray="4 3"')
    yield (
        f'<rect x="{left:.1f}" y="{bottom - height:.1f}" width="{width:.1f}" height="{height:.1f}" fill="none" '
        f'stroke-width="1.5" style="stroke: {INK}"/>'
    )
    yield _text(left + width + 6, bottom - 6, f"target frame, {frame.width} x {frame.height}", "start")


def _even(most: float) -> range:
    """Return where to mark an axis from 0: at most eight round numbers."""
    step = next(step for power in range(12) for step in (10**power, 2 * 10**power, 5 * 10**power) if most / step <= 8)
    return range(0, int(most) + 1, step)


def _panel(
    by_class: Mapping[str, Sequence[int]], classes: Sequence[str], edges: Sequence[float], low: float
) -> Iterator[str]:
    """Yield the outline of each class's shares, so that a small class is as high as a large one."""
    shares = {name: [n / max(sum(films), 1) for n in films] for name, films in by_class.items()}
    highest = max((share for of_class in shares.values() for share in of_class), default=0) or 1
    yield _text(edges[0] - 8, low - PANEL + 10, f"{100 * highest:.0f} %", "end")
    yield _text(edges[0] - 8, low + 4, "0", "end")
    for index, name in enumerate(classes):
        steps = [f"M{edges[0]:.1f} {low:.1f}"]
        for share, until in zip(shares.get(name, ()), edges[1:], strict=False):
            steps.append(f"V{low - share / highest * PANEL:.1f}H{until:.1f}")
        yield (
            f'<path d="{"".join(steps)}V{low:.1f}" fill="none" stroke="{COLOURS[index % len(COLOURS)]}" '
            'stroke-width="1.6"/>'
        )


def _nice(low: float, high: float) -> list[float]:
    """Return where to mark a logarithmic axis: every nice number, or where these are many, powers of ten alone."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for choice in (NICE, (1, 2, 5), (1,)):
        ticks = [number * 10.0**decade for decade in decades for number in choice]
        inside = [tick for tick in ticks if low <= tick <= high]
        if len(inside) <= 9:
            return inside
    return inside


def _legend(names: Sequence[str], width: int) -> tuple[str, float]:
    """Return what each look means, in as many lines as it takes, and how far down they reach."""
    x, y, parts = 8.0, 16.0, []
    for index, name in enumerate(names):
        needed = 24 + LETTER * len(name)
        if x > 8 and x + needed > width:
            x, y = 8.0, y + 18
        parts.append(_shape(index, x + 5, y - 4) + _text(x + 16, y, name, "start"))
        x += needed + 12
    return "".join(parts), y + 14


def _grid(ticks: Sequence[tuple[float, str]], top: float, bottom: float) -> Iterator[str]:
    for x, name in ticks:
        yield _line(x, top, x, bottom, LINE) + _text(x, bottom + 16, name, "middle")


def _dot(dots: Dots, category: str, index: int, x: Callable[[float], float], y: float) -> Iterator[str]:
    if category not in dots.values:
        return
    if category in dots.intervals:
        low, high = dots.intervals[category]
        yield _line(x(low), y, x(high), y, COLOURS[index % len(COLOURS)], ' stroke-width="1.8"')
    yield _shape(index, x(dots.values[category]), y)


def _shape(index: int, x: float, y: float) -> str:
    shape, colour = SHAPES[index % len(SHAPES)], COLOURS[index % len(COLOURS)]
    return f'<path d="{shape}" transform="translate({x:.1f} {y:.1f})" fill="{colour}"/>'


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, more: str = "") -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" style="stroke: {colour}"{more}/>'


def _text(x: float, y: float, words: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" style="fill: {INK}">{escape(words)}</text>'


def _shortened(name: str, width: int) -> str:
    """Return a name that leaves room for the plot: its end tells more than its middle, as in paths of one folder."""
    most = LETTERS_BESIDE if width == WIDE else LETTERS_BESIDE // 2 + 1
    return name if len(name) <= most else f"{name[: most // 3]}…{name[-most // 2 :]}"


def _svg(parts: Sequence[str], width: float, height: float, alt: str) -> Markup:
    # names are escaped where they become text, so that the SVG is safe where a name is not
    return Markup(  # noqa: S704
        f'<svg role="img" aria-label="{escape(alt)}" viewBox="0 0 {width:.0f} {height:.0f}" font-size="{LETTERS_PX}" '
        f'xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg>'
    )
