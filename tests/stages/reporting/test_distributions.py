"""Plots drawn by hand: every dot where its value is, every name as text, nothing left of what was made to harm."""

from __future__ import annotations

import itertools
import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.films.frame import Frame
from stages.reporting import distributions
from stages.reporting.dots import LETTERS_BESIDE, Dots, dot_plot, even, forest_plot
from stages.reporting.svg import NARROW, WIDE

SVG = "{http://www.w3.org/2000/svg}"
SHARE = st.floats(0, 1)


def read(svg: str) -> ET.Element:
    return ET.fromstring(svg)  # noqa: S314 - made a line before


def words(svg: str) -> list[str]:
    return ["".join(element.itertext()) for element in read(svg).iter(f"{SVG}text")]


def marks(svg: str) -> list[tuple[float, float]]:
    """Return where each shape lies, the legend's first."""
    places = [element.get("transform") for element in read(svg).iter(f"{SVG}path") if element.get("transform")]
    numbers = [re.findall(r"-?[\d.]+", str(place)) for place in places]
    return [(float(x), float(y)) for x, y in numbers]


@given(st.lists(st.tuples(SHARE, SHARE), min_size=1, max_size=6), st.sampled_from([WIDE, NARROW]))
def test_dots_lie_in_the_order_of_their_values_and_of_the_rows(pairs: list[tuple[float, float]], width: int) -> None:
    rows = [f"row {number}" for number in range(len(pairs))]
    series = [
        Dots(name, dict(zip(rows, values, strict=True)))
        for name, values in zip("ab", zip(*pairs, strict=True), strict=True)
    ]
    plot = dot_plot(series, categories=rows, axis="AUC", alt="dots")
    svg = {WIDE: plot.wide, NARROW: plot.narrow}[width]
    dots = marks(svg)[2:]
    assert len(dots) == 2 * len(pairs)
    values = [value for pair in pairs for value in pair]
    assert [y for _, y in dots] == sorted(y for _, y in dots)
    for (x, _), value in zip(dots, values, strict=True):
        for (other_x, _), other in zip(dots, values, strict=True):
            assert (x <= other_x + 0.1) or value > other
    assert all(0 < x < width for x, _ in dots)


def test_an_interval_is_drawn_from_end_to_end_and_a_missing_value_not_at_all() -> None:
    series = [Dots("a", {"one": 0.5}, {"one": (0.25, 0.75)}), Dots("b", {})]
    svg = dot_plot(series, categories=["one", "two"], axis="AUC", alt="dots").wide
    (x, y), *others = marks(svg)[2:]
    assert not others
    lines = [line for line in read(svg).iter(f"{SVG}line") if line.get("stroke-width")]
    assert [float(str(lines[0].get(end))) for end in ("y1", "y2")] == [y, y]
    ends = [float(str(lines[0].get(end))) for end in ("x1", "x2")]
    assert sum(ends) / 2 == pytest.approx(x, abs=0.1)


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>", '"><svg onload=alert(1)>', "&lt;b&gt;", "]]>", "_hidden"]
)
def test_names_are_text(name: str) -> None:
    for svg in (
        dot_plot([Dots(name, {name: 0.4})], categories=[name], axis=name, alt=name).wide,
        distributions.histograms({name: {name: [1, 2]}}, edges=[0.5, 1, 2], classes=[name], axis=name, alt=name),
    ):
        assert words(svg).count(name) == 3
        assert read(svg).get("aria-label") == name
        assert {element.tag for element in read(svg).iter()} <= {
            f"{SVG}{tag}" for tag in ("svg", "path", "line", "text")
        }


def test_a_small_class_is_drawn_as_high_as_a_large_one() -> None:
    svg = distributions.histograms(
        {"train": {"few": [1, 3], "many": [100, 300]}}, edges=[1, 2, 4], classes=["few", "many"], axis="x", alt="x"
    )
    few, many = [str(path.get("d")) for path in read(svg).iter(f"{SVG}path") if not path.get("transform")]
    assert few == many
    assert "75 %" in words(svg)


