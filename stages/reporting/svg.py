"""The strokes of plots that are written as SVG by hand: they open the same on any page, and take no layout.

Matplotlib lays a plot out in a tenth of a second. Rows of dots and outlines of histograms need no layout: rows are as
high as each other, and a letter is taken for so many pixels wide.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from markupsafe import Markup, escape

# middle tones, at least 3:1 against the light page and the dark one; each series has a shape of its own as well
COLOURS = ("#3b7dc4", "#c9701a", "#26936b", "#b4558f", "#84743a", "#6a6fd1", "#c2504b")
SHAPES = (  # about (0, 0): circle, square, diamond, triangles, plus, cross
    "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z",
    "M-3.5-3.5h7v7h-7z",
    "M0-4.8L4.8 0L0 4.8L-4.8 0z",
    "M0-4.5L4.5 3.5h-9z",
    "M0 4.5L4.5-3.5h-9z",
    "M-1.5-4.5h3v3h3v3h-3v3h-3v-3h-3v-3h3z",
    "M-4-2.5L-2.5-4L0-1.5L2.5-4L4-2.5L1.5 0L4 2.5L2.5 4L0 1.5L-2.5 4L-4 2.5L-1.5 0z",
)
WIDE, NARROW = 660, 350  # pixels of the drawing; the page scales it
LETTER = 6.6  # pixels across, of letters of LETTERS_PX
LETTERS_PX = 12
INK, LINE = "var(--ink)", "var(--line)"
DASHED = ' stroke-dasharray="4 3"'


def colour_of(index: int) -> str:
    """Return the colour of a series."""
    return COLOURS[index % len(COLOURS)]


def legend(names: Sequence[str], width: int) -> tuple[str, float]:
    """Return what each look means, in as many lines as it takes, and how far down they reach."""
    x, y, parts = 8.0, 16.0, []
    for index, name in enumerate(names):
        needed = 24 + LETTER * len(name)
        if x > 8 and x + needed > width:
            x, y = 8.0, y + 18
        parts.append(shape(index, x + 5, y - 4) + text(x + 16, y, name, "start"))
        x += needed + 12
    return "".join(parts), y + 14


def grid(ticks: Sequence[tuple[float, str]], top: float, bottom: float) -> Iterator[str]:
    """Yield a line down and a number below it, for each place and name."""
    for x, name in ticks:
        yield line(x, top, x, bottom, LINE) + text(x, bottom + 16, name, "middle")


def shape(index: int, x: float, y: float) -> str:
    """Return the mark of a series at a place."""
    outline, colour = SHAPES[index % len(SHAPES)], colour_of(index)
    return f'<path d="{outline}" transform="translate({x:.1f} {y:.1f})" fill="{colour}"/>'


def line(x1: float, y1: float, x2: float, y2: float, colour: str, more: str = "") -> str:
    """Return a line; `more` are further attributes."""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" style="stroke: {colour}"{more}/>'


def text(x: float, y: float, words: str, anchor: str) -> str:
    """Return words at a place, escaped."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" style="fill: {INK}">{escape(words)}</text>'


def svg(parts: Sequence[str], width: float, height: float, alt: str) -> Markup:
    """Return the parts as an SVG element that may stand in HTML; `alt` is for who does not see it."""
    # names are escaped where they become text, so that the SVG is safe where a name is not
    return Markup(  # noqa: S704
        f'<svg role="img" aria-label="{escape(alt)}" viewBox="0 0 {width:.0f} {height:.0f}" font-size="{LETTERS_PX}" '
        f'xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg>'
    )
