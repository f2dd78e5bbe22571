"""Rows of dots with their intervals: a row per category, a dot per series."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from markupsafe import Markup

from stages.reporting.svg import DASHED, INK, LETTER, NARROW, WIDE, colour_of, grid, legend, line, shape, svg, text

LETTERS_BESIDE = 42  # of a row's name, beside a wide plot
ROW, SERIES = 26, 13  # pixels down: the least of a row, and of each series in it
MOST_TICKS = 8


@dataclass(frozen=True, slots=True)
class Dots:
    """A series of a dot plot: a value for each category it knows, with an interval where there is one."""

    name: str
    values: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ForScreens:
    """A plot for wide screens and paper, and the same for telephones: the widths of the macro `plot_for_screens`."""

    wide: Markup
    narrow: Markup


def dot_plot(
    series: Sequence[Dots], *, categories: Sequence[str], axis: str, alt: str, mark: float | None = None
) -> ForScreens:
    """Return a plot with a row per category and a dot per series in it, from 0 to 1.

    Args:
        series: what to compare.
        categories: from top to bottom.
        axis: what the horizontal axis shows.
        alt: what a reader who does not see the plot should know.
        mark: where a dashed line is drawn across, such as the value that tells nothing.
    """
    draw = partial(_rows_of_dots, series, categories=categories, axis=axis, alt=alt, mark=mark, ends=(0.0, 1.0))
    return ForScreens(draw(width=WIDE), draw(width=NARROW))


def forest_plot(
    series: Sequence[Dots], *, categories: Sequence[str], axis: str, alt: str, mark: float = 0
) -> ForScreens:
    """Return a plot with a row per category and a dot per series in it, over all values and intervals there are.

    Args:
        series: what to compare, in units of the axis; values may be negative.
        categories: from top to bottom.
        axis: what the horizontal axis shows.
        alt: what a reader who does not see the plot should know.
        mark: the value that tells nothing, at which a line is drawn across; it is always in the picture.
    """
    seen = [end for dots in series for pair in dots.intervals.values() for end in pair]
    seen += [mark, *(value for dots in series for value in dots.values.values())]
    margin = 0.05 * ((max(seen) - min(seen)) or 1)
    ends = (min(seen) - margin, max(seen) + margin)
    draw = partial(_rows_of_dots, series, categories=categories, axis=axis, alt=alt, mark=mark, ends=ends)
    return ForScreens(draw(width=WIDE), draw(width=NARROW))


def even(low: float, high: float, most: int = MOST_TICKS) -> list[float]:
    """Return where to mark an axis: round numbers at even steps, at most so many."""
    size = (high - low) / most
    power = 10.0 ** math.floor(math.log10(size))
    step = next(number * power for number in (1, 2, 5, 10) if number * power >= size * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def _rows_of_dots(
    series: Sequence[Dots],
    *,
    categories: Sequence[str],
    axis: str,
    alt: str,
    mark: float | None,
    ends: tuple[float, float],
    width: int,
) -> Markup:
    names = [shortened(name, width) for name in categories]
    left, right = LETTER * max(map(len, names), default=0) + 12, width - 14
    above, top = legend([dots.name for dots in series], width)
    row = max(ROW, SERIES * len(series))
    bottom = top + row * len(categories)
    low, high = ends

    def x(value: float) -> float:
        return left + min(max((value - low) / (high - low), 0), 1) * (right - left)

    ticks = even(low, high, MOST_TICKS if width == WIDE else MOST_TICKS // 2 + 1)
    parts = [above, *grid([(x(tick), f"{tick:g}".replace("-", "\N{MINUS SIGN}")) for tick in ticks], top, bottom)]
    if mark is not None:
        parts.append(line(x(mark), top, x(mark), bottom, INK, DASHED))
    for place, (name, category) in enumerate(zip(names, categories, strict=True)):
        middle = top + row * (place + 0.5)
        parts.append(text(left - 8, middle + 4, name, "end"))
        for index, dots in enumerate(series):
            parts += _dot(dots, category, index, x, middle + (index - (len(series) - 1) / 2) * 0.7 * row / len(series))
    parts.append(text((left + right) / 2, bottom + 36, axis, "middle"))
    return svg(parts, width, bottom + 44, alt)


def _dot(dots: Dots, category: str, index: int, x: Callable[[float], float], y: float) -> Iterator[str]:
    if category not in dots.values:
        return
    if category in dots.intervals:
        low, high = dots.intervals[category]
        yield line(x(low), y, x(high), y, colour_of(index), ' stroke-width="1.8"')
    yield shape(index, x(dots.values[category]), y)


def shortened(name: str, width: int) -> str:
    """Return a name that leaves room for the plot: its end tells more than its middle, as in paths of one folder."""
    most = LETTERS_BESIDE if width == WIDE else LETTERS_BESIDE // 2 + 1
    return name if len(name) <= most else f"{name[: most // 3]}…{name[-most // 2 :]}"