def test_an_axis_of_any_reach_has_a_few_marks() -> None:
    for high in (1.3, 3, 50, 1e4, 1e9):
        svg = distributions.histograms({"train": {"a": [1]}}, edges=[1, high], classes=["a"], axis="x", alt="x")
        assert 1 <= len(words(svg)) - 5 <= 10


def test_films_that_are_all_alike_have_a_histogram() -> None:
    assert "100 %" in words(distributions.histograms({"a": {"b": [5]}}, edges=[1, 1], classes=["b"], axis="x", alt="x"))


def points(svg: str) -> list[list[tuple[float, float]]]:
    """Return where each class's films lie in a scatter."""
    paths = [str(path.get("d")) for path in read(svg).iter(f"{SVG}path") if path.get("stroke-opacity")]
    return [[(float(x), float(y)) for x, y in re.findall(r"M([\d.]+) ([\d.]+)h0", path)] for path in paths]


@given(st.lists(st.tuples(st.integers(8, 5000), st.integers(8, 5000)), min_size=1, max_size=20))
def test_films_lie_where_their_sizes_are_on_one_scale(films: list[tuple[int, int]]) -> None:
    svg = distributions.size_plot({"a": films[::2], "b": films[1::2]}, frame=Frame(height=256, width=300), alt="sizes")
    placed = [place for of_class in points(svg) for place in of_class]
    box = next(read(svg).iter(f"{SVG}rect"))
    left, bottom = float(str(box.get("x"))), float(str(box.get("y"))) + float(str(box.get("height")))
    scale = float(str(box.get("width"))) / 300
    assert float(str(box.get("height"))) == pytest.approx(256 * scale, abs=0.2)
    for (width, height), (x, y) in zip([*films[::2], *films[1::2]], placed, strict=True):
        assert x - left == pytest.approx(width * scale, abs=0.2 + width * 0.1 / 300)
        assert bottom - y == pytest.approx(height * scale, abs=0.2 + height * 0.1 / 300)


def test_a_scatter_without_a_frame_has_no_box() -> None:
    svg = distributions.size_plot({"<b>": [(40, 30)]}, frame=None, alt="sizes")
    assert not list(read(svg).iter(f"{SVG}rect"))
    assert "<b>" in words(svg)


def test_a_forest_plot_shows_negative_values_and_the_line_at_nothing() -> None:
    series = [Dots("accuracy", {"b - a": -12.0, "c - a": -3.0}, {"b - a": (-19.5, -4.0)})]
    plot = forest_plot(series, categories=["b - a", "c - a", "x" * 300], axis="points", alt="differences")
    for svg in (plot.wide, plot.narrow):
        ticks = [word for word in words(svg) if re.fullmatch(r"\N{MINUS SIGN}?\d+", word)]
        assert "0" in ticks
        assert any(tick.startswith("\N{MINUS SIGN}") for tick in ticks)
        mark = next(line for line in read(svg).iter(f"{SVG}line") if line.get("stroke-dasharray"))
        (first, _), (second, _) = marks(svg)[1:]
        assert first < second < float(str(mark.get("x1")))  # -12, -3 and the line at 0
    assert max(len(word) for word in words(plot.wide)) <= LETTERS_BESIDE


def test_a_forest_of_one_value_has_an_axis() -> None:
    assert len(marks(forest_plot([Dots("a", {"b": 0.0})], categories=["b"], axis="x", alt="x").wide)) == 2


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6), st.integers(3, 12))
def test_an_even_axis_has_round_marks_within_its_ends(low: float, length: float, most: int) -> None:
    ticks = even(low, low + length, most)
    assert 1 <= len(ticks) <= most + 1
    assert low - 1e-6 * length <= ticks[0]
    assert ticks[-1] <= low + length * (1 + 1e-6) + 1e-9
    steps = {round(after - before, 9) for before, after in itertools.pairwise(ticks)}
    assert len({round(step / max(steps), 6) for step in steps}) <= 1


def test_an_even_axis_from_nothing_to_one_is_marked_in_fifths() -> None:
    assert even(0, 1) == [0, 0.2, 0.4, 0.6, 0.8, 1]
