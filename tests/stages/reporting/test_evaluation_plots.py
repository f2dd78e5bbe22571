import re

import pytest

from stages.reporting import evaluation_plots, plots
from stages.reporting.evaluation_plots import Level
from stages.reporting.svg import COLOURS

FIRST, LAST = Level("augmented train", 0.80, 0.78, 0.82), Level("test", 0.70, 0.66, 0.74)
LOSS, GAIN = Level("fit", 0.13, 0.10, 0.16), Level("prior", -0.03, -0.05, -0.01)
BINS = [{"confidence": 0.4, "accuracy": 0.5, "films": 3}, {"confidence": 0.9, "accuracy": 0.8, "films": 30}]


def waterfall(*parts: Level, **how: float) -> str:
    return str(evaluation_plots.waterfall_plot(FIRST, parts, LAST, axis="accuracy", alt="the way down", **how))


def texts(svg: str) -> list[str]:
    return re.findall(r"<(?:text|tspan)[^>]*>([^<]+)<", svg)


@pytest.mark.parametrize("width_in", [plots.WIDTH_IN, plots.NARROW_IN])
def test_the_waterfall_names_every_part_with_its_number_and_interval(width_in: float) -> None:
    shown = " ".join(texts(waterfall(LOSS, GAIN, width_in=width_in)))
    for expected in (
        "augmented train",
        "80.0 % [78.0, 82.0]",
        "fit",
        "+13.0 [+10.0, +16.0]",
        "prior",
        "-3.0 [-5.0, -1.0]",
    ):
        assert expected in shown
    assert "70.0 % [66.0, 74.0]" in shown


def test_a_gain_is_hatched_and_a_loss_is_not() -> None:
    """Whoever does not see the colours sees the hatching."""
    assert "<pattern" not in waterfall(LOSS)
    assert "<pattern" in waterfall(LOSS, GAIN)


def test_a_part_of_nothing_and_a_way_of_one_part_can_be_drawn() -> None:
    assert "<svg" in waterfall(Level("threshold", 0, 0, 0))


def test_a_plot_for_a_telephone_is_narrower_and_shares_no_id_with_the_wide_one() -> None:
    wide, narrow = waterfall(LOSS, GAIN), waterfall(LOSS, GAIN, width_in=plots.NARROW_IN)
    widths = [float(re.findall(r'width="([\d.]+)pt"', svg)[0]) for svg in (wide, narrow)]
    assert widths == pytest.approx([72 * plots.WIDTH_IN, 72 * plots.NARROW_IN], rel=0.01)
    ids = [set(re.findall(r' id="([^"]+)"', svg)) for svg in (wide, narrow)]
    assert ids[0]
    assert not ids[0] & ids[1]


def test_names_cannot_become_markup() -> None:
    svg = waterfall(Level("</svg><script>", 0.1, 0, 0.2))
    assert "<script" not in svg
    assert "&lt;script&gt;" in svg


def test_the_reliability_curve_names_the_sets_that_have_films_and_keeps_their_colours() -> None:
    both = str(evaluation_plots.reliability_plot({"val": BINS, "test": BINS}, alt="curve"))
    only = str(evaluation_plots.reliability_plot({"val": [], "test": BINS}, alt="curve"))
    assert {"val", "test", "as right as sure"} <= set(texts(both))
    assert "val" not in texts(only)
    for svg in (both, only):
        assert COLOURS[1] in svg
    assert COLOURS[0] not in only


def test_no_accuracy_above_100_percent_is_named_though_an_interval_reaches_there() -> None:
    """A part's interval may end beyond the accuracy of 100 %, which a label would call possible."""
    shown = texts(waterfall(Level("leakage", -0.05, -0.3, 0.3)))
    assert "100" in shown
    assert not {"110", "120", "130"} & set(shown)
